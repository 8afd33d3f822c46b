//go:build linux

package btrfs

import (
	"iter"
	"os"
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
// Root only. Errors: ErrNotBtrfs; ErrNotSubvolume; EPERM; EIO for metadata that can not be read; EBADF when f was
// opened with O_PATH.
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
