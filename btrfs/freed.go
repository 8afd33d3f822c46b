//go:build linux

package btrfs

import (
	"math"
	"os"
)

// FreedBytes is how much file data would go if the subvolume f is the root directory of were deleted: what AddedBytes
// counts in it since sinceGeneration, less what the subvolume next holds as well; next may be nil. It is exact where
// next descends from f, nothing else that is newer than sinceGeneration does but through next, and no extent was
// shared in other ways.
//
// Only metadata blocks newer than sinceGeneration are read, plus some sixteen bytes of memory for each extent.
//
// Root only. Errors: ErrNotBtrfs; ErrNotSubvolume; EPERM; EBADF when a file was opened with O_PATH.
func FreedBytes(f *os.File, sinceGeneration uint64, next *os.File) (uint64, error) {
	sizes := map[extentID]uint64{}
	for e, err := range newExtents(f, sinceGeneration) {
		if err != nil {
			return 0, err
		}
		sizes[e.id()] = e.diskBytes
	}
	if next != nil && len(sizes) > 0 {
		for e, err := range newExtents(next, sinceGeneration) {
			if err != nil {
				return 0, err
			}
			delete(sizes, e.id())
		}
	}
	var sum uint64
	for _, size := range sizes {
		sum += size
	}
	return sum, nil
}

// extentID tells one extent from another: by its address, or, inline, by the file and the transaction it is of.
type extentID struct{ start, inode, offset, generation uint64 }

func (e fileExtent) id() extentID {
	if e.inline {
		return extentID{inode: e.inode, offset: e.offset, generation: e.generation}
	}
	return extentID{start: e.start}
}

// afterEverything is a generation no transaction has.
const afterEverything = math.MaxUint64
