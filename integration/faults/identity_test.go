//go:build integration

package faults

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// twin is the content of two disks that differ only in the bytes of their files.
type twin struct {
	fill byte
	name string // of a file that the other does not have; empty for none
}

// makeDisk makes an image of that type with files of the same names, sizes and times as its twin.
func makeDisk(t testing.TB, fstype string, content twin) (image string) {
	t.Helper()
	dir := t.TempDir()
	image = filepath.Join(dir, "image")
	files := filepath.Join(dir, "files")
	if fstype == "squashfs" {
		content.write(t, files)
		testdest.Tool(t, "mksquashfs", files, image, "-quiet", "-no-progress")
		return image
	}
	testdest.Must(t, os.WriteFile(image, nil, 0o600))
	testdest.Must(t, os.Truncate(image, 320<<20))
	testdest.Tool(t, "mkfs."+fstype, image)
	testdest.Must(t, os.Mkdir(files, 0o755))
	testdest.Tool(t, "mount", "-o", "loop", image, files)
	content.write(t, files)
	testdest.Tool(t, "umount", files)
	return image
}

func (c twin) write(t testing.TB, dir string) {
	t.Helper()
	at := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	testdest.Must(t, os.MkdirAll(dir, 0o755))
	for i := range 8 {
		path := filepath.Join(dir, fmt.Sprint("file", i))
		testdest.Must(t, os.WriteFile(path, bytes.Repeat([]byte{c.fill}, 5000), 0o644))
		testdest.Must(t, os.Chtimes(path, at, at))
	}
	if c.name != "" {
		testdest.Must(t, os.WriteFile(filepath.Join(dir, c.name), []byte{c.fill}, 0o644))
	}
}

// ownLoop makes a loop device that is not given to others who ask for a free one.
func ownLoop(t testing.TB) string {
	t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	testdest.Must(t, err)
	defer control.Close()
	const add, remove = 0x4C80, 0x4C81
	for number := 700 + os.Getpid()%1000; ; number++ {
		err := unix.IoctlSetInt(int(control.Fd()), add, number)
		if err == unix.EEXIST {
			continue
		}
		testdest.Must(t, err)
		t.Cleanup(func() {
			control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
			testdest.Must(t, err)
			defer control.Close()
			testdest.WaitFor(t, "the loop device to be free", func() bool { return unix.IoctlSetInt(int(control.Fd()), remove, number) == nil })
		})
		return fmt.Sprint("/dev/loop", number)
	}
}

// attach mounts an image by that device; detach undoes it.
func attach(t testing.TB, device, image, fstype, point string) (detach func()) {
	t.Helper()
	testdest.WaitFor(t, "the device before to let go of "+device, func() bool { return exec.Command("losetup", device, image).Run() == nil })
	attached := true
	detach = func() {
		if attached {
			attached = false
			if exec.Command("mountpoint", "-q", point).Run() == nil {
				testdest.Tool(t, "umount", point)
			}
			testdest.Tool(t, "losetup", "-d", device)
		}
	}
	t.Cleanup(detach)
	// XFS refuses to be mounted twice, and a test beside us that has a namespace of its own may have it mounted for a
	// moment longer.
	testdest.WaitFor(t, "the mount of "+device, func() bool { return exec.Command("mount", "-t", fstype, device, point).Run() == nil })
	return detach
}

var diskTypes = []string{"xfs", "squashfs", "ext4", "btrfs"}

// TestDiskUnderAnotherDeviceNumber backs up a disk that has another device number at each boot: nothing is refused, and
// nothing is read anew.
func TestDiskUnderAnotherDeviceNumber(t *testing.T) {
	t.Parallel()
	for _, fstype := range diskTypes {
		t.Run(fstype, func(t *testing.T) {
			d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
			point, image := t.TempDir(), makeDisk(t, fstype, twin{fill: 'a'})
			for range 2 {
				detach := attach(t, ownLoop(t), image, fstype, point)
				r := run(t, "backup", point, d.path)
				wantExit(t, r, 0)
				if strings.Contains(r.stderr, "contents are compared") {
					t.Errorf("the disk is taken for another:\n%s", r.stderr)
				}
				detach()
			}
		})
	}
}

