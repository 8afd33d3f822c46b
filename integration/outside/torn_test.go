//go:build integration && !386 && !arm

// go-fuse does not compile on 32-bit machines (v2.12).

package outside

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// A file that cannot be read to its end, as on a failing disk, is in the incomplete backup as it was in the last one.
// Without one it is there in part, and the notice says so.
func TestAFileThatIsReadInPart(t *testing.T) {
	t.Parallel()
	before, after := strings.Repeat("before ", 100_000), strings.Repeat("after ", 150_000)
	files := []oddFile{
		{name: "bad [*]\n1", ino: 10, links: 1, size: -1, content: before},
		{name: "good", ino: 11, links: 1, size: -1, content: "short"},
	}
	src, dest := mountOdd(t, files...), testdest.New(t, "256M")
	name := files[0].name
	backup(t, 0, src, dest)
	files[0].content, files[0].bad, files[1].content = after, 500_000, "a little longer"
	for range 2 {
		r := backup(t, 3, src, dest)
		wantSaid(t, r, "this backup has what the last one has")
		if strings.Contains(r.Stderr, "zeros") {
			t.Error(r.Stderr)
		}
		if got := testdest.Read(t, filepath.Join(newest(t, dest), name)); got != before {
			t.Errorf("%d bytes, equal to those of the source: %v", len(got), got == after)
		}
		st, err := os.Stat(filepath.Join(newest(t, dest), name))
		if testdest.Must(t, err); time.Since(st.ModTime()) < time.Hour {
			t.Errorf("its time is %v, as if it were newer than at the source", st.ModTime())
		}
		if got := testdest.Read(t, filepath.Join(newest(t, dest), "good")); got != files[1].content {
			t.Errorf("good: %q", got)
		}
	}
	other := testdest.New(t, "256M")
	r := backup(t, 3, src, other)
	wantSaid(t, r, "could be read only in part, and this backup has zeros in the place of the rest")
	if strings.Contains(r.Stderr, "what the last one has") {
		t.Error(r.Stderr)
	}
	files[0].bad = 0
	for _, dest := range []string{dest, other} {
		backup(t, 0, src, dest)
		if got := testdest.Read(t, filepath.Join(testdest.CurrentPath(t, dest), name)); got != after {
			t.Errorf("%d bytes, equal to those before: %v", len(got), got == before)
		}
	}
}

// An ordinary user's rsync runs a second time, and writes nothing in place then; so does that of root if names share an
// inode number. What the first run has torn is not forgotten.
func TestAFileThatIsReadInPartTwice(t *testing.T) {
	t.Parallel()
	before, after := strings.Repeat("before ", 100_000), strings.Repeat("after ", 150_000)
	for name, as := range map[string]func(t *testing.T, args ...string) testbin.Result{
		"an ordinary user":                           func(t *testing.T, args ...string) testbin.Result { return through(t, nobody, args...) },
		"root, and names that share an inode number": func(_ *testing.T, args ...string) testbin.Result { return testbin.Run(t, args...) },
	} {
		t.Run(name, func(t *testing.T) {
			files := []oddFile{
				{name: "a", ino: 10, links: 2, size: -1, content: "equal length 1"},
				{name: "b", ino: 10, links: 2, size: -1, content: "equal length 2"},
				{name: "bad", ino: 12, links: 1, size: -1, content: before},
				{name: "good", ino: 13, links: 1, size: -1, content: "short"},
			}
			src, disk := mountOdd(t, files...), loopfs.New(t, "256M")
			for dir := src; dir != "/"; dir = filepath.Dir(dir) {
				if st, err := os.Stat(dir); dir != src && err == nil && st.Mode().Perm()&5 != 5 {
					testdest.Must(t, os.Chmod(dir, st.Mode()|0o055))
				}
			}
			dests := []string{filepath.Join(disk, "dest"), filepath.Join(disk, "other")}
			for _, dest := range dests {
				testdest.Must(t, os.Mkdir(dest, 0o755))
				testdest.Must(t, os.Lchown(dest, 65534, 65534))
				testdest.WantExit(t, as(t, "init", dest), 0)
			}
			testdest.WantExit(t, as(t, "backup", src, dests[0]), 0)
			files[2].content, files[2].bad = after, 500_000
			r := as(t, "backup", src, dests[0])
			testdest.WantExit(t, r, 3)
			wantSaid(t, r, "this backup has what the last one has")
			if got := testdest.Read(t, filepath.Join(newest(t, dests[0]), "bad")); got != before {
				t.Errorf("%d bytes, of which %d are zero", len(got), strings.Count(got, "\x00"))
			}
			r = as(t, "backup", src, dests[1])
			testdest.WantExit(t, r, 3)
			wantSaid(t, r, "bad could be read only in part, and this backup has zeros in the place of the rest")
			files[2].bad = 0
			for _, dest := range dests {
				testdest.WantExit(t, as(t, "backup", src, dest), 0)
				if got := testdest.Read(t, filepath.Join(testdest.CurrentPath(t, dest), "bad")); got != after {
					t.Errorf("%d bytes, equal to those before: %v", len(got), got == before)
				}
			}
		})
	}
}

