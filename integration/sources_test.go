//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// A snapshot shows a nested subvolume as an empty directory that nobody can write into, so the second backup could
// fail.
func TestSubvolumesNestedInTheSourceAreCopied(t *testing.T) {
	t.Parallel()
	src, dest := nestedSource(t), testdest.New(t, "2G")
	for _, content := range []string{"one", "two", "three"} {
		testdest.Write(t, src+"/nested/file", content)
		testdest.Write(t, src+"/nested/deeper/file", content)
		testdest.WantSame(t, src, testdest.Backup(t, src, dest))
	}
	wantTidy(t, dest)
}

func TestOneFileSystemSaysWhatItSkips(t *testing.T) {
	t.Parallel()
	src, dest := nestedSource(t), testdest.New(t, "2G")
	mount := loopfs.NewFS(t, "16M", "tmpfs")
	testdest.Write(t, mount+"/file", "x")
	testdest.MakeDir(t, src+"/mounted")
	testdest.Tool(t, "mount", "--bind", mount, src+"/mounted")
	t.Cleanup(func() { testdest.Tool(t, "umount", src+"/mounted") })

	r := testbin.Must(t, "-v", "backup", "-x", src, dest)
	for _, name := range []string{"nested", "mounted"} {
		if !strings.Contains(r.Stdout+r.Stderr, name) {
			t.Errorf("nothing is said of %s, which was skipped:\n%s%s", name, r.Stdout, r.Stderr)
		}
		if got := testdest.Entries(t, filepath.Join(dest, testdest.Current(t, dest), name)); len(got) != 0 {
			t.Errorf("%s holds %q although it is another file system", name, got)
		}
	}
	testdest.WantSame(t, src, filepath.Join(dest, testdest.Current(t, dest)), "-x")
	// What was asked for is no news each night; a subvolume may not have been meant.
	if r := testbin.Must(t, "backup", "-x", src, dest); strings.Contains(r.Stderr, "mounted") || !strings.Contains(r.Stderr, `nested subvolumes are left out: nested`) {
		t.Errorf("stderr does not warn of the subvolume alone:\n%s", r.Stderr)
	}
	if notices := strings.Join(newest(t, dest, 2).Record.Notices, "\n"); !strings.Contains(notices, "filesystems are left out: mounted") || !strings.Contains(notices, "subvolumes are left out: nested") {
		t.Errorf("the record does not tell what was left out: %s", notices)
	}
	testdest.WantSame(t, src, testdest.Backup(t, src, dest, "--one-file-system"), "-x")
}

// nestedSource is on a btrfs and has a subvolume in a subvolume.
func nestedSource(t testing.TB) string {
	t.Helper()
	src := loopfs.New(t, "256M") + "/src"
	testdest.Write(t, src+"/file", "x")
	testdest.Tool(t, "btrfs", "subvolume", "create", src+"/nested")
	testdest.Tool(t, "btrfs", "subvolume", "create", src+"/nested/deeper")
	return src
}

// The common way to back up / to a disk mounted below it.
func TestADestMountedBelowTheSourceIsLeftOutByOneFileSystem(t *testing.T) {
	t.Parallel()
	disk := loopfs.New(t, "256M")
	src := t.TempDir()
	testdest.Write(t, src+"/file", "x")
	testdest.MakeDir(t, src+"/mnt")
	testdest.Tool(t, "mount", "--bind", disk, src+"/mnt")
	t.Cleanup(func() { testdest.Tool(t, "umount", src+"/mnt") })
	dest := testdest.On(t, src+"/mnt")
	if r := testbin.Run(t, "backup", src, dest); r.Exit != 13 {
		t.Errorf("exit %d without -x, want 13: %s", r.Exit, r.Stderr)
	}
	for range 2 {
		testdest.WantSame(t, src, testdest.Backup(t, src, dest, "-x"), "-x")
	}
	newest(t, dest, 2)
}

// An unmounted disk leaves a directory that may even hold something.
func TestASourceOnAnotherFileSystemThanBeforeIsRefused(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "2G")
	image := loopfs.NewImage(t, "64M", "ext4")
	testdest.Write(t, image.Mount+"/file", "on the disk")
	testdest.Backup(t, image.Mount, dest)
	image.Unmount(t)
	t.Run("the mount point is empty", func(t *testing.T) { wantGuard(t, image.Mount, dest) })
	testdest.Write(t, image.Mount+"/stray", "below the mount point")
	t.Run("the mount point holds something", func(t *testing.T) { wantGuard(t, image.Mount, dest) })
	testdest.Must(t, os.Remove(image.Mount+"/stray"))
	image.Remount(t)
	testdest.WantSame(t, image.Mount, testdest.Backup(t, image.Mount, dest))
}

func wantGuard(t testing.TB, src, dest string) {
	t.Helper()
	r := testbin.Run(t, "backup", src, dest)
	if r.Exit != 13 {
		t.Errorf("exit %d, want 13: %s", r.Exit, r.Stderr)
	}
	wantOneErrorLine(t, r, src)
	newest(t, dest, 1)
	wantTidy(t, dest)
}

// Sizes and times say little about files of another source, so contents are compared; for the same source they are
// trusted, under any path.
func TestOnlyAnotherSourceIsComparedByContent(t *testing.T) {
	t.Parallel()
	disk := loopfs.New(t, "512M")
	for _, tt := range []struct{ what, name string }{{"plain", "plain"}, {"invalid UTF-8", "\xff\xfe"}} {
		t.Run(tt.what, func(t *testing.T) {
			src, dest := filepath.Join(disk, "src", tt.name), testdest.Init(t, filepath.Join(disk, tt.what))
			testdest.Write(t, src+"/file", "x")
			given := filepath.Join(t.TempDir(), "given")
			spy := invocation{env: fakeRsync(t, `echo "$@" >>'`+given+`'; exec $REAL "$@"`)}
			for range 2 {
				spy.must(t, "backup", src, dest)
			}
			if strings.Contains(testdest.Read(t, given), "--checksum") {
				t.Errorf("the same source was compared by content:\n%s", testdest.Read(t, given))
			}

			other := t.TempDir()
			testdest.Tool(t, "cp", "-a", src+"/.", other)
			overwrite(t, other+"/file", 0, "y")
			testdest.Tool(t, "touch", "-r", src+"/file", other+"/file")
			spy.must(t, "backup", other, dest)
			if !strings.Contains(testdest.Read(t, given), "--checksum") {
				t.Error("another source was not compared by content")
			}
			testdest.WantSame(t, other, filepath.Join(dest, testdest.Current(t, dest)))
		})
	}
}
