//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

// A snapshot shows a nested subvolume as an empty directory nobody can write into, so the second
// backup is the one that could go wrong.
func TestSubvolumesNestedInTheSourceAreCopied(t *testing.T) {
	t.Parallel()
	src, dest := nestedSource(t), newDest(t)
	for _, content := range []string{"one", "two", "three"} {
		write(t, src+"/nested/file", content)
		write(t, src+"/nested/deeper/file", content)
		wantSame(t, src, backup(t, src, dest))
	}
	wantTidy(t, dest)
}

func TestOneFileSystemSaysWhatItSkips(t *testing.T) {
	t.Parallel()
	src, dest := nestedSource(t), newDest(t)
	mount := loopfs.NewFS(t, "16M", "tmpfs")
	write(t, mount+"/file", "x")
	makeDir(t, src+"/mounted")
	tool(t, "mount", "--bind", mount, src+"/mounted")
	t.Cleanup(func() { tool(t, "umount", src+"/mounted") })

	r := testbin.Must(t, "-v", "backup", "-x", src, dest)
	for _, name := range []string{"nested", "mounted"} {
		if !strings.Contains(r.Stdout+r.Stderr, name) {
			t.Errorf("nothing is said of %s, which was skipped:\n%s%s", name, r.Stdout, r.Stderr)
		}
		if got := names(t, filepath.Join(dest, current(t, dest), name)); len(got) != 0 {
			t.Errorf("%s holds %q although it is another file system", name, got)
		}
	}
	wantSameBut(t, src, filepath.Join(dest, current(t, dest)), "-x")
	// What was asked for is no news each night; a subvolume may not have been meant.
	if r := testbin.Must(t, "backup", "-x", src, dest); strings.Contains(r.Stderr, "mounted") || !strings.Contains(r.Stderr, `nested subvolumes are left out: nested`) {
		t.Errorf("stderr does not warn of the subvolume alone:\n%s", r.Stderr)
	}
	if notices := strings.Join(newest(t, dest, 2).Record.Notices, "\n"); !strings.Contains(notices, "filesystems are left out: mounted") || !strings.Contains(notices, "subvolumes are left out: nested") {
		t.Errorf("the record does not tell what was left out: %s", notices)
	}
	wantSameBut(t, src, backup(t, src, dest, "--one-file-system"), "-x")
}

// nestedSource is on a btrfs and has a subvolume in a subvolume.
func nestedSource(t testing.TB) string {
	t.Helper()
	src := loopfs.New(t, "256M") + "/src"
	write(t, src+"/file", "x")
	tool(t, "btrfs", "subvolume", "create", src+"/nested")
	tool(t, "btrfs", "subvolume", "create", src+"/nested/deeper")
	return src
}

// The common way to back up / to a disk mounted below it.
func TestADestMountedBelowTheSourceIsLeftOutByOneFileSystem(t *testing.T) {
	t.Parallel()
	disk := loopfs.New(t, "256M")
	src := t.TempDir()
	write(t, src+"/file", "x")
	makeDir(t, src+"/mnt")
	tool(t, "mount", "--bind", disk, src+"/mnt")
	t.Cleanup(func() { tool(t, "umount", src+"/mnt") })
	dest := newDestIn(t, src+"/mnt", "dest")
	if r := testbin.Run(t, "backup", src, dest); r.Exit != 13 {
		t.Errorf("exit %d without -x, want 13: %s", r.Exit, r.Stderr)
	}
	for range 2 {
		wantSameBut(t, src, backup(t, src, dest, "-x"), "-x")
	}
	newest(t, dest, 2)
}

// An unmounted disk leaves a directory that may even hold something.
func TestASourceOnAnotherFileSystemThanBeforeIsRefused(t *testing.T) {
	t.Parallel()
	dest := newDest(t)
	image := loopfs.NewImage(t, "64M", "ext4")
	write(t, image.Mount+"/file", "on the disk")
	backup(t, image.Mount, dest)
	image.Unmount(t)
	t.Run("the mount point is empty", func(t *testing.T) { wantGuard(t, image.Mount, dest) })
	write(t, image.Mount+"/stray", "below the mount point")
	t.Run("the mount point holds something", func(t *testing.T) { wantGuard(t, image.Mount, dest) })
	check(t, os.Remove(image.Mount+"/stray"))
	image.Remount(t)
	wantSame(t, image.Mount, backup(t, image.Mount, dest))
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

// Sizes and times say little about files of another source, so contents are compared; of the same
// source they are believed, whatever it is called.
func TestOnlyAnotherSourceIsComparedByContent(t *testing.T) {
	t.Parallel()
	disk := loopfs.New(t, "512M")
	for _, tt := range []struct{ what, name string }{{"plain", "plain"}, {"invalid UTF-8", "\xff\xfe"}} {
		t.Run(tt.what, func(t *testing.T) {
			src, dest := filepath.Join(disk, "src", tt.name), newDestIn(t, disk, tt.what)
			write(t, src+"/file", "x")
			given := filepath.Join(t.TempDir(), "given")
			spy := invocation{env: fakeRsync(t, `echo "$@" >>'`+given+`'; exec $REAL "$@"`)}
			for range 2 {
				spy.must(t, "backup", src, dest)
			}
			if strings.Contains(read(t, given), "--checksum") {
				t.Errorf("the same source was compared by content:\n%s", read(t, given))
			}

			other := t.TempDir()
			tool(t, "cp", "-a", src+"/.", other)
			overwrite(t, other+"/file", 0, "y")
			tool(t, "touch", "-r", src+"/file", other+"/file")
			spy.must(t, "backup", other, dest)
			if !strings.Contains(read(t, given), "--checksum") {
				t.Error("another source was not compared by content")
			}
			wantSame(t, other, filepath.Join(dest, current(t, dest)))
		})
	}
}
