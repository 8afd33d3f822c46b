//go:build linux

package btrfs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// SearchKey says what TreeSearch looks for: items whose object id, type, offset and transaction id each lie between Min
// and Max, both included. The zero value finds nothing but object 0: start from AllItems.
type SearchKey struct {
	TreeID                   uint64 // 0 is the subvolume the file is in, 1 the tree of tree roots
	MinObjectID, MaxObjectID uint64
	MinType, MaxType         uint32
	MinOffset, MaxOffset     uint64
	MinTransID, MaxTransID   uint64 // of the metadata block, so a changed neighbour makes an item new
}

// AllItems is the key that finds everything in a tree.
func AllItems(treeID uint64) SearchKey {
	return SearchKey{
		TreeID:      treeID,
		MaxObjectID: math.MaxUint64,
		MaxType:     math.MaxUint8,
		MaxOffset:   math.MaxUint64,
		MaxTransID:  math.MaxUint64,
	}
}

// Item of a tree. Data is in the little-endian form of the disk and belongs to the caller.
type Item struct {
	ObjectID uint64
	Type     uint32
	Offset   uint64
	TransID  uint64 // that last wrote the metadata block the item is in
	Data     []byte
}

// TreeSearch walks the items of one tree in key order (BTRFS_IOC_TREE_SEARCH_V2). It reads the open transaction, page
// by page: a tree that changes meanwhile gives a mixture. What the kernel holds back until a commit is not seen, such
// as the last directory entries and inode updates: Sync first. An error comes last, with an empty Item.
//
// Root only. Errors: EPERM; ErrNotBtrfs; ENOENT for a tree that does not exist; EBADF when f was opened with O_PATH.
func TreeSearch(f *os.File, key SearchKey) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for item, err := range searchFrom(f, firstPage(key), key) {
			item.Data = bytes.Clone(item.Data)
			if !yield(item, err) {
				return
			}
		}
	}
}

// searchFrom is TreeSearch that lets the kernel read from page on. Data is the caller's only until the next item: the
// contents of small files are part of it.
func searchFrom(f *os.File, page searchKey, key SearchKey) iter.Seq2[Item, error] {
	return searchWith(&searchArgsV2{}, f, page, key)
}

// Searcher is TreeSearch for many searches, one at a time, with one buffer: Data is the caller's only until the next
// item.
type Searcher struct{ args searchArgsV2 }

// Search is TreeSearch.
func (s *Searcher) Search(f *os.File, key SearchKey) iter.Seq2[Item, error] {
	return searchWith(&s.args, f, firstPage(key), key)
}

// searchWith is searchFrom with a buffer that was used before.
func searchWith(args *searchArgsV2, f *os.File, page searchKey, key SearchKey) iter.Seq2[Item, error] {
	const op = "BTRFS_IOC_TREE_SEARCH_V2"
	return func(yield func(Item, error) bool) {
		args.Key = page
		var items []Item
		for more := true; more; {
			var err error
			if items, err = searchPage(f, args, items[:0]); err != nil {
				yield(Item{}, pathError(op, f.Name(), explain(f, err)))
				return
			}
			for _, item := range items {
				if !key.has(item) {
					continue
				}
				if !yield(item, nil) {
					return
				}
			}
			more = len(items) > 0 && args.Key.advance(items[len(items)-1])
		}
	}
}

func firstPage(key SearchKey) searchKey {
	return searchKey{
		TreeID:      key.TreeID,
		MinObjectID: key.MinObjectID,
		MaxObjectID: key.MaxObjectID,
		MinType:     key.MinType,
		MaxType:     key.MaxType,
		MinOffset:   key.MinOffset,
		MaxOffset:   key.MaxOffset,
		MinTransID:  key.MinTransID,
		MaxTransID:  key.MaxTransID,
	}
}

// has is needed because the kernel compares keys as one 136-bit number: between two objects every type and every offset
// lies in its range.
func (k SearchKey) has(item Item) bool {
	return between(k.MinObjectID, item.ObjectID, k.MaxObjectID) &&
		between(uint64(k.MinType), uint64(item.Type), uint64(k.MaxType)) &&
		between(k.MinOffset, item.Offset, k.MaxOffset)
}

func between(low, x, high uint64) bool { return low <= x && x <= high }

// advance moves the lower end just past item, and is false when there is nothing past it.
func (k *searchKey) advance(item Item) bool {
	k.MinObjectID, k.MinType, k.MinOffset = item.ObjectID, item.Type, item.Offset+1
	if k.MinOffset == 0 {
		k.MinType++
	}
	if k.MinType > math.MaxUint8 {
		k.MinType = 0
		k.MinObjectID++
		return k.MinObjectID != 0
	}
	return true
}

// searchPage appends to items, whose data lies in the buffer of args. Both are reused for the next page: most of the
// items are of another type and not worth a copy.
func searchPage(f *os.File, args *searchArgsV2, items []Item) ([]Item, error) {
	args.Key.NrItems = math.MaxUint32
	args.BufSize = searchBufSize
	if err := ioctl(f, reqTreeSearchV2, args); err != nil {
		return nil, err
	}
	return parseItems(items, args.Buf[:], args.Key.NrItems)
}

// parseItems reads n times a btrfs_ioctl_search_header, in the byte order of the machine, and the item that follows,
// and appends them to items.
func parseItems(items []Item, buf []byte, n uint32) ([]Item, error) {
	const headerSize = 32
	for range n {
		if len(buf) < headerSize {
			return nil, fmt.Errorf("truncated answer: %w", unix.EPROTO)
		}
		header, rest := buf[:headerSize], buf[headerSize:]
		size := binary.NativeEndian.Uint32(header[28:])
		if uint64(size) > uint64(len(rest)) {
			return nil, fmt.Errorf("truncated answer: %w", unix.EPROTO)
		}
		items = append(items, Item{
			TransID:  binary.NativeEndian.Uint64(header[0:]),
			ObjectID: binary.NativeEndian.Uint64(header[8:]),
			Offset:   binary.NativeEndian.Uint64(header[16:]),
			Type:     binary.NativeEndian.Uint32(header[24:]),
			Data:     rest[:size:size],
		})
		buf = rest[size:]
	}
	return items, nil
}
