//go:build integration

package diff

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

func TestHistory(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	file := l.path("etc", "conf")
	stamp := time.Unix(1_700_000_000, 5)
	put := func(content string) {
		testdest.Write(t, file, content)
		testdest.Must(t, os.Chtimes(file, stamp, stamp))
	}
	b0 := l.snap(t)
	put("first")
	b1 := l.snap(t)
	testdest.Must(t, copyFile(file, file+".tmp", file)) // another inode, the same file
	b2 := l.snap(t)
	put("other") // same size and time
	b3 := l.snap(t)
	testdest.Must(t, os.Chmod(file, 0o600))
	b4 := l.snap(t)
	testdest.Must(t, os.Remove(file))
	b5 := l.snap(t)
	b6 := l.snap(t)
	put("again!")
	b7 := l.snap(t)
	_, _ = b0, b6

	h, err := rsbtbackup.History(t.Context(), l.dest, "/etc/conf")
	testdest.Must(t, err)
	type row struct {
		first, last, take, vanished string
		backups                     int
		size                        int64
		changed                     string
	}
	want := []row{
		{b1, b2, b2, "", 2, 5, ""},
		{b3, b3, b3, "", 1, 5, "content"},
		{b4, b4, b4, b5, 1, 5, "mode"},
		{b7, b7, b7, "", 1, 6, ""},
	}
	if len(h.Versions) != len(want) || h.Backups != 8 {
		t.Fatalf("%d versions in %d backups, want %d in 8: %+v", len(h.Versions), h.Backups, len(want), h.Versions)
	}
	for i, v := range h.Versions {
		var changed []string
		for _, c := range v.Changed {
			changed = append(changed, string(c))
		}
		got := row{v.First, v.Last, v.Take, v.Vanished, v.Backups, v.Size, strings.Join(changed, " ")}
		if got != want[i] {
			t.Errorf("version %d: %+v, want %+v", i, got, want[i])
		}
		if !v.ModTime.Equal(stamp) {
			t.Errorf("version %d: time %v, want %v", i, v.ModTime, stamp)
		}
	}

	r := testbin.Must(t, "history", l.dest, "etc/conf")
	if lines := strings.Split(strings.TrimSpace(r.Stdout), "\n"); len(lines) != 7 || !strings.Contains(lines[4], "gone") || lines[6] != "4 versions of etc/conf in 8 backups" {
		t.Errorf("got\n%s", r.Stdout)
	}
	r = testbin.Must(t, "history", l.dest, "etc/conf", "--json")
	if strings.Count(r.Stdout, `{"type":"path_version","first":"`) != 4 || !strings.Contains(r.Stdout, `{"type":"history",`) {
		t.Errorf("--json:\n%s", r.Stdout)
	}
}
