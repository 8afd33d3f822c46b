package at

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
)

// SameExtents reports whether two files on one filesystem have the same data because they have it in the same places on
// disk; the data is not read. False means unknown: other places may hold the same bytes. Sizes are not compared, nor is
// data that has no place on disk yet: call fsync before.
//
// Root only. Errors: those of btrfs.TreeSearch; EIO for a list of extents that cannot be read.
func SameExtents(a, b *os.File) (bool, error) {
	nextA, stopA := iter.Pull2(extentItems(a))
	defer stopA()
	nextB, stopB := iter.Pull2(extentItems(b))
	defer stopB()
	for {
		itemA, errA, moreA := nextA()
		itemB, errB, moreB := nextB()
		if err := errors.Join(errA, errB); err != nil {
			return false, err
		}
		if !moreA || !moreB {
			return moreA == moreB, nil
		}
		same, err := sameExtent(itemA, itemB)
		if err != nil {
			return false, Error("BTRFS_IOC_TREE_SEARCH_V2", a, "", err)
		}
		if !same {
			return false, nil
		}
	}
}

const extentData = 108 // BTRFS_EXTENT_DATA_KEY

// extentItems are the EXTENT_DATA items of a file: all that says what is in it.
func extentItems(f *os.File) iter.Seq2[btrfs.Item, error] {
	return func(yield func(btrfs.Item, error) bool) {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			yield(btrfs.Item{}, Error("stat", f, "", err))
			return
		}
		key := btrfs.AllItems(0)
		key.MinObjectID, key.MaxObjectID = st.Ino, st.Ino
		key.MinType, key.MaxType = extentData, extentData
		btrfs.TreeSearch(f, key)(yield)
	}
}

// sameExtent leaves out the generation, which says when the reference was made. The rest is how the data is stored and
// where, or inline the data itself.
func sameExtent(a, b btrfs.Item) (bool, error) {
	const generation = 8
	for _, item := range []btrfs.Item{a, b} {
		if len(item.Data) < generation {
			return false, fmt.Errorf("extent of inode %d at %d: item of %d bytes: %w", item.ObjectID, item.Offset, len(item.Data), unix.EPROTO)
		}
	}
	return a.Offset == b.Offset && bytes.Equal(a.Data[generation:], b.Data[generation:]), nil
}
