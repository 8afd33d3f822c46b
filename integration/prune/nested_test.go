//go:build integration

package prune

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// RsbtBackup left backups writable, and people make subvolumes in them.
func TestNestedSubvolumesGoWithTheirBackup(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"prune", "delete"} {
		t.Run(verb, func(t *testing.T) {
			dest := testdest.New(t, "256M")
			madeUp(t, dest, "2020-01-01-00:00", "2020-01-02-00:00")
			old := filepath.Join(dest, "2020-01-01-00:00")
			makeWritable(t, old)
			testdest.NewSubvolume(t, old+"/one")
			testdest.NewSubvolume(t, old+"/one/two\nlines \x1b[31m")
			testdest.Write(t, old+"/one/two\nlines \x1b[31m/d/f", "deep")
			testdest.Must(t, os.Mkdir(old+"/dir", 0o755))
			testdest.Snapshot(t, filepath.Join(dest, "2020-01-02-00:00"), old+"/dir/read-only", true)
			outside := filepath.Join(filepath.Dir(dest), "outside")
			testdest.NewSubvolume(t, outside)
			testdest.Write(t, outside+"/f", "outside")
			testdest.Must(t, os.Symlink(outside, old+"/link"))
			testdest.Must(t, os.Symlink("../../../outside", old+"/one/link"))
			before := testdest.Digest(t, outside) + testdest.Digest(t, filepath.Join(dest, "2020-01-02-00:00"))
			setReadOnly(t, old)

			if verb == "prune" {
				testbin.Must(t, "prune", dest, "--keep-last=1")
			} else {
				testbin.Must(t, "delete", dest, "2020-01-01")
			}
			wantNames(t, dest, "2020-01-02-00:00")
			wantTidy(t, dest)
			if after := testdest.Digest(t, outside) + testdest.Digest(t, filepath.Join(dest, "2020-01-02-00:00")); after != before {
				t.Error("something outside the backup has changed")
			}
		})
	}
}

// What the kernel refuses to delete even for root stays whole, and stops neither the other deletions nor later runs.
func TestABackupInUseStaysWhole(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	madeUp(t, dest, "2020-01-01-00:00", "2020-01-02-00:00", "2020-01-03-00:00")
	old := filepath.Join(dest, "2020-01-01-00:00")
	before := testdest.Digest(t, old)
	out, err := exec.Command("btrfs", "subvolume", "set-default", old).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r := testbin.Run(t, "prune", dest, "--keep-last=1")
	testdest.WantExit(t, r, 1)
	wantNames(t, dest, "2020-01-01-00:00", "2020-01-03-00:00")
	if testdest.Digest(t, old) != before {
		t.Error("the backup has changed")
	}
	// Nested, it is found out only when the outer one has lost its name.
	makeWritable(t, old)
	testdest.Must(t, os.Mkdir(old+"/in", 0o755))
	testdest.Snapshot(t, old, old+"/in/nested", false)
	if out, err := exec.Command("btrfs", "subvolume", "set-default", old+"/in/nested").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	testdest.WantExit(t, testbin.Run(t, "prune", dest, "--keep-last=1"), 1)
	src := t.TempDir()
	testdest.Write(t, src+"/f", "1")
	testbin.Must(t, "backup", src, dest)
	if out, err := exec.Command("btrfs", "subvolume", "set-default", "5", dest).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	testbin.Must(t, "prune", dest, "--keep-last=1")
	wantTidy(t, dest)
}

func makeWritable(t testing.TB, path string) {
	t.Helper()
	f, err := btrfs.OpenDir(path)
	testdest.Must(t, err)
	defer f.Close()
	testdest.Must(t, btrfs.SetReadOnly(f, false))
}

func setReadOnly(t testing.TB, path string) {
	t.Helper()
	f, err := btrfs.OpenDir(path)
	testdest.Must(t, err)
	defer f.Close()
	testdest.Must(t, btrfs.SetReadOnly(f, true))
}

// What is mounted in a backup is not part of it: root's deletion detaches it, and an ordinary user's stops there.
func TestAMountInsideABackupKeepsItsFiles(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	madeUp(t, dest, "2020-01-01-00:00", "2020-01-02-00:00")
	treasure := t.TempDir()
	testdest.Write(t, treasure+"/d/f", "treasure")
	testdest.Must(t, os.Chmod(treasure, 0o777))
	testdest.Must(t, os.Chmod(treasure+"/d", 0o777))
	old := filepath.Join(dest, "2020-01-01-00:00")
	for _, uid := range []uint32{nobody, 0} {
		if uid != 0 {
			makeWritable(t, old)
			give(t, uid, dest)
		}
		testdest.Must(t, unix.Mount(treasure, old+"/d1", "", unix.MS_BIND, ""))
		r := testbin.Finish(t, command(t, uid, "prune", dest, "--keep-last=1"))
		// The mount follows the directory when the backup is renamed.
		_ = unix.Unmount(old+"/d1", unix.MNT_DETACH)
		_ = unix.Unmount(filepath.Join(trashOf(t, dest, "2020-01-01-00:00"), "d1"), unix.MNT_DETACH)
		if !testdest.Exists(treasure + "/d/f") {
			t.Fatalf("as uid %d: a file outside is gone\n%s%s", uid, r.Stdout, r.Stderr)
		}
		if uid != 0 {
			testdest.WantExit(t, r, 1)
			testdest.WantExit(t, testbin.Finish(t, command(t, uid, "prune", dest, "--keep-last=1")), 0)
			give(t, 0, dest)
			old = filepath.Join(dest, "2020-01-02-00:00")
			madeUp(t, dest, "2020-01-03-00:00")
			testbin.Must(t, "prune", dest, "--keep-last=9")
		} else {
			testdest.WantExit(t, r, 0)
		}
		wantTidy(t, dest)
	}
}

// give makes everything in dest belong to a user.
func give(t testing.TB, uid uint32, dest string) {
	t.Helper()
	for _, b := range testdest.Names(t, dest) {
		makeWritable(t, filepath.Join(dest, b))
	}
	if out, err := exec.Command("chown", "-hR", fmt.Sprintf("%d:%d", uid, uid), dest).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v: %s", err, out)
	}
	for _, b := range testdest.Names(t, dest) {
		setReadOnly(t, filepath.Join(dest, b))
	}
}
