//go:build linux

package btrfs

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"os"

	"golang.org/x/sys/unix"
)

// SameExtents reports whether two files on one filesystem have the same data because they have it in the same places on
// disk; none of it is read. False says nothing: other places may hold the same bytes. Sizes are not compared, nor is
// what was written to a file and has no place yet: fsync before.
//
// Root only. Errors: those of TreeSearch; EIO for a list of extents that cannot be read.
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
			return false, pathError("BTRFS_IOC_TREE_SEARCH_V2", a.Name(), err)
		}
		if !same {
			return false, nil
		}
	}
}

// extentItems are the EXTENT_DATA items of a file: all that says what is in it.
func extentItems(f *os.File) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			yield(Item{}, pathError("stat", f.Name(), err))
			return
		}
		key := AllItems(0)
		key.MinObjectID, key.MaxObjectID = st.Ino, st.Ino
		key.MinType, key.MaxType = extentDataKey, extentDataKey
		TreeSearch(f, key)(yield)
	}
}

// sameExtent leaves out the generation, which says when the reference was made. The rest is how the data is stored and
// where, or inline the data itself.
func sameExtent(a, b Item) (bool, error) {
	const generation = 8
	for _, item := range []Item{a, b} {
		if len(item.Data) < generation {
			return false, fmt.Errorf("extent of inode %d at %d: item of %d bytes: %w", item.ObjectID, item.Offset, len(item.Data), unix.EPROTO)
		}
	}
	return a.Offset == b.Offset && bytes.Equal(a.Data[generation:], b.Data[generation:]), nil
}
