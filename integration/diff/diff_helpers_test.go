//go:build integration

package diff

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// line is a chain of backups made by hand: each is a snapshot of work.
type line struct {
	dest, work string
	made       int
	works      int
}

func newLine(t testing.TB) *line {
	t.Helper()
	l := &line{dest: filepath.Join(loopfs.New(t, "2G"), "dest")}
	testdest.Must(t, os.Mkdir(l.dest, 0o755))
	_, err := rsbtbackup.Init(t.Context(), l.dest, rsbtbackup.InitOptions{})
	testdest.Must(t, err)
	l.restart(t)
	return l
}

// restart continues with a work subvolume unrelated to the last.
func (l *line) restart(t testing.TB) {
	t.Helper()
	l.works++
	name := fmt.Sprintf("work-%d", l.works)
	dir := testdest.OpenDir(t, l.dest)
	defer dir.Close()
	testdest.Must(t, btrfs.CreateSubvolume(dir, name))
	l.work = filepath.Join(l.dest, name)
}

// snap makes a backup of work and returns its name.
func (l *line) snap(t testing.TB) string {
	t.Helper()
	l.made++
	name := time.Date(2026, 1, 1, 0, l.made, 0, 0, time.UTC).Format("2006-01-02-15:04")
	dir, work := testdest.OpenDir(t, l.dest), testdest.OpenDir(t, l.work)
	defer dir.Close()
	defer work.Close()
	testdest.Must(t, btrfs.CreateSnapshot(dir, name, work, btrfs.SnapshotOptions{ReadOnly: true}))
	// File times are as coarse as the timer: what comes next has to differ in them.
	now := time.Now()
	testdest.WaitFor(t, "the clock that file times come from", func() bool {
		var ticked unix.Timespec
		testdest.Must(t, unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &ticked))
		return ticked.Nano() > now.UnixNano()
	})
	return name
}

func (l *line) drop(t testing.TB, name string) {
	t.Helper()
	dir := testdest.OpenDir(t, l.dest)
	defer dir.Close()
	testdest.Must(t, btrfs.DeleteSubvolume(dir, name))
}

func (l *line) path(elem ...string) string {
	return filepath.Join(append([]string{l.work}, elem...)...)
}

func diff(t testing.TB, dest, a, b string, o rsbtbackup.DiffOptions) []rsbtbackup.DiffEntry {
	t.Helper()
	d, err := rsbtbackup.Diff(t.Context(), dest, a, b, o)
	testdest.Must(t, err)
	if o.Method != "" && d.Method != o.Method {
		t.Fatalf("method %q, want %q", d.Method, o.Method)
	}
	return d.Entries
}

// bothWays compares by stream and by walk, which must agree.
func bothWays(t testing.TB, dest, a, b, path string) []rsbtbackup.DiffEntry {
	t.Helper()
	walked := diff(t, dest, a, b, rsbtbackup.DiffOptions{Path: path, Method: rsbtbackup.DiffWalk})
	sent, err := rsbtbackup.Diff(t.Context(), dest, a, b, rsbtbackup.DiffOptions{Path: path})
	testdest.Must(t, err)
	if path == "" && sent.Method != rsbtbackup.DiffSend {
		_, err := rsbtbackup.Diff(t.Context(), dest, a, b, rsbtbackup.DiffOptions{Method: rsbtbackup.DiffSend})
		if errors.Is(err, unix.ENOENT) && strings.Contains(err.Error(), "BTRFS_IOC_SEND") {
			t.Logf("the kernel cannot send %s upon %s: %v", b, a, err)
			wantCopied(t, dest, a, b)
			return walked
		}
		t.Fatalf("compared %s with %s by %q, want by stream", a, b, sent.Method)
	}
	if d := cmp.Diff(walked, sent.Entries); d != "" {
		t.Fatalf("%s to %s, path %q: walk (-) and stream (+):\n%s", a, b, path, d)
	}
	return walked
}

// wantCopied wants a copy of b to a target that has a, although the kernel cannot send that increment: here, to another
// host, and from one.
func wantCopied(t testing.TB, dest, a, b string) {
	t.Helper()
	here := filepath.Join(t.TempDir(), "ssh")
	testdest.Must(t, os.WriteFile(here, []byte("#!/bin/sh\nshift\nexec sh -c \"$*\"\n"), 0o755))
	for _, hosts := range [][2]string{{"", ""}, {"", "vault:"}, {"vault:", ""}} {
		target := testdest.New(t, "1G")
		for _, name := range []string{a, b} {
			_, err := rsbtbackup.Copy(t.Context(), hosts[0]+dest, hosts[1]+target, []string{name}, rsbtbackup.CopyOptions{SSH: []string{here}, Program: testbin.Path(t)})
			if err != nil {
				t.Fatalf("from %q to %q: %v", hosts[0], hosts[1], err)
			}
			testdest.WantSame(t, filepath.Join(dest, name), filepath.Join(target, name))
		}
	}
}

// show is entries as text, one a line.
func show(entries []rsbtbackup.DiffEntry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%s %s", e.Kind, e.Path)
		if e.OldPath != "" {
			fmt.Fprintf(&b, " from %s", e.OldPath)
		}
		if e.OldType != "" {
			fmt.Fprintf(&b, ", %s, was %s", e.Type, e.OldType)
		}
		if len(e.Changed) > 0 {
			fmt.Fprintf(&b, " %v", e.Changed)
		}
		b.WriteString("\n")
	}
	return b.String()
}
