// Package loopfs gives a test a real file system of its own: an image file, mounted through a loop device by
// scripts/mkloopfs.sh and taken down when the test ends. It is for _test.go files only.
//
// [New] is what most tests want: the mount point of an empty btrfs. [NewFS] makes another type, [NewImage] an image
// that can be unmounted and mounted again, [NewNested] one of which [Image.CrashCopy] shows what a power cut at this
// instant would leave.
//
// Images lie in memory where there is room, unless TMPDIR says where: most of the time of a test is otherwise spent
// waiting for commits.
//
// All of it needs root, loop devices and the mkfs program. What is missing fails the test with the command that mends
// the machine; nothing is skipped, because a skipped test proves nothing.
//
// A test process that is killed leaves its mounts behind. The first image of each process sweeps: it takes down every
// file system whose owner is dead, also those of other checkouts.
package loopfs

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// dirPrefix is known to the sweep of mkloopfs.sh too.
const dirPrefix = "rsbtbackup-loopfs."

// sweepOnce is per process because sweeping costs as much as making an image.
var sweepOnce sync.Once

// New returns the mount point of a fresh, empty btrfs, owned by root with mode 0755. The size is what truncate(1) takes
// ("256M", "1G"); the image is sparse, so a big one costs nothing. Below 109 MiB the file system has mixed block
// groups. Each mount option is one of mount(8), such as "commit=1" or "user_subvol_rm_allowed".
func New(t testing.TB, size string, mountOpts ...string) string {
	t.Helper()
	return NewFS(t, size, "btrfs", mountOpts...)
}

// NewFS is [New] for the file system type btrfs, ext4, xfs, vfat or tmpfs.
func NewFS(t testing.TB, size, fstype string, mountOpts ...string) string {
	t.Helper()
	return NewImage(t, size, fstype, mountOpts...).Mount
}

// NewImage is [NewFS] for a test that unmounts, mounts again or looks at the image file.
func NewImage(t testing.TB, size, fstype string, mountOpts ...string) *Image {
	t.Helper()
	requireRoot(t)
	sweepOnce.Do(func() { sweep(t) })
	dir := makeDir(t)
	t.Cleanup(func() { takeDown(t, dir) })
	return up(t, dir, size, fstype, mountOpts)
}

// NewNested makes a btrfs of the given size whose image lies on an outer btrfs that has room for it and for as many
// changed blocks again. Only such an image can be crash-copied.
func NewNested(t testing.TB, size string, mountOpts ...string) *Image {
	t.Helper()
	outer := NewImage(t, outerSize(t, size), "btrfs")
	inner := up(t, filepath.Join(outer.Mount, "inner"), size, "btrfs", mountOpts)
	inner.copies = filepath.Join(outer.Mount, "copies")
	return inner
}

func requireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("loopfs: mounting needs root; run: make test")
	}
}

// makeDir does not use t.TempDir: that is removed recursively, and would take along the content of a file system that
// could not be unmounted.
func makeDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(place(), dirPrefix)
	if err != nil {
		t.Fatalf("loopfs: %v", err)
	}
	// Tests that drop privileges have to reach the mount point.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatalf("loopfs: %v", err)
	}
	return dir
}

// place returns the directory for images; empty is that for temporary files.
func place() string {
	const shm, room = "/dev/shm", 8 << 30 // mkloopfs.sh sweeps there too
	var st unix.Statfs_t
	if os.Getenv("TMPDIR") != "" || unix.Statfs(shm, &st) != nil || st.Type != unix.TMPFS_MAGIC {
		return ""
	}
	if st.Bavail*uint64(st.Bsize) < room {
		return ""
	}
	return shm
}

func up(t testing.TB, dir, size, fstype string, mountOpts []string) *Image {
	t.Helper()
	options := strings.Join(mountOpts, ",")
	mount := strings.TrimSuffix(script(t, "up", dir, size, fstype, options), "\n")
	return &Image{Dir: dir, Image: filepath.Join(dir, "image"), Mount: mount, fstype: fstype, options: options}
}

func takeDown(t testing.TB, dir string) {
	t.Helper()
	if _, err := runScript(t, "down", dir); err != nil {
		t.Errorf("loopfs: taking down %s: %v", dir, err)
	}
}
