//go:build linux

package btrfs

import (
	"fmt"
	"iter"
	"os"
	"slices"
)

// FileRange is a piece of a file.
type FileRange struct {
	Inode  uint64
	Offset uint64 // bytes
	Length uint64 // bytes; may reach past the end of the file, to that of its last block
}

// ChangedRanges walks the file data in the subvolume f is the root directory of that was written after the end of
// transaction sinceGeneration, in the order of inode and offset. What is shared with something older does not count,
// nor does preallocated space that was never written. InodePath gives the names. All metadata of the subvolume that is
// newer is read on the way, and the cost is that of the change. An error comes last, with an empty FileRange.
//
// Root only. Errors: ErrNotBtrfs; ErrNotSubvolume; EPERM; EIO for metadata that cannot be read; EBADF when f was opened
// with O_PATH.
func ChangedRanges(f *os.File, sinceGeneration uint64) iter.Seq2[FileRange, error] {
	return func(yield func(FileRange, error) bool) {
		for e, err := range newExtents(f, sinceGeneration) {
			if err != nil {
				yield(FileRange{}, err)
				return
			}
			if !e.prealloc && !yield(FileRange{Inode: e.inode, Offset: e.offset, Length: e.length}, nil) {
				return
			}
		}
	}
}

// UnsharedRanges is ChangedRanges that also gives what f shares with something else than base: data that is older than
// sinceGeneration, but came to its place by reflink or deduplication. base is the root directory of a subvolume that f
// descends from and that has not changed since sinceGeneration. The cost is that of the change, and of listing the
// extents in base of the files whose neighbours in the tree changed.
//
// Root only. Errors: those of ChangedRanges, for f and for base.
func UnsharedRanges(f, base *os.File, sinceGeneration uint64) iter.Seq2[FileRange, error] {
	return func(yield func(FileRange, error) bool) {
		had := baseExtents{base: base}
		for e, err := range extentsInNewBlocks(f, sinceGeneration) {
			shared := false
			if err == nil && e.generation <= sinceGeneration {
				shared, err = had.hold(e)
			}
			if err != nil {
				yield(FileRange{}, err)
				return
			}
			if !shared && !e.prealloc && !yield(FileRange{Inode: e.inode, Offset: e.offset, Length: e.length}, nil) {
				return
			}
		}
	}
}

// baseExtents are the extents of one inode in a subvolume, by address.
type baseExtents struct {
	base    *os.File
	inode   uint64
	extents map[uint64][]fileExtent
}

// hold reports whether the inode has all that e uses of its extent. What is inline lies in a block that the search has
// read.
func (b *baseExtents) hold(e fileExtent) (bool, error) {
	if e.inline {
		return true, nil
	}
	if b.inode != e.inode {
		if err := b.list(e.inode); err != nil {
			return false, err
		}
	}
	return slices.ContainsFunc(b.extents[e.start], func(had fileExtent) bool {
		return had.from <= e.from && e.from+e.length <= had.from+had.length
	}), nil
}

func (b *baseExtents) list(inode uint64) error {
	b.inode, b.extents = inode, map[uint64][]fileExtent{}
	key := AllItems(0)
	key.MinObjectID, key.MaxObjectID = inode, inode
	key.MinType, key.MaxType = extentDataKey, extentDataKey
	for item, err := range TreeSearch(b.base, key) {
		if err != nil {
			return err
		}
		e, err := parseExtent(item.Data)
		if err != nil {
			return pathError("BTRFS_IOC_TREE_SEARCH_V2", b.base.Name(), fmt.Errorf("extent of inode %d at %d: %w", inode, item.Offset, err))
		}
		b.extents[e.start] = append(b.extents[e.start], e)
	}
	return nil
}
