//go:build integration

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// newSourceWithDisk is a source with a disk mounted at data, and a DEST with one backup of it.
func newSourceWithDisk(t *testing.T, flags ...string) (src string, detach func(), image, device string, d *dest) {
	t.Helper()
	d = newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
	src, image, device = t.TempDir(), makeDisk(t, "ext4", twin{fill: 'a'}), ownLoop(t)
	twin{fill: 'o'}.write(t, src)
	testdest.Must(t, os.Mkdir(filepath.Join(src, "data"), 0o755))
	detach = attach(t, device, image, "ext4", filepath.Join(src, "data"))
	wantExit(t, run(t, slices.Concat([]string{"backup", src, d.path}, flags)...), 0)
	return src, detach, image, device, d
}

// TestAMountBelowTheSourceIsMissing unmounts a disk below SRC: what is on it must not go from the backup.
func TestAMountBelowTheSourceIsMissing(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(point string){
		"empty":  func(string) {},
		"absent": func(point string) { testdest.Must(t, os.Remove(point)) },
		"written to": func(point string) {
			testdest.Must(t, os.WriteFile(filepath.Join(point, "stray"), nil, 0o644))
		},
	} {
		t.Run(name, func(t *testing.T) {
			src, detach, image, device, d := newSourceWithDisk(t)
			detach()
			leave(filepath.Join(src, "data"))
			guarded(t, d, src, d.path)
			r := run(t, "backup", "-n", src, d.path)
			wantExit(t, r, 13)
			if !strings.Contains(r.stderr, device) || !strings.Contains(r.stderr, filepath.Join(src, "data")) {
				t.Errorf("the disk is not named:\n%s", r.stderr)
			}
			testdest.Must(t, os.RemoveAll(filepath.Join(src, "data")))
			testdest.Must(t, os.Mkdir(filepath.Join(src, "data"), 0o755))
			detach = attach(t, device, image, "ext4", filepath.Join(src, "data"))
			wantExit(t, run(t, "backup", src, d.path), 0)
			detach()
			wantExit(t, run(t, "backup", "--force", src, d.path), 0)
			wantExit(t, run(t, "backup", src, d.path), 0) // it is on record no more
		})
	}
}

// TestAViewBelowTheSourceIsMissing is the same of a FUSE mount, whose directory stays.
func TestAViewBelowTheSourceIsMissing(t *testing.T) {
	t.Parallel()
	d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
	src, shown := t.TempDir(), t.TempDir()
	twin{fill: 'a'}.write(t, shown)
	twin{fill: 'o'}.write(t, src)
	point := filepath.Join(src, "remote")
	testdest.Must(t, os.Mkdir(point, 0o755))
	testdest.Tool(t, "bindfs", shown, point)
	wantExit(t, run(t, "backup", src, d.path), 0)
	testdest.Tool(t, "umount", point)
	guarded(t, d, src, d.path)
	testdest.Must(t, os.Remove(point))
	wantExit(t, run(t, "backup", src, d.path), 0)
}

