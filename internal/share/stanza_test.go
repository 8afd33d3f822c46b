package share

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
)

func TestShown(t *testing.T) {
	at := time.Date(2026, 11, 23, 9, 0, 5, 0, time.Local)
	backup := func(name string, at time.Time) rsbtbackup.Snapshot { return rsbtbackup.Snapshot{Name: name, Time: at} }
	count, others := shown([]rsbtbackup.Snapshot{
		backup("2026-11-23-09:00", at),
		backup("2026-11-23-09:00:05", at),
		backup("2026-11-23-09:00:05.1", at),
		backup("2026-11-23-17:00", at), // named in another zone
		backup("2026-11-23-09:01", at.Add(time.Minute).UTC()),
	})
	if want := []string{"2026-11-23-09:00:05", "2026-11-23-09:00:05.1", "2026-11-23-17:00"}; count != 2 || !slices.Equal(others, want) {
		t.Errorf("%d, %q", count, others)
	}
}

func TestNames(t *testing.T) {
	for path, want := range map[string]string{"/srv/data": "data", "/srv/Büro": "Büro", "/": "backups", "/srv/my files!": "my-files", "/srv/homes": "backups", "/srv/...": "backups"} {
		if got := nameFor(path); got != want {
			t.Errorf("nameFor(%q) = %q, want %q", path, got, want)
		}
	}
	for _, bad := range []string{"", "Global", "IPC$", " x", "x ", "a]", "a/b", "a\nb", strings.Repeat("x", 81)} {
		if CheckName(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, good := range []string{"x", "Anna's data"[:4], "old data", strings.Repeat("x", 80)} {
		if err := CheckName(good); err != nil {
			t.Error(err)
		}
	}
}

// TestPathsSambaCannotHave: nothing gets into smb.conf that it reads in another way.
func TestPathsSambaCannotHave(t *testing.T) {
	for _, bad := range []string{"/srv/%u", "/srv/a\\", "/srv/a\nb", "/srv/\"a", "/srv/a ", "/srv/\xff"} {
		if err := checkPath(bad); !errors.Is(err, ErrPath) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := checkPath("/srv/my data; all #1"); err != nil {
		t.Error(err)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		source, path             string
		wantPath, wantSource, no string
	}{
		{source: dir, wantPath: dir, wantSource: dir},
		{source: "/", path: dir, wantPath: dir, wantSource: "/"},
		{source: "web1:/srv", path: dir, wantPath: dir, wantSource: dir},
		{source: dir + "/elsewhere", path: dir, wantPath: dir, wantSource: dir},
		{source: "web1:/srv", no: "another machine"},
		{no: "has a record of its source"},
		{source: dir + "/gone", no: "no such file"},
		{source: dir, path: dir + "/gone", no: "no such file"},
		{source: dir, path: "/etc/passwd", no: "no directory"},
	} {
		s := Share{}
		err := s.find(tt.source, tt.path)
		if tt.no != "" {
			if !errors.Is(err, ErrPath) || !strings.Contains(err.Error(), tt.no) {
				t.Errorf("%+v: %v", tt, err)
			}
			continue
		}
		if err != nil || s.Path != tt.wantPath || s.Source != tt.wantSource {
			t.Errorf("%+v: %+v, %v", tt, s, err)
		}
	}
}
