//go:build linux

package btrfs

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// AddedBytes is how much file data the subvolume f is the root directory of has on disk that was not there at the end
// of transaction sinceGeneration: the Generation of SubvolumeInfo of an older snapshot, or 0 for everything.
//
// It sums the disk size (after compression, before RAID copies) of every distinct extent created later. Extents shared
// with something older, by snapshot, reflink or deduplication, keep the generation of their creation and do not count;
// an extent used twice counts once; one of which only a part is still used counts whole, as it is kept whole. Small
// files stored inline in metadata count with their stored bytes. Other metadata does not count, nor does data not yet
// written out: ask a snapshot, or after Sync.
//
// Only metadata blocks newer than sinceGeneration are read, so the cost is that of the change, plus eight bytes or so
// of memory for each new extent.
//
// Root only. Errors: ErrNotBtrfs; ErrNotSubvolume; EPERM; EBADF when f was opened with O_PATH.
func AddedBytes(f *os.File, sinceGeneration uint64) (uint64, error) {
	sum := extentSum{seen: map[uint64]struct{}{}}
	for extent, err := range newExtents(f, sinceGeneration) {
		if err != nil {
			return 0, err
		}
		sum.add(extent)
	}
	return sum.bytes, nil
}

// newExtents walks the extents of a subvolume that were created after a generation; one that is used twice comes twice.
// An error comes last.
func newExtents(f *os.File, since uint64) iter.Seq2[fileExtent, error] {
	return func(yield func(fileExtent, error) bool) {
		for extent, err := range extentsInNewBlocks(f, since) {
			if (err != nil || extent.generation > since) && !yield(extent, err) {
				return
			}
		}
	}
}

// afterEverything is a generation no transaction has.
const afterEverything = math.MaxUint64

// extentsInNewBlocks walks the extents that are listed in the metadata blocks of a subvolume written after a
// generation. It reads all of these blocks: the first ones hold nothing but the root directory.
func extentsInNewBlocks(f *os.File, since uint64) iter.Seq2[fileExtent, error] {
	return func(yield func(fileExtent, error) bool) {
		fail := func(err error) { yield(fileExtent{}, pathError("BTRFS_IOC_TREE_SEARCH_V2", f.Name(), err)) }
		if err := requireSubvolume(f); err != nil {
			fail(err)
			return
		}
		if since == afterEverything {
			return
		}
		key := AllItems(0)
		key.MinObjectID = firstFreeObjectID
		key.MinType, key.MaxType = extentDataKey, extentDataKey
		key.MinTransID = since + 1
		page := firstPage(key)
		page.MinType = 0
		for item, err := range searchFrom(f, page, key) {
			if err != nil {
				yield(fileExtent{}, err)
				return
			}
			extent, err := parseExtent(item.Data)
			if err != nil {
				fail(fmt.Errorf("extent of inode %d at %d: %w", item.ObjectID, item.Offset, err))
				return
			}
			extent.inode, extent.offset = item.ObjectID, item.Offset
			if extent.diskBytes > 0 && !yield(extent, nil) {
				return
			}
		}
	}
}

// extentSum adds up extents, each once.
type extentSum struct {
	seen  map[uint64]struct{}
	bytes uint64
}

func (s *extentSum) add(e fileExtent) {
	if !e.inline {
		if _, again := s.seen[e.start]; again {
			return
		}
		s.seen[e.start] = struct{}{}
	}
	s.bytes += e.diskBytes
}

// extentDataKey is BTRFS_EXTENT_DATA_KEY.
const extentDataKey = 108

// fileExtent is what is needed of a struct btrfs_file_extent_item. A hole has no diskBytes.
type fileExtent struct {
	inode, offset uint64 // where it is used
	generation    uint64
	inline        bool
	start         uint64 // logical address, of an extent that is not inline
	diskBytes     uint64
	from          uint64 // of the extent, before compression: where the part begins that is used
	length        uint64 // in the file
	prealloc      bool   // set aside, never written
}

// parseExtent reads a packed, little-endian struct btrfs_file_extent_item.
func parseExtent(b []byte) (fileExtent, error) {
	const (
		inlineData = 21 // offset of the data of an inline extent, of disk_bytenr in others
		fullSize   = 53

		typeInline   = 0
		typePrealloc = 2
	)
	if len(b) < inlineData || b[20] != typeInline && len(b) < fullSize {
		return fileExtent{}, fmt.Errorf("item of %d bytes: %w", len(b), unix.EPROTO)
	}
	extent := fileExtent{generation: binary.LittleEndian.Uint64(b), inline: b[20] == typeInline}
	if extent.inline {
		extent.diskBytes = uint64(len(b) - inlineData)
		extent.length = binary.LittleEndian.Uint64(b[8:])
		return extent, nil
	}
	extent.start = binary.LittleEndian.Uint64(b[21:])
	extent.diskBytes = binary.LittleEndian.Uint64(b[29:])
	extent.from = binary.LittleEndian.Uint64(b[37:])
	extent.length = binary.LittleEndian.Uint64(b[45:])
	extent.prealloc = b[20] == typePrealloc
	return extent, nil
}
