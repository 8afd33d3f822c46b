//go:build integration

package verify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// damagedHistory is three backups of three files of 512 KiB, one of which has two names: before the second one was
// touched, before the third another got a new mode, and the last a new beginning. A block that all backups share is
// then damaged in each file.
func damagedHistory(t *testing.T) (s *store, backups [3]string) {
	t.Helper()
	s = newStore(t)
	const size, damaged = 512 << 10, 256 << 10
	for _, name := range []string{"one", "dir/two", "three", "same"} {
		s.write(t, name, size)
	}
	testdest.Must(t, os.Link(filepath.Join(s.src, "one"), filepath.Join(s.src, "dir", "onelink")))
	backups[0] = s.backup(t)
	testdest.Must(t, os.Chtimes(filepath.Join(s.src, "one"), time.Time{}, time.Unix(1_700_000_000, 7)))
	backups[1] = s.backup(t)
	testdest.Must(t, os.Chmod(filepath.Join(s.src, "dir", "two"), 0o600))
	s.change(t, "three", 0, 100)
	backups[2] = s.backup(t)
	for _, name := range []string{"one", "dir/two", "three"} {
		s.corrupt(t, backups[0], name, damaged)
	}
	dropCaches(t)
	return s, backups
}

// Nothing is said about content that was not compared, and content is not read if it is not needed.
func TestDiffOfDamagedFiles(t *testing.T) {
	t.Parallel()
	s, backups := damagedHistory(t)
	for _, tt := range []struct {
		from, to int
		want     string
	}{
		{0, 1, "metadata dir/onelink [mtime]\nmetadata one [mtime]\n"},
		{1, 2, "metadata dir/two [mode]\nmodified three [content mtime]\n"},
		{0, 2, "metadata dir/onelink [mtime]\nmetadata dir/two [mode]\nmetadata one [mtime]\nmodified three [content mtime]\n"},
	} {
		for _, method := range []rsbtbackup.DiffMethod{rsbtbackup.DiffSend, rsbtbackup.DiffWalk} {
			d, err := rsbtbackup.Diff(t.Context(), s.dest, backups[tt.from], backups[tt.to], rsbtbackup.DiffOptions{Method: method})
			testdest.Must(t, err)
			if got := differences(d); got != tt.want || d.Method != method || len(d.Unread) > 0 {
				t.Errorf("%s, %d to %d: %q\n%swant\n%s", method, tt.from, tt.to, d.Unread, got, tt.want)
			}
		}
	}
}

// Content behind a damaged block can be neither equal nor different.
func TestDiffOfUnreadableContent(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "file", 512<<10)
	first := s.backup(t)
	s.change(t, "file", 384<<10, 100)
	second := s.backup(t)
	s.corrupt(t, first, "file", 256<<10)
	dropCaches(t)
	for _, method := range []string{"send", "walk"} {
		r := testbin.Run(t, "diff", s.dest, first, second, "--method", method)
		if r.Exit != 1 || !strings.HasPrefix(r.Stdout, "? file (mtime)\n") || !strings.Contains(r.Stdout, ", 1 not compared") ||
			!strings.Contains(r.Stderr, "1 file could not be read: read "+filepath.Join(s.dest, first, "file")+": input/output error") ||
			!strings.Contains(r.Stderr, "hint: to see what is damaged, and which older backup has it intact: rsbtbackup verify "+s.dest) {
			t.Errorf("%s: exit %d\n%s%s", method, r.Exit, r.Stdout, r.Stderr)
		}
		if r := testbin.Run(t, "diff", s.dest, first, second, "--method", method, "--json"); !strings.Contains(r.Stdout, `"change":"unread","path":"file","kind":"file","changed":["mtime"]`) ||
			!strings.Contains(r.Stdout, `"counts":{"unread":1}`) {
			t.Errorf("%s: %s", method, r.Stdout)
		}
	}
	d, err := rsbtbackup.Diff(t.Context(), s.dest, first, second, rsbtbackup.DiffOptions{})
	if !errors.Is(err, rsbtbackup.ErrNotCompared) || differences(d) != "unread file [mtime]\n" {
		t.Errorf("%v\n%s", err, differences(d))
	}
}

func differences(d *rsbtbackup.Difference) string {
	var b strings.Builder
	for _, e := range d.Entries {
		fmt.Fprintf(&b, "%s %s %v\n", e.Kind, e.Path, e.Changed)
	}
	return b.String()
}

// A damaged file is what the other versions are asked for.
func TestHistoryOfDamagedFiles(t *testing.T) {
	t.Parallel()
	s, backups := damagedHistory(t)
	for path, want := range map[string]string{
		"one":         "0-0 [] false\n1-2 [mtime] false\n",
		"dir/onelink": "0-0 [] false\n1-2 [mtime] false\n",
		"dir/two":     "0-1 [] false\n2-2 [mode] false\n",
		"three":       "0-1 [] false\n2-2 [content mtime] false\n",
	} {
		h, err := rsbtbackup.History(t.Context(), s.dest, path)
		testdest.Must(t, err)
		if got := versions(h, backups[:]); got != want {
			t.Errorf("%s:\n%swant\n%s", path, got, want)
		}
	}
}

