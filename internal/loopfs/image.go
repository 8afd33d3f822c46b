package loopfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Image is a mounted image file. Its methods fail the test they are given and return nothing else: no test can go on
// without its file system.
type Image struct {
	Dir   string // what mkloopfs.sh was given
	Image string // the image file; there is none for tmpfs
	Mount string // the mount point; the path stays the same over Unmount and Remount

	fstype  string
	options string
	copies  string // where crash copies go; empty unless the image lies on a btrfs of ours
}

// Unmount unmounts the image in the orderly way, with everything written out.
func (i *Image) Unmount(t testing.TB) {
	t.Helper()
	script(t, "unmount", i.Mount)
}

// Remount unmounts the image if it is mounted, and mounts it with the given options, or with those of the first time
// when there are none. The mount is a new one with a new mount id, as after a reboot; open files of the old one make it
// fail.
func (i *Image) Remount(t testing.TB, mountOpts ...string) {
	t.Helper()
	if mounted(t, i.Mount) {
		i.Unmount(t)
	}
	options := i.options
	if len(mountOpts) > 0 {
		options = strings.Join(mountOpts, ",")
	}
	mountImage(t, i.fstype, options, i.Image, i.Mount)
}

// SetOptions changes options of the running mount, such as "ro" or "commit=1", while it is in use. It is the same mount
// with the same mount id.
func (i *Image) SetOptions(t testing.TB, mountOpts ...string) {
	t.Helper()
	command(t, "mount", "-o", strings.Join(append([]string{"remount"}, mountOpts...), ","), "--", i.Mount)
}

// CrashCopy mounts what a power cut at this instant would leave, and returns the mount point. It stays until t ends;
// the image itself is not disturbed. The copy is a reflink of the image file taken while it is mounted: it has every
// block the file system has written so far, flushed or not, and nothing that is only in memory. Linux 6.18 mounts a
// btrfs beside its clone under a temporary file system id; kernels before 6.7 refuse.
//
// The image must come from [NewNested].
func (i *Image) CrashCopy(t testing.TB) string {
	t.Helper()
	if i.copies == "" {
		t.Fatal("loopfs: only an image made by NewNested can be crash-copied")
	}
	if err := os.MkdirAll(i.copies, 0o755); err != nil {
		t.Fatalf("loopfs: %v", err)
	}
	dir, err := os.MkdirTemp(i.copies, "")
	if err != nil {
		t.Fatalf("loopfs: %v", err)
	}
	image, mount := filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	command(t, "cp", "--reflink=always", "--", i.Image, image)
	return mountCopy(t, image, mount)
}

func mountCopy(t testing.TB, image, mount string) string {
	t.Helper()
	if err := os.Mkdir(mount, 0o755); err != nil {
		t.Fatalf("loopfs: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(filepath.Dir(image)); err != nil {
			t.Errorf("loopfs: %v", err)
		}
	})
	mountImage(t, "btrfs", "", image, mount)
	t.Cleanup(func() { script(t, "unmount", mount) })
	return mount
}

func mountImage(t testing.TB, fstype, options, image, mount string) {
	t.Helper()
	if options != "" {
		options = "," + options
	}
	command(t, "mount", "-t", fstype, "-o", "loop"+options, "--", image, mount)
}
