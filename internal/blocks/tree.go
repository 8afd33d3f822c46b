package blocks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

const (
	extentData = 108 // BTRFS_EXTENT_DATA_KEY
	extentItem = 168 // BTRFS_EXTENT_ITEM_KEY
	extentTree = 2   // BTRFS_EXTENT_TREE_OBJECTID
)

// errUntold is the error for a file whose addresses cannot be found completely, or only with too much work.
var errUntold = errors.New("the kernel does not report its location")

// extents searches the tree of the subvolume that contains f for the extents of f, which was flushed. since is a
// generation.
func extents(f *os.File, since uint64) ([]placed, error) {
	st, err := at.StatFile(f)
	if err != nil {
		return nil, err
	}
	key := btrfs.AllItems(0)
	key.MinObjectID, key.MaxObjectID, key.MinType, key.MaxType = st.Ino, st.Ino, extentData, extentData
	var all []placed
	for item, err := range btrfs.TreeSearch(f, key) {
		if err != nil {
			return nil, err
		}
		p, data, err := parseExtent(item, since)
		if err != nil || len(all) == maxPieces {
			return nil, fmt.Errorf("%s: %w", f.Name(), errors.Join(errUntold, err))
		}
		if data {
			all = append(all, p)
		}
	}
	return all, nil
}

// parseExtent reads a packed, little-endian struct btrfs_file_extent_item. data is false for a range that reads as
// zeros: a hole, or allocated and never written.
func parseExtent(item btrfs.Item, since uint64) (p placed, data bool, err error) {
	const (
		size = 53

		regular  = 1
		prealloc = 2
	)
	b := item.Data
	if len(b) < size || b[20] != regular && b[20] != prealloc {
		return placed{}, false, fmt.Errorf("an extent of %d bytes: %w", len(b), unix.EPROTO) // or stored in metadata
	}
	number := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	p = placed{address: number(21), generation: number(0), settled: item.TransID <= since}
	p.piece = piece{offset: item.Offset, length: number(45), from: number(37)}
	// Compression, encryption, another encoding: the offset of a piece in the extent is unknown.
	if p.encoded = b[16]|b[17]|b[18]|b[19] != 0; p.encoded {
		p.place = p.address
	} else {
		p.place, p.from = p.address+p.from, 0
	}
	return p, b[20] == regular && p.address != 0, nil
}

// bornAt is the generation in which the extent at an address was created: earlier data at the address is gone since
// then. A balance that moves the extent counts. It is false if the generation is unknown.
func bornAt(f *os.File, address uint64) (uint64, bool) {
	const generationAt = 8
	key := btrfs.AllItems(extentTree)
	key.MinObjectID, key.MaxObjectID, key.MinType, key.MaxType = address, address, extentItem, extentItem
	for item, err := range btrfs.TreeSearch(f, key) {
		if err != nil || len(item.Data) < generationAt+8 {
			return 0, false
		}
		return binary.LittleEndian.Uint64(item.Data[generationAt:]), true
	}
	return 0, false
}