// A file that may have changed is compared. If it cannot be read, the incomplete backup has its content of before, and
// a time that is plainly older, not one of 1970.
func TestAFileThatMayHaveChangedAndCannotBeRead(t *testing.T) {
	t.Parallel()
	src, dest := ofNobody(t, "256M")
	file, was := filepath.Join(src, "file"), time.Date(2020, 2, 3, 4, 5, 6, 7, time.UTC)
	testdest.Write(t, file, "content")
	testdest.Must(t, errors.Join(os.Lchown(src, 65534, 65534), os.Lchown(file, 65534, 65534), os.Chtimes(file, was, was)))
	testdest.WantExit(t, through(t, nobody, "init", dest), 0)
	testdest.WantExit(t, through(t, nobody, "backup", src, dest), 0)
	testdest.Must(t, os.Chmod(file, 0))
	for range 2 {
		testdest.WantExit(t, through(t, nobody, "backup", src, dest), 3)
		kept := filepath.Join(newest(t, dest), "file")
		st, err := os.Stat(kept)
		testdest.Must(t, err)
		if age := was.Sub(st.ModTime()); testdest.Read(t, kept) != "content" || age <= 0 || age > 3*24*time.Hour {
			t.Errorf("%q of %v", testdest.Read(t, kept), st.ModTime())
		}
	}
	testdest.Must(t, os.Chmod(file, 0o600))
	testdest.WantExit(t, through(t, nobody, "backup", src, dest), 0)
	testdest.WantSame(t, src, testdest.CurrentPath(t, dest))
}

// Beside a directory that may never be read, another directory is renamed to a path. Its files have the names, sizes
// and times of those that were there.
func TestWhatChangesBesideWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	src, dest := ofNobody(t, "256M")
	was := time.Date(2020, 2, 3, 4, 5, 6, 7, time.UTC)
	for name, content := range map[string]string{"dir": "before", "dir.new": "behind"} {
		file := filepath.Join(src, name, "file")
		testdest.Write(t, file, content)
		testdest.Must(t, os.Chtimes(file, was, was))
	}
	testdest.Write(t, filepath.Join(src, "closed", "file"), "x")
	testdest.Tool(t, "chown", "-R", "65534:65534", src)
	testdest.Must(t, os.Chmod(filepath.Join(src, "closed"), 0))
	time.Sleep(2100 * time.Millisecond) // no file is so young that it is doubtful
	testdest.WantExit(t, through(t, nobody, "init", dest), 0)
	for range 2 {
		testdest.WantExit(t, through(t, nobody, "backup", src, dest), 3)
	}
	testdest.Must(t, unix.Renameat2(unix.AT_FDCWD, filepath.Join(src, "dir"), unix.AT_FDCWD, filepath.Join(src, "dir.new"), unix.RENAME_EXCHANGE))
	testdest.WantExit(t, through(t, nobody, "backup", src, dest), 3)
	for _, name := range []string{"dir", "dir.new"} {
		if got, want := testdest.Read(t, filepath.Join(newest(t, dest), name, "file")), testdest.Read(t, filepath.Join(src, name, "file")); got != want {
			t.Errorf("%s has %q, the source %q", name, got, want)
		}
	}
}

// What cannot be read is not said to be gone from the source.
func TestWhatCannotBeReadIsNotGone(t *testing.T) {
	t.Parallel()
	src, dest := ofNobody(t, "256M")
	for n := range 300 {
		testdest.Write(t, filepath.Join(src, "closed", fmt.Sprint(n)), "x")
	}
	testdest.Write(t, filepath.Join(src, "file"), "x")
	testdest.Tool(t, "chown", "-R", "65534:65534", src)
	for _, args := range [][]string{{"init", dest}, {"backup", src, dest}} {
		if r := through(t, nobody, args...); r.Exit != 0 {
			t.Fatal(r.Stderr)
		}
	}
	testdest.Must(t, os.Chmod(filepath.Join(src, "closed"), 0))
	r := through(t, nobody, "backup", src, dest)
	if r.Exit != 3 || strings.Contains(r.Stderr, "gone from SRC") {
		t.Errorf("exit %d\n%s", r.Exit, r.Stderr)
	}
}
