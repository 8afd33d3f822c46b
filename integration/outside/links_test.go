//go:build integration

package outside

import (
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

// A night in which nothing changed costs next to nothing, however many files have two names.
func TestUnchangedLinksCostNoMetadata(t *testing.T) {
	t.Parallel()
	src := newSource(t)
	disk := loopfs.NewImage(t, "1G", "btrfs", "commit=1")
	dest := filepath.Join(disk.Mount, "dest")
	testdest.Must(t, os.Mkdir(dest, 0o755))
	testbin.Must(t, "init", dest)
	const files = 5_000          // to link all of them again takes 3.6 MB
	const little = 20 * 16 << 10 // blocks of a tree; 9 to 13 were seen, by where leaves are split
	for i := range files {
		a := filepath.Join(src, fmt.Sprintf("d%d", i/1000), fmt.Sprintf("file%05d", i))
		testdest.Write(t, a, "x")
		testdest.Must(t, os.Link(a, a+".second"))
	}
	testdest.Must(t, unix.Mkfifo(filepath.Join(src, "fifo"), 0o600))
	testdest.Must(t, os.Link(filepath.Join(src, "fifo"), filepath.Join(src, "fifo2")))
	testdest.Must(t, os.Symlink("fifo", filepath.Join(src, "symlink")))
	testdest.Must(t, os.Link(filepath.Join(src, "symlink"), filepath.Join(src, "symlink2")))
	time.Sleep(3 * time.Second) // a link as young as the backup before is not known to be unchanged
	backup(t, 0, src, dest)
	var took int64
	for range 2 {
		before := metadata(t, dest)
		backup(t, 0, src, dest, "--scan=full") // else a walk may find that there is nothing to ask rsync about
		took = metadata(t, dest) - before
		testdest.WantSame(t, src, testdest.CurrentPath(t, dest))
	}
	t.Logf("%d B of metadata for an unchanged run over %d files with two names each", took, files)
	if took > little {
		t.Errorf("an unchanged run took %d B of metadata", took)
	}
	// One changed group does not cost what all cost.
	testdest.Write(t, filepath.Join(src, "d3", "file03000"), "changed")
	before := metadata(t, dest)
	backup(t, 0, src, dest)
	took = metadata(t, dest) - before
	t.Logf("%d B of metadata for one changed file", took)
	if took > little {
		t.Errorf("one changed file took %d B of metadata", took)
	}
	testdest.WantSame(t, src, testdest.CurrentPath(t, dest))
}

// metadata is what the trees of a btrfs use.
func metadata(t testing.TB, dir string) int64 {
	t.Helper()
	testdest.Tool(t, "btrfs", "subvolume", "sync", dir) // what was deleted is gone, with all that its going changes
	testdest.Tool(t, "sync", "-f", dir)
	out := testdest.Tool(t, "btrfs", "filesystem", "df", "-b", dir)
	for line := range strings.SplitSeq(out, "\n") {
		var total, used int64
		if n, _ := fmt.Sscanf(line[strings.Index(line, ":")+1:], " total=%d, used=%d", &total, &used); n == 2 && strings.HasPrefix(line, "Metadata") {
			return used
		}
	}
	t.Fatalf("no metadata in %q", out)
	return 0
}

// What is linked, and how, changes in every way there is; each backup is equal to its source.
func TestLinksThatChange(t *testing.T) {
	t.Parallel()
	src, dest := newSource(t), testdest.New(t, "512M")
	at := func(name string) string { return filepath.Join(src, name) }
	testdest.Write(t, at("a"), "one")
	testdest.Must(t, os.Mkdir(at("sub"), 0o755))
	for _, name := range []string{"b", "sub/c", "sub/d"} {
		testdest.Must(t, os.Link(at("a"), at(name)))
	}
	testdest.Write(t, at("suid"), "suid")
	testdest.Must(t, os.Link(at("suid"), at("suid2")))
	testdest.Must(t, os.Chmod(at("suid"), 0o4755))
	backup(t, 0, src, dest)
	stamp := func(name string) {
		st, err := os.Stat(at("a"))
		testdest.Must(t, err)
		testdest.Must(t, os.Chtimes(at(name), st.ModTime(), st.ModTime()))
	}
	for i, change := range []func(){
		func() {},
		func() { testdest.Write(t, at("a"), "two, in all names") },
		func() { testdest.Must(t, os.Remove(at("b"))); testdest.Write(t, at("b"), "on its own") },
		func() { testdest.Must(t, os.Remove(at("b"))); testdest.Must(t, os.Link(at("a"), at("b"))) },
		func() { testdest.Must(t, os.Link(at("a"), at("e"))) },
		func() { testdest.Must(t, os.Remove(at("e"))) },
		func() { testdest.Must(t, os.Chmod(at("a"), 0o600)) },
		func() { testdest.Must(t, os.Lchown(at("a"), 12, 13)) },
		func() { testdest.Must(t, unix.Setxattr(at("a"), "user.new", []byte("x"), 0)) },
		// A name of equal size and time, but another inode and mode.
		func() {
			testdest.Must(t, os.Remove(at("sub/c")))
			testdest.Write(t, at("sub/c"), "TWO, in all names")
			testdest.Must(t, os.Chmod(at("sub/c"), 0o640))
			stamp("sub/c")
		},
		func() {
			testdest.Must(t, os.Rename(at("sub"), at("moved")))
			testdest.Must(t, os.Symlink("moved", at("sub")))
		},
		func() { testdest.Must(t, os.Remove(at("sub"))); testdest.Must(t, os.Rename(at("moved"), at("sub"))) },
	} {
		change()
		backup(t, 0, src, dest)
		if i == 9 {
			// rsync compares size and time; the test is whether the link and the mode stay apart from those of the
			// others.
			fi, err := os.Stat(filepath.Join(testdest.CurrentPath(t, dest), "sub", "c"))
			testdest.Must(t, err)
			if fi.Mode().Perm() != 0o640 {
				t.Errorf("mode %v", fi.Mode())
			}
			backup(t, 0, src, dest, "--checksum")
		}
		testdest.WantSame(t, src, testdest.CurrentPath(t, dest))
		if t.Failed() {
			t.Fatalf("after change %d", i)
		}
	}
}

// More names than btrfs can hold of one file: what is beyond the limit becomes files of their own, that night and every
// other.
func TestMoreNamesThanAFileCanHave(t *testing.T) {
	t.Parallel()
	t.Run("in one directory, without extended references", func(t *testing.T) {
		src := newSource(t)
		disk := loopfs.NewImage(t, "512M", "btrfs")
		disk.Unmount(t)
		testdest.Tool(t, "mkfs.btrfs", "-q", "-f", "-O", "^extref", disk.Image)
		disk.Remount(t)
		manyNames(t, src, disk.Mount, 400, 80)
	})
	t.Run("66,000", func(t *testing.T) {
		src := loopfs.NewFS(t, "512M", "tmpfs")
		manyNames(t, src, loopfs.New(t, "1G"), 66_000, 1)
	})
}

func manyNames(t *testing.T, src, disk string, names, length int) {
	t.Helper()
	dest := filepath.Join(disk, "dest")
	testdest.Must(t, os.Mkdir(dest, 0o755))
	testbin.Must(t, "init", dest)
	first := filepath.Join(src, strings.Repeat("n", length))
	testdest.Write(t, first, "one")
	for i := 1; i < names; i++ {
		testdest.Must(t, os.Link(first, first+fmt.Sprint(i)))
	}
	testdest.Write(t, filepath.Join(src, "other", "a"), "x")
	testdest.Must(t, os.Link(filepath.Join(src, "other", "a"), filepath.Join(src, "other", "b")))
	r := backup(t, 0, src, dest)
	wantSaid(t, r, "files of their own")
	backup(t, 0, src, dest)
	testdest.WantSame(t, src, testdest.CurrentPath(t, dest), "--no-hard-links")
	if names > 1000 {
		testdest.Write(t, filepath.Join(src, "other", "a"), "changed, and still linked")
		backup(t, 0, src, dest)
		if !sameFile(t, filepath.Join(testdest.CurrentPath(t, dest), "other", "a"), filepath.Join(testdest.CurrentPath(t, dest), "other", "b")) {
			t.Error("other hard links were lost")
		}
		return
	}
	testdest.Write(t, first, "two")
	testdest.Write(t, filepath.Join(src, "other", "a"), "y")
	backup(t, 0, src, dest)
	testdest.WantSame(t, src, testdest.CurrentPath(t, dest), "--no-hard-links")
	testdest.Must(t, os.Remove(first+"1"))
	testdest.Write(t, first+"1", "alone")
	backup(t, 0, src, dest)
	testdest.WantSame(t, src, testdest.CurrentPath(t, dest), "--no-hard-links")
}

// A name that stayed linked is replaced after that was decided, and before rsync reads it.
func TestALinkIsReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	src, dest := newSource(t), testdest.New(t, "256M")
	testdest.Write(t, filepath.Join(src, "a"), "the old one")
	testdest.Must(t, os.Link(filepath.Join(src, "a"), filepath.Join(src, "b")))
	backup(t, 0, src, dest)
	bin := t.TempDir()
	// The first rsync that transfers finds that b is a file of its own.
	testdest.Write(t, filepath.Join(bin, "rsync"), `#!/bin/sh
case "$*" in *--stats*) [ -e "`+bin+`/done" ] || { touch "`+bin+`/done"; rm "`+src+`/b"; echo "the new content" >"`+src+`/b"; };; esac
exec /usr/bin/rsync "$@"
`)
	testdest.Must(t, os.Chmod(filepath.Join(bin, "rsync"), 0o755))
	r := testbin.RunEnv(t, []string{"PATH=" + bin + ":" + os.Getenv("PATH")}, "backup", "--scan=full", src, dest)
	if r.Exit != 0 {
		t.Fatalf("exit %d\n%s", r.Exit, r.Stderr)
	}
	if _, err := os.Stat(filepath.Join(bin, "done")); err != nil {
		t.Fatal("the other rsync did not run")
	}
	testdest.WantSame(t, src, testdest.CurrentPath(t, dest))
}

func sameFile(t testing.TB, a, b string) bool {
	t.Helper()
	fa, err := os.Stat(a)
	testdest.Must(t, err)
	fb, err := os.Stat(b)
	testdest.Must(t, err)
	return os.SameFile(fa, fb)
}