// TestAnotherDiskUnderTheSameDeviceNumber has files of the same names, sizes and times on the disk that comes after:
// their contents must be in the backup.
func TestAnotherDiskUnderTheSameDeviceNumber(t *testing.T) {
	t.Parallel()
	for _, fstype := range diskTypes {
		t.Run(fstype, func(t *testing.T) {
			d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
			point, device := t.TempDir(), ownLoop(t)
			for _, fill := range []byte("ab") {
				detach := attach(t, device, makeDisk(t, fstype, twin{fill: fill}), fstype, point)
				wantExit(t, run(t, "backup", point, d.path), 0)
				if got := read(t, filepath.Join(d.join("cur"), "file3")); got[0] != fill {
					t.Errorf("the backup has %q, the disk %q", got[0], fill)
				}
				detach()
			}
		})
	}
}

// TestAnotherDiskWithOtherFiles lacks what the last backup has: too much to be the next state of it.
func TestAnotherDiskWithOtherFiles(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(dir string){
		"many": func(dir string) {
			for i := range 20 {
				testdest.Must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint("other", i)), nil, 0o644))
			}
		},
		"one": func(dir string) { testdest.Must(t, os.WriteFile(filepath.Join(dir, "other"), nil, 0o644)) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
			disk := loopfs.NewImage(t, "64M", "ext4")
			testdest.Must(t, os.Remove(filepath.Join(disk.Mount, "lost+found")))
			testdest.Must(t, os.WriteFile(filepath.Join(disk.Mount, "file"), []byte("a"), 0o644))
			wantExit(t, run(t, "backup", disk.Mount, d.path), 0)
			disk.Unmount(t)
			write(disk.Mount)
			guarded(t, d, disk.Mount, d.path)
			testdest.Tool(t, "find", disk.Mount, "-mindepth", "1", "-delete")
			disk.Remount(t)
			wantExit(t, run(t, "backup", disk.Mount, d.path), 0)
		})
	}
}

// TestAnotherSubvolumeAtTheSamePath swaps two subvolumes of one btrfs. A snapshot in the place of what it is one of is
// no other source.
func TestAnotherSubvolumeAtTheSamePath(t *testing.T) {
	t.Parallel()
	mount := loopfs.New(t, "512M")
	d := newDestAt(t, filepath.Join(mount, "dest"))
	one, other := filepath.Join(mount, "one"), filepath.Join(mount, "other")
	for path, fill := range map[string]byte{one: 'a', other: 'b'} {
		testdest.Tool(t, "btrfs", "subvolume", "create", path)
		twin{fill: fill}.write(t, path)
	}
	src := filepath.Join(mount, "src")
	for range 2 {
		testdest.Tool(t, "btrfs", "subvolume", "snapshot", "-r", one, src)
		r := run(t, "backup", src, d.path)
		wantExit(t, r, 0)
		if strings.Contains(r.stderr, "contents are compared") {
			t.Errorf("the next snapshot is taken for another source:\n%s", r.stderr)
		}
		testdest.Tool(t, "btrfs", "subvolume", "delete", src)
	}
	testdest.Must(t, os.Rename(other, src))
	wantExit(t, run(t, "backup", src, d.path), 0)
	if got := read(t, filepath.Join(d.join("cur"), "file3")); got[0] != 'b' {
		t.Errorf("the backup has %q of the subvolume before", got[0])
	}
}

