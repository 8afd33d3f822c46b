package loopfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Image is a mounted image file. Its methods fail the test instead of returning an error, because no test can continue
// without its file system.
type Image struct {
	Dir   string // the arguments for mkloopfs.sh
	Image string // the image file; there is none for tmpfs
	Mount string // the mount point; Unmount and Remount do not change the path

	fstype  string
	options string
	copies  string // the directory for crash copies; empty unless the image is on a btrfs of ours
}

// Unmount unmounts the image after a normal flush.
func (i *Image) Unmount(t testing.TB) {
	t.Helper()
	script(t, "unmount", i.Mount)
}

// Remount unmounts the image if it is mounted, and mounts it with the given options, or with the original ones if there
// are none. The mount has a new mount id, as after a reboot; it fails if files of the old one are open.
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

// SetOptions changes options of the mount, such as "ro" or "commit=1", while it is in use. It stays the same mount with
// the same mount id.
func (i *Image) SetOptions(t testing.TB, mountOpts ...string) {
	t.Helper()
	command(t, "mount", "-o", strings.Join(append([]string{"remount"}, mountOpts...), ","), "--", i.Mount)
}

// CrashCopy mounts the state that a power cut at this moment would leave, and returns the mount point. It exists until
// t ends; the image itself is not changed. The copy is a reflink of the image file while it is mounted: it has every
// block that the file system has written so far, flushed or not, and nothing that is only in memory. Linux 6.18 mounts
// a btrfs beside its clone with a temporary file system id; kernels before 6.7 refuse.
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