// A version that cannot be compared is listed, and so are those after it.
func TestHistoryOfUnreadableContent(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "file", 512<<10)
	first := s.backup(t)
	s.change(t, "file", 384<<10, 100)
	second := s.backup(t)
	testdest.Must(t, os.Chmod(filepath.Join(s.src, "file"), 0o600))
	third := s.backup(t)
	s.corrupt(t, first, "file", 256<<10)
	dropCaches(t)
	h, err := rsbtbackup.History(t.Context(), s.dest, "file")
	if !errors.Is(err, rsbtbackup.ErrNotCompared) || h == nil {
		t.Fatalf("%v, %+v", err, h)
	}
	if got, want := versions(h, []string{first, second, third}), "0-0 [] false\n1-1 [mtime] true\n2-2 [mode] false\n"; got != want || len(h.Unread) != 1 {
		t.Errorf("%s%q, want\n%s", got, h.Unread, want)
	}
	r := testbin.Run(t, "history", s.dest, "file")
	if lines := strings.Split(r.Stdout, "\n"); r.Exit != 1 || len(lines) != 6 || !strings.HasSuffix(lines[2], "mtime, not compared") ||
		!strings.Contains(r.Stderr, "1 comparison could not be made: "+first+" to "+second+": read "+filepath.Join(s.dest, first, "file")+": input/output error") ||
		!strings.Contains(r.Stderr, "intact: rsbtbackup verify "+s.dest) {
		t.Errorf("exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
	r = testbin.Run(t, "history", s.dest, "file", "--json")
	if r.Exit != 1 || strings.Count(r.Stdout, `{"type":"path_version","first":"`) != 3 || strings.Count(r.Stdout, `"unread":true`) != 1 || !strings.Contains(r.Stdout, `"unread":["`) {
		t.Errorf("exit %d: %s", r.Exit, r.Stdout)
	}
}

// A backup in which the path cannot be looked up does not hide the others.
func TestHistoryWithDamagedMetadata(t *testing.T) {
	t.Parallel()
	s, backups, lost := damagedInodes(t, 1)
	for name := range lost {
		h, err := rsbtbackup.History(t.Context(), s.dest, name)
		if !errors.Is(err, rsbtbackup.ErrNotCompared) || h == nil || !strings.Contains(err.Error(), backups[1]) {
			t.Fatalf("%v, %+v", err, h)
		}
		if got, want := versions(h, backups), "0-0 [] false\n"; got != want {
			t.Errorf("%s, want\n%s", got, want)
		}
	}
	if len(lost) == 0 {
		t.Error("every inode can be read")
	}
}

// versions is a history as text, with the numbers of the backups.
func versions(h *rsbtbackup.PathHistory, backups []string) string {
	var b strings.Builder
	for _, v := range h.Versions {
		fmt.Fprintf(&b, "%d-%d %v %v\n", slices.Index(backups, v.First), slices.Index(backups, v.Last), v.Changed, v.Unread)
	}
	return b.String()
}

// A file with an unreadable inode does not prevent the comparison of the others, with both methods.
func TestDiffWithDamagedMetadata(t *testing.T) {
	t.Parallel()
	for which := range 2 {
		t.Run(fmt.Sprint(which), func(t *testing.T) {
			t.Parallel()
			s, backups, lost := damagedInodes(t, which)
			if len(lost) == 0 {
				t.Fatal("every inode can be read")
			}
			for _, method := range []rsbtbackup.DiffMethod{rsbtbackup.DiffAuto, rsbtbackup.DiffWalk} {
				d, err := rsbtbackup.Diff(t.Context(), s.dest, backups[0], backups[1], rsbtbackup.DiffOptions{Method: method})
				if !errors.Is(err, rsbtbackup.ErrNotCompared) || d == nil {
					t.Fatalf("%q: %v, %+v", method, err, d)
				}
				if len(d.Entries) != manyFiles-len(lost) || len(d.Unread) != len(lost) {
					t.Errorf("%q: %d differences and %d unread, want %d and %d", method, len(d.Entries), len(d.Unread), manyFiles-len(lost), len(lost))
				}
				for _, e := range d.Entries {
					if e.Kind != rsbtbackup.DiffMetadata || lost[e.Path] {
						t.Errorf("%q: %+v", method, e)
					}
				}
			}
		})
	}
}

const manyFiles = 1000

// damagedInodes is two backups of many files, of which all have another mode in the second. In one of them some inodes
// are lost then: those of the files returned.
func damagedInodes(t *testing.T, which int) (s *store, backups []string, lost map[string]bool) {
	t.Helper()
	s = newStore(t)
	name := func(i int) string { return fmt.Sprintf("file%04d", i) }
	for i := range manyFiles {
		s.write(t, name(i), 10)
	}
	backups = append(backups, s.backup(t))
	for i := range manyFiles {
		testdest.Must(t, os.Chmod(filepath.Join(s.src, name(i)), 0o600))
	}
	backups = append(backups, s.backup(t))
	s.loseLeaf(t, s.snapshots(t)[which].ID, "INODE_ITEM")
	lost = map[string]bool{}
	for i := range manyFiles {
		if _, err := os.Lstat(filepath.Join(s.dest, backups[which], name(i))); errors.Is(err, unix.EIO) {
			lost[name(i)] = true
		}
	}
	return s, backups, lost
}