// TestAnotherViewAtTheSamePath has FUSE and overlayfs, which no disk tells apart.
func TestAnotherViewAtTheSamePath(t *testing.T) {
	t.Parallel()
	for name, mount := range map[string]func(from, point string){
		"bindfs": func(from, point string) { testdest.Tool(t, "bindfs", from, point) },
		"overlay": func(from, point string) {
			testdest.Tool(t, "mount", "-t", "overlay", "-o", "lowerdir="+from+":"+t.TempDir(), "overlay", point)
		},
		"bind": func(from, point string) { testdest.Tool(t, "mount", "--bind", from, point) },
	} {
		t.Run(name, func(t *testing.T) {
			disk := loopfs.NewFS(t, "64M", "ext4")
			d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
			point := t.TempDir()
			for _, fill := range []byte("aab") {
				from := filepath.Join(disk, string(fill))
				if !testdest.Exists(from) {
					twin{fill: fill}.write(t, from)
				}
				mount(from, point)
				r := run(t, "backup", point, d.path)
				testdest.Tool(t, "umount", point)
				wantExit(t, r, 0)
				if got := read(t, filepath.Join(d.join("cur"), "file3")); got[0] != fill {
					t.Errorf("the backup has %q, the view %q", got[0], fill)
				}
			}
		})
	}
}

// TestAnotherDiskBehindAView has FUSE and overlayfs show the same path, where another disk is mounted by then.
func TestAnotherDiskBehindAView(t *testing.T) {
	t.Parallel()
	empty, upper, work := t.TempDir(), t.TempDir(), t.TempDir()
	for name, show := range map[string]func(from, point string){
		"bindfs": func(from, point string) { testdest.Tool(t, "bindfs", from, point) },
		"overlay": func(from, point string) {
			testdest.Tool(t, "mount", "-t", "overlay", "-o", "lowerdir="+from+":"+empty, "overlay", point)
		},
		"overlay that can be written": func(from, point string) {
			testdest.Tool(t, "mount", "-t", "overlay", "-o", "lowerdir="+from+",upperdir="+upper+",workdir="+work, "overlay", point)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
			from, point := t.TempDir(), t.TempDir()
			images := map[byte]string{'a': makeDisk(t, "ext4", twin{fill: 'a'}), 'b': makeDisk(t, "ext4", twin{fill: 'b'})}
			longAgo(t)
			for i, fill := range []byte("aab") {
				detach := attach(t, ownLoop(t), images[fill], "ext4", from)
				show(from, point)
				r := run(t, "backup", point, d.path)
				testdest.Tool(t, "umount", point)
				testdest.WaitFor(t, "bindfs to let go of the disk", func() bool { return exec.Command("umount", from).Run() == nil })
				detach()
				wantExit(t, r, 0)
				if got := read(t, filepath.Join(d.join("cur"), "file3")); got[0] != fill {
					t.Errorf("the backup has %q, the disk %q", got[0], fill)
				}
				if i == 1 && strings.Contains(r.stderr, "contents are compared") {
					t.Errorf("the same disk is taken for another:\n%s", r.stderr)
				}
			}
		})
	}
}

// TestAnotherFilesystemThatNothingIdentifies has FUSE show another directory of a tmpfs, with nothing that tells it
// from the one before but its content, and another tmpfs.
func TestAnotherFilesystemThatNothingIdentifies(t *testing.T) {
	t.Parallel()
	for name, show := range unidentified(t, "") {
		t.Run(name, func(t *testing.T) {
			d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
			point := t.TempDir()
			for _, fill := range []byte("ab") {
				hide := show(fill, point)
				for range 2 {
					r := run(t, "backup", point, d.path)
					testdest.Must(t, os.RemoveAll(d.join(".log", "catalog")))
					wantExit(t, r, 0)
					if got := read(t, filepath.Join(d.join("cur"), "file3")); got[0] != fill {
						t.Errorf("the backup has %q, the mount %q", got[0], fill)
					}
				}
				hide()
			}
		})
	}
}

