package twin

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"golang.org/x/sys/unix"
)

// dataSums reads the checksums that btrfs keeps for data on disk, from the tree that scrub uses: no data is read. It
// may be used from several goroutines.
type dataSums struct {
	btrfs.Checksums
	f         *os.File
	searchers sync.Pool // of *btrfs.Searcher

	mu      sync.Mutex
	windows map[uint64]*sumWindow
	order   []uint64 // of windows, the oldest first
}

// sumWindow are the checksums of one range of addresses.
type sumWindow struct {
	sums  []byte
	known []bool // of each block
}

const (
	checksumTree   = 7               // BTRFS_CSUM_TREE_OBJECTID
	extentCsum     = ^uint64(10) + 1 // BTRFS_EXTENT_CSUM_OBJECTID, -10
	extentCsumKey  = 128             // BTRFS_EXTENT_CSUM_KEY
	extentDataKey  = 108             // BTRFS_EXTENT_DATA_KEY
	blocksOfWindow = 4096
	keptWindows    = 64
)

// openDataSums finds out the kind of checksums of the filesystem of f, a file or directory on it, which must stay open.
func openDataSums(f *os.File) (*dataSums, error) {
	kind, err := btrfs.ChecksumKind(f)
	s := &dataSums{Checksums: kind, f: f, windows: map[uint64]*sumWindow{}}
	s.searchers.New = func() any { return &btrfs.Searcher{} }
	return s, err
}

// of appends to sums those of length bytes at a logical address, as in dataExtent. ok is false if some data has none.
//
// Root only. Errors: those of TreeSearch.
func (s *dataSums) of(sums []byte, address, length uint64) (all []byte, ok bool, err error) {
	if s.Size == 0 || s.BlockSize == 0 || address > math.MaxUint64-length {
		return sums, false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	block, size := uint64(s.BlockSize), uint64(s.Size)
	for at := address / block; at < (address+length+block-1)/block; at++ {
		w, err := s.window(at / blocksOfWindow)
		if err != nil {
			return sums, false, err
		}
		i := at % blocksOfWindow
		if !w.known[i] {
			return sums, false, nil
		}
		sums = append(sums, w.sums[i*size:(i+1)*size]...)
	}
	return sums, true, nil
}

func (s *dataSums) window(n uint64) (*sumWindow, error) {
	if w := s.windows[n]; w != nil {
		return w, nil
	}
	w, err := s.read(n)
	if err != nil {
		return nil, err
	}
	if len(s.order) == keptWindows {
		delete(s.windows, s.order[0])
		s.order = s.order[1:]
	}
	s.windows[n], s.order = w, append(s.order, n)
	return w, nil
}

// read begins before the window, by the longest range of an item: none is larger than a metadata block.
func (s *dataSums) read(n uint64) (*sumWindow, error) {
	block, size := uint64(s.BlockSize), uint64(s.Size)
	first := n * blocksOfWindow
	before := uint64(s.NodeSize) / size
	key := btrfs.AllItems(checksumTree)
	key.MinObjectID, key.MaxObjectID, key.MinType, key.MaxType = extentCsum, extentCsum, extentCsumKey, extentCsumKey
	key.MinOffset, key.MaxOffset = (first-min(first, before))*block, (first+blocksOfWindow)*block-1
	w := &sumWindow{sums: make([]byte, blocksOfWindow*size), known: make([]bool, blocksOfWindow)}
	searcher := s.searchers.Get().(*btrfs.Searcher)
	defer s.searchers.Put(searcher)
	for item, err := range searcher.Search(s.f, key) {
		if err != nil {
			return nil, err
		}
		if uint64(len(item.Data))%size != 0 {
			return nil, at.Error("BTRFS_IOC_TREE_SEARCH_V2", s.f, "", fmt.Errorf("checksums of %d bytes at %d: %w", len(item.Data), item.Offset, unix.EPROTO))
		}
		for i := range uint64(len(item.Data)) / size {
			if at := item.Offset/block + i; at >= first && at < first+blocksOfWindow {
				copy(w.sums[(at-first)*size:], item.Data[i*size:(i+1)*size])
				w.known[at-first] = true
			}
		}
	}
	return w, nil
}

// dataExtent is a piece of a file as it is stored. Holes, and ranges that are allocated and never written, are not
// included.
type dataExtent struct {
	Offset, Length uint64 // in the file
	Compression    uint8  // BTRFS_COMPRESS_*: 0 is none
	RAMBytes       uint64 // of the whole extent, decompressed
	// Inline is the data as it is stored in the metadata, for inline data.
	Inline []byte
	// Address is where the extent begins, DiskBytes its size there, From the offset of the piece in it, decompressed.
	Address, DiskBytes, From uint64
}

// extents calls yield for the pieces of a regular file, in their order; Inline is valid only until yield returns. Data
// that was written and has no address on disk yet is missing, so the file must be in a snapshot.
//
// Root only. Errors: those of TreeSearch; EIO for a list of extents that cannot be read; what yield returns.
func (s *dataSums) extents(f *os.File, inode uint64, yield func(dataExtent) error) error {
	key := btrfs.AllItems(0)
	key.MinObjectID, key.MaxObjectID, key.MinType, key.MaxType = inode, inode, extentDataKey, extentDataKey
	searcher := s.searchers.Get().(*btrfs.Searcher)
	defer s.searchers.Put(searcher)
	for item, err := range searcher.Search(f, key) {
		if err != nil {
			return err
		}
		e, isData, err := parseExtent(item)
		if err != nil {
			return at.Error("BTRFS_IOC_TREE_SEARCH_V2", f, "", fmt.Errorf("extent of inode %d at %d: %w", item.ObjectID, item.Offset, err))
		}
		if !isData {
			continue
		}
		if err := yield(e); err != nil {
			return err
		}
	}
	return nil
}

// parseExtent reads a packed, little-endian struct btrfs_file_extent_item. A hole, or an allocated range, is no data.
func parseExtent(item btrfs.Item) (e dataExtent, isData bool, err error) {
	const (
		inlineData, fullSize     = 21, 53
		typeInline, typePrealloc = 0, 2
	)
	b := item.Data
	if len(b) < inlineData || b[20] != typeInline && len(b) < fullSize {
		return e, false, fmt.Errorf("item of %d bytes: %w", len(b), unix.EPROTO)
	}
	number := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	e = dataExtent{Offset: item.Offset, RAMBytes: number(8), Compression: b[16]}
	if encrypted, encoded := b[17], binary.LittleEndian.Uint16(b[18:]); encrypted != 0 || encoded != 0 {
		return e, false, fmt.Errorf("unknown encoding: %w", unix.EOPNOTSUPP)
	}
	if b[20] == typeInline {
		e.Inline, e.Length = b[inlineData:], e.RAMBytes
		return e, true, nil
	}
	e.Address, e.DiskBytes, e.From, e.Length = number(21), number(29), number(37), number(45)
	return e, b[20] != typePrealloc && e.Address != 0, nil
}
