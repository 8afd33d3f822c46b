//go:build integration

package btrfs_test

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"golang.org/x/sys/unix"
)

// Both tests put the image on a tmpfs too small for it, as on thin storage that runs out: writes to blocks not used
// before fail after the page cache has taken them.

// TestDataRefused has room for metadata. Only SyncFS tells, and only once.
func TestDataRefused(t *testing.T) {
	thin := loopfs.NewFS(t, "160M", "tmpfs")
	t.Setenv("TMPDIR", thin)
	image := loopfs.NewImage(t, "512M", "btrfs")
	root := openDir(t, image.Mount)
	must(t, btrfs.CreateSubvolume(root, "sub"))
	sub := openDir(t, image.Mount+"/sub")
	must(t, btrfs.Sync(root))
	reserveMetadata(t, root, image.Image)
	fill(t, thin)

	must(t, os.WriteFile(image.Mount+"/sub/data", random(t, 8<<20), 0o644))
	must(t, btrfs.Sync(root))
	must(t, btrfs.CreateSnapshot(root, "snap", sub, btrfs.SnapshotOptions{ReadOnly: true}))
	if err := btrfs.SyncFS(root); !errors.Is(err, unix.EIO) && !errors.Is(err, unix.ENOSPC) {
		t.Errorf("first SyncFS = %v, want EIO or ENOSPC", err)
	}
	if err := btrfs.SyncFS(root); err != nil {
		t.Errorf("second SyncFS = %v, want nil", err)
	}
}

// reserveMetadata makes the image file keep room for every block group that is not for data.
func reserveMetadata(t *testing.T, root *os.File, image string) {
	t.Helper()
	const (
		chunkTree    = 3
		chunkItemKey = 228
		typeData     = 1
	)
	disk := openFlags(t, image, os.O_RDWR)
	key := btrfs.AllItems(chunkTree)
	key.MinType, key.MaxType = chunkItemKey, chunkItemKey
	for item, err := range btrfs.TreeSearch(root, key) {
		must(t, err)
		length, kind := binary.LittleEndian.Uint64(item.Data), binary.LittleEndian.Uint64(item.Data[24:])
		if kind&typeData != 0 {
			continue
		}
		for stripe := range int(binary.LittleEndian.Uint16(item.Data[44:])) {
			start := binary.LittleEndian.Uint64(item.Data[48+32*stripe+8:])
			must(t, unix.Fallocate(int(disk.Fd()), 0, int64(start), int64(length)))
		}
	}
	must(t, disk.Close())
}

// TestEverythingRefused has no room for metadata either: the filesystem forces itself read-only.
func TestEverythingRefused(t *testing.T) {
	t.Setenv("TMPDIR", loopfs.NewFS(t, "48M", "tmpfs"))
	dir := loopfs.New(t, "512M")
	root := openDir(t, dir)
	must(t, btrfs.CreateSubvolume(root, "sub"))
	must(t, btrfs.Sync(root))

	must(t, os.WriteFile(dir+"/sub/data", random(t, 96<<20), 0o644))
	if err := btrfs.SyncFS(root); !errors.Is(err, unix.EIO) && !errors.Is(err, unix.ENOSPC) {
		t.Errorf("SyncFS = %v, want EIO or ENOSPC", err)
	}
	checkFailures(t, "BTRFS_IOC_SYNC", []failure{{"sync", btrfs.Sync(root), []error{unix.EROFS}, nil}})
	checkFailures(t, "BTRFS_IOC_START_SYNC", []failure{{"start sync", only(btrfs.StartSync(root)), []error{unix.EROFS}, nil}})
}
