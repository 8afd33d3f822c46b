package restore

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

func TestRecordedSource(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		record *facts.Record
		want   string
		err    error
	}{
		{nil, "", facts.ErrUsage},
		{&facts.Record{}, "", facts.ErrUsage},
		{&facts.Record{Source: "/etc", Host: host}, "/etc", nil},
		{&facts.Record{Source: "/etc"}, "/etc", nil},
		{&facts.Record{Source: "/etc", Host: "another-" + host}, "", facts.ErrGuard},
		{&facts.Record{Source: "web:/var/www", Host: "another-" + host}, "web:/var/www", nil},
	} {
		if got, err := recordedSource(facts.Snapshot{Record: tt.record}); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%+v: %q, %v, want %q, %v", tt.record, got, err, tt.want, tt.err)
		}
	}
}

// The path of a target is resolved before this, and once.
func TestOpenTargetDirFollowsNoSymlink(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/real/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if f, err := openTargetDir(dir + "/real/sub"); err != nil || f.Close() != nil {
		t.Error(err)
	}
	if _, err := openTargetDir(dir + "/link/sub"); !errors.Is(err, facts.ErrTarget) || !errors.Is(err, unix.ELOOP) {
		t.Errorf("through a symlink: %v", err)
	}
}