// TestAnotherFilesystemBelowThatNothingIdentifies mounts them below the source: their files are compared, and only
// these.
func TestAnotherFilesystemBelowThatNothingIdentifies(t *testing.T) {
	t.Parallel()
	for name, show := range unidentified(t, "dir") {
		t.Run(name, func(t *testing.T) {
			d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
			src := filepath.Join(loopfs.NewFS(t, "64M", "ext4"), "src")
			twin{fill: 'o'}.write(t, src)
			point := filepath.Join(src, "below")
			testdest.Must(t, os.Mkdir(point, 0o755))
			longAgo(t)
			for _, fill := range []byte("aab") {
				hide := show(fill, point)
				r := run(t, "backup", src, d.path)
				hide()
				wantExit(t, r, 0)
				if got := read(t, filepath.Join(d.join("cur"), "below", "dir", "file3")); got[0] != fill {
					t.Errorf("the backup has %q, the mount %q", got[0], fill)
				}
				if strings.Contains(r.stderr, "contents are compared") {
					t.Errorf("all is compared, also what was not mounted again:\n%s", r.stderr)
				}
			}
		})
	}
}

// unidentified are ways to mount filesystems without an id, with twins below dir of each. They return how to unmount.
func unidentified(t *testing.T, dir string) map[string]func(fill byte, point string) (hide func()) {
	disks, shown := t.TempDir(), t.TempDir()
	for _, fill := range []byte("ab") {
		disk := filepath.Join(disks, string(fill))
		testdest.Must(t, os.Mkdir(disk, 0o755))
		testdest.Must(t, unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1M"))
		t.Cleanup(func() { testdest.Must(t, unix.Unmount(disk, unix.MNT_DETACH)) })
		twin{fill: fill}.write(t, filepath.Join(disk, dir))
	}
	longAgo(t)
	bind := func(fill byte, point string) func() {
		testdest.Must(t, unix.Mount(filepath.Join(disks, string(fill)), point, "", unix.MS_BIND, ""))
		return func() { testdest.Tool(t, "umount", point) }
	}
	return map[string]func(fill byte, point string) func(){
		"FUSE": func(fill byte, point string) func() {
			return testdest.ShowNameless(t, filepath.Join(disks, string(fill)), shown, point)
		},
		"tmpfs": bind,
	}
}

// longAgo waits until the change of a file is too old to be doubtful because of its ctime.
func longAgo(testing.TB) { time.Sleep(2100 * time.Millisecond) }

// TestAnotherDiskOfAnOrdinaryUser is TestAnotherDiskUnderTheSameDeviceNumber of somebody who may not read the disk.
func TestAnotherDiskOfAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	for _, fstype := range diskTypes {
		t.Run(fstype, func(t *testing.T) {
			dest := filepath.Join(loopfs.New(t, "512M"), "dest")
			testdest.Must(t, os.Mkdir(dest, 0o755))
			testdest.Must(t, os.Chown(dest, 65534, 65534))
			if r := testbin.AsNobody(t, "init", dest); r.Exit != 0 {
				t.Fatal(r.Stderr)
			}
			point, device := t.TempDir(), ownLoop(t)
			testdest.Must(t, os.Chmod(filepath.Dir(point), 0o755))
			for _, fill := range []byte("ab") {
				image := makeDisk(t, fstype, twin{fill: fill})
				longAgo(t)
				detach := attach(t, device, image, fstype, point)
				if fstype == "ext4" {
					testdest.Must(t, os.RemoveAll(filepath.Join(point, "lost+found"))) // which only root may read
				}
				r := testbin.AsNobody(t, "backup", point, dest)
				if r.Exit != 0 {
					t.Fatalf("exit %d\n%s", r.Exit, r.Stderr)
				}
				if got := read(t, filepath.Join(testdest.CurrentPath(t, dest), "file3")); got[0] != fill {
					t.Errorf("the backup has %q, the disk %q", got[0], fill)
				}
				detach()
			}
		})
	}
}