// TestMountsThatMayChange is what happens to healthy mounts: none of it is refused.
func TestMountsThatMayChange(t *testing.T) {
	t.Parallel()
	fine := func(t *testing.T, d *dest, args ...string) result {
		t.Helper()
		r := run(t, append([]string{"backup"}, args...)...)
		wantExit(t, r, 0)
		return r
	}
	t.Run("another device number after a boot", func(t *testing.T) {
		src, detach, image, _, d := newSourceWithDisk(t)
		detach()
		attach(t, ownLoop(t), image, "ext4", filepath.Join(src, "data"))
		if r := fine(t, d, src, d.path); strings.Contains(r.stderr, "contents are compared") {
			t.Errorf("taken for another disk:\n%s", r.stderr)
		}
	})
	t.Run("resized", func(t *testing.T) {
		src, detach, image, device, d := newSourceWithDisk(t)
		detach()
		testdest.Must(t, os.Truncate(image, 400<<20))
		testdest.Tool(t, "e2fsck", "-fy", image)
		testdest.Tool(t, "resize2fs", image)
		attach(t, device, image, "ext4", filepath.Join(src, "data"))
		if r := fine(t, d, src, d.path); strings.Contains(r.stderr, "contents are compared") {
			t.Errorf("taken for another disk:\n%s", r.stderr)
		}
	})
	t.Run("mounted at another name", func(t *testing.T) {
		src, detach, image, device, d := newSourceWithDisk(t)
		detach()
		testdest.Must(t, os.Mkdir(filepath.Join(src, "renamed"), 0o755))
		attach(t, device, image, "ext4", filepath.Join(src, "renamed"))
		fine(t, d, src, d.path)
	})
	t.Run("a new disk with the same files", func(t *testing.T) {
		src, detach, _, device, d := newSourceWithDisk(t)
		detach()
		attach(t, device, makeDisk(t, "ext4", twin{fill: 'b'}), "ext4", filepath.Join(src, "data"))
		fine(t, d, src, d.path)
		if got := read(t, filepath.Join(d.join("cur"), "data", "file3")); got[0] != 'b' {
			t.Errorf("the backup has %q of the disk before", got[0])
		}
	})
	t.Run("the files were moved to the disk above", func(t *testing.T) {
		src, detach, _, _, d := newSourceWithDisk(t)
		detach()
		twin{fill: 'c'}.write(t, filepath.Join(src, "data"))
		fine(t, d, src, d.path)
		if got := read(t, filepath.Join(d.join("cur"), "data", "file3")); got[0] != 'c' {
			t.Errorf("the backup has %q of the disk before", got[0])
		}
	})
	t.Run("left out by a rule now", func(t *testing.T) {
		src, detach, _, _, d := newSourceWithDisk(t)
		detach()
		fine(t, d, "--exclude=/data", src, d.path)
	})
	t.Run("always left out", func(t *testing.T) {
		src, detach, _, _, d := newSourceWithDisk(t, "--exclude=/da*")
		detach()
		fine(t, d, "--exclude=/da*", src, d.path)
	})
	t.Run("on one filesystem", func(t *testing.T) {
		src, detach, _, _, d := newSourceWithDisk(t, "-x")
		detach()
		fine(t, d, "-x", src, d.path)
	})
	for name, flags := range map[string][]string{"bound onto itself": nil, "bound onto itself, on one filesystem": {"-x"}} {
		t.Run(name, func(t *testing.T) { // as in the sandbox of a service, and outside again
			d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
			src := t.TempDir()
			data := filepath.Join(src, "data")
			twin{fill: 'a'}.write(t, data)
			args := append([]string{src, d.path}, flags...)
			fine(t, d, args...)
			for range 2 {
				bindAt(t, data, data)
				if r := fine(t, d, args...); strings.Contains(r.stderr, "contents are compared") {
					t.Errorf("taken for another directory:\n%s", r.stderr)
				}
				testdest.Must(t, unix.Unmount(data, unix.MNT_DETACH))
				if r := fine(t, d, args...); strings.Contains(r.stderr, "contents are compared") {
					t.Errorf("taken for another directory:\n%s", r.stderr)
				}
			}
		})
	}
	t.Run("tmpfs of a session, with its directory", func(t *testing.T) {
		d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
		src := t.TempDir()
		point := filepath.Join(src, "run", "1000")
		testdest.Must(t, os.MkdirAll(point, 0o755))
		testdest.Must(t, unix.Mount("tmpfs", point, "tmpfs", 0, "size=1M"))
		testdest.Must(t, os.WriteFile(filepath.Join(point, "bus"), nil, 0o600))
		fine(t, d, src, d.path)
		testdest.Must(t, unix.Unmount(point, 0))
		testdest.Must(t, os.Remove(point))
		fine(t, d, src, d.path)
	})
	t.Run("overlay of a container", func(t *testing.T) {
		d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
		src := t.TempDir()
		merged := filepath.Join(src, "merged")
		testdest.Must(t, os.Mkdir(merged, 0o755))
		below := bindAt(t, loopfs.New(t, "128M"), filepath.Join(src, "layers"))
		for _, dir := range []string{"lower", "upper", "work"} {
			testdest.Must(t, os.Mkdir(filepath.Join(below, dir), 0o755))
		}
		testdest.Must(t, os.WriteFile(filepath.Join(below, "lower", "file"), nil, 0o644))
		testdest.Must(t, unix.Mount("overlay", merged, "overlay", 0, fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", below)))
		t.Cleanup(func() { _ = unix.Unmount(merged, unix.MNT_DETACH) })
		testdest.Must(t, os.WriteFile(filepath.Join(src, "other"), nil, 0o644))
		fine(t, d, src, d.path)
		testdest.Must(t, unix.Unmount(merged, 0))
		fine(t, d, src, d.path)
	})
}

// TestAnOverlayBelowTheSourceIsMissing has its layers elsewhere: what it shows is nowhere else in the backup.
func TestAnOverlayBelowTheSourceIsMissing(t *testing.T) {
	t.Parallel()
	d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
	src, below := t.TempDir(), loopfs.NewFS(t, "64M", "ext4")
	point := filepath.Join(src, "merged")
	for _, dir := range []string{point, below + "/lower", below + "/upper", below + "/work"} {
		testdest.Must(t, os.Mkdir(dir, 0o755))
	}
	twin{fill: 'a'}.write(t, filepath.Join(below, "lower"))
	twin{fill: 'o'}.write(t, src)
	testdest.Must(t, unix.Mount("overlay", point, "overlay", 0, fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", below)))
	t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) })
	wantExit(t, run(t, "backup", src, d.path), 0)
	testdest.Must(t, unix.Unmount(point, 0))
	guarded(t, d, src, d.path)
	testdest.Must(t, os.Remove(point))
	wantExit(t, run(t, "backup", src, d.path), 0)
}

// TestAMountThatHidesWhatTheBackupHas mounts an empty disk over a directory.
func TestAMountThatHidesWhatTheBackupHas(t *testing.T) {
	t.Parallel()
	d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
	src := t.TempDir()
	twin{fill: 'a'}.write(t, src)
	twin{fill: 'a'}.write(t, filepath.Join(src, "data"))
	wantExit(t, run(t, "backup", src, d.path), 0)
	detach := attach(t, ownLoop(t), makeDisk(t, "ext4", twin{fill: 'z', name: "another"}), "ext4", filepath.Join(src, "data"))
	wantExit(t, run(t, "backup", src, d.path), 0) // the same names
	testdest.Tool(t, "find", filepath.Join(src, "data"), "-mindepth", "1", "-delete")
	detach()
	twin{fill: 'a'}.write(t, filepath.Join(src, "data"))
	wantExit(t, run(t, "backup", src, d.path), 0)
	disk := loopfs.NewImage(t, "64M", "ext4")
	bindAt(t, disk.Mount, filepath.Join(src, "data"))
	guarded(t, d, src, d.path)
}

// TestADiskIsUnmountedInTheRun takes a disk below SRC away while rsync reads.
func TestADiskIsUnmountedInTheRun(t *testing.T) {
	t.Parallel()
	src, _, _, _, d := newSourceWithDisk(t)
	env := fakeRsync(t, fmt.Sprintf(`umount -l %s; exec "$REAL" "$@"`, filepath.Join(src, "data")))
	wantExit(t, runEnv(t, env, "backup", src, d.path), 12)
	if !testdest.Exists(filepath.Join(d.join("cur"), "data", "file3")) {
		t.Error("cur names a backup without the disk")
	}
}

// TestRestoreInPlaceAfterAnUnmount must not write into a bare mount point, of SRC or below it.
func TestRestoreInPlaceAfterAnUnmount(t *testing.T) {
	t.Parallel()
	src, detach, image, device, d := newSourceWithDisk(t)
	restore := func(more ...string) result {
		return run(t, slices.Concat([]string{"restore", d.path, "latest"}, more, []string{"--in-place", "--overwrite=if-changed"})...)
	}
	detach()
	for _, paths := range [][]string{nil, {"data"}, {"data/file3"}} {
		wantExit(t, restore(paths...), 13)
		if found := testdest.Entries(t, filepath.Join(src, "data")); len(found) > 0 {
			t.Errorf("the restore of %q wrote %q into the mount point", paths, found)
		}
	}
	wantExit(t, restore("file3"), 0)
	attach(t, device, image, "ext4", filepath.Join(src, "data"))
	wantExit(t, restore(), 0)

	top := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
	disk := loopfs.NewImage(t, "64M", "ext4")
	twin{fill: 'a'}.write(t, disk.Mount)
	wantExit(t, run(t, "backup", disk.Mount, top.path), 0)
	disk.Unmount(t)
	wantExit(t, run(t, "restore", top.path, "latest", "--in-place"), 13)
	if found := testdest.Entries(t, disk.Mount); len(found) > 0 {
		t.Errorf("the restore wrote %q into the mount point", found)
	}
	wantExit(t, run(t, "restore", top.path, "latest", "--in-place", "--dry-run"), 0)
	wantExit(t, run(t, "restore", top.path, "latest", "--in-place", "--force"), 0)
	testdest.Tool(t, "find", disk.Mount, "-mindepth", "1", "-delete")
	disk.Remount(t)
	wantExit(t, run(t, "restore", top.path, "latest", "--in-place", "--overwrite=if-changed"), 0)
}

// TestGuardDestThroughFUSE shows DEST by a filesystem whose content no table of mounts explains.
func TestGuardDestThroughFUSE(t *testing.T) {
	t.Parallel()
	view := func(t *testing.T, dir, point string) {
		testdest.Must(t, os.MkdirAll(point, 0o755))
		testdest.Tool(t, "bindfs", dir, point)
		t.Cleanup(func() { testdest.Tool(t, "umount", point) })
	}
	for name, shown := range map[string]func(d *dest) string{
		"itself":           func(d *dest) string { return d.path },
		"what it lies in":  func(d *dest) string { return filepath.Dir(d.path) },
		"two levels above": func(d *dest) string { return filepath.Dir(filepath.Dir(d.path)) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "some", "dest"))
			src := t.TempDir()
			testdest.Must(t, os.WriteFile(filepath.Join(src, "data"), []byte("data"), 0o644))
			view(t, shown(d), filepath.Join(src, "sub", "view"))
			guarded(t, d, src, d.path)
			guarded(t, d, filepath.Join(src, "sub"), d.path)
			wantExit(t, run(t, "backup", "--exclude=/sub/view", src, d.path), 0)
			wantExit(t, run(t, "backup", "--force", src, d.path), 0)
			if found := findAll(t, d.join("cur")+"/", "activity.log"); len(found) > 0 {
				t.Errorf("the backup has DEST in it: %q", found)
			}
		})
	}
	t.Run("by another path than it was named", func(t *testing.T) {
		disk := loopfs.New(t, "512M")
		testdest.Must(t, os.MkdirAll(filepath.Join(disk, "deep", "backups"), 0o755))
		d := newDestAt(t, filepath.Join(bind(t, filepath.Join(disk, "deep", "backups")), "dest"))
		src := t.TempDir()
		view(t, disk, filepath.Join(src, "view"))
		guarded(t, d, src, d.path)
		wantExit(t, run(t, "backup", "--exclude=/view/deep", src, d.path), 0)
	})
	t.Run("overlay", func(t *testing.T) {
		d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
		src := t.TempDir()
		point := filepath.Join(src, "merged")
		testdest.Must(t, os.Mkdir(point, 0o755))
		testdest.Must(t, unix.Mount("overlay", point, "overlay", 0, fmt.Sprintf("lowerdir=%s:%s", filepath.Dir(d.path), t.TempDir())))
		t.Cleanup(func() { testdest.Must(t, unix.Unmount(point, unix.MNT_DETACH)) })
		guarded(t, d, src, d.path)
	})
	t.Run("SRC is the view, or in it", func(t *testing.T) {
		d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
		testdest.Must(t, os.Mkdir(d.join("mine"), 0o755))
		point := filepath.Join(t.TempDir(), "view")
		view(t, d.path, point)
		guarded(t, d, point, d.path)
		guarded(t, d, filepath.Join(point, "mine"), d.path)
	})
	t.Run("a copy of DEST is no view of it", func(t *testing.T) {
		d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
		copied := filepath.Join(t.TempDir(), "dest")
		testdest.Tool(t, "cp", "-a", d.path, copied)
		src := t.TempDir()
		view(t, copied, filepath.Join(src, "view"))
		wantExit(t, run(t, "backup", src, d.path), 0)
	})
}

func findAll(t testing.TB, dir, name string) (found []string) {
	t.Helper()
	testdest.Must(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Name() == name {
			found = append(found, path)
		}
		return err
	}))
	return found
}
