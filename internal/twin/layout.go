package twin

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"os"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// Layout is how the data of a regular file is stored, as far as two filesystems can have it in common.
type Layout struct {
	// Sums is a hash of all checksums, and of the form of the data they are of. It is empty where some of the data has
	// none.
	Sums []byte `json:"sums,omitempty"`
	// Data is a hash of where there is data, Block the size of what that is measured in.
	Data  []byte `json:"data,omitempty"`
	Block uint32 `json:"block,omitempty"`
}

// SameSums tells that the content is the same, as far as checksums tell.
func (l Layout) SameSums(other Layout) bool {
	return len(l.Sums) > 0 && string(l.Sums) == string(other.Sums)
}

// SameHoles tells that the holes are the same, or that blocks of two sizes cannot be compared.
func (l Layout) SameHoles(other Layout) bool {
	return l.Block != other.Block || string(l.Data) == string(other.Data)
}

// shape adds up what is stored, extent by extent. Of data that is not compressed each block has a checksum of its own,
// so that only the blocks count, and not how many extents they are in.
type shape struct {
	tree   *dataSums
	size   uint64 // of the file, up to the end of its last block
	sums   hash.Hash
	data   hash.Hash
	lacks  bool      // a part has no checksums
	start  uint64    // of the data that is being added up
	end    uint64    // of it
	plain  hash.Hash // checksums of data that is not compressed; nil: none is being added up
	begins uint64    // where plain began
	reach  uint64    // where it ends
	buf    []byte
}

func (t *Tree) layout(f *os.File, info at.Info) (Layout, error) {
	s := &shape{tree: t.sums, size: roundUp(uint64(info.Size), uint64(t.sums.BlockSize)), sums: sha256.New(), data: sha256.New()}
	s.put(s.sums, uint64(t.sums.Algorithm), uint64(t.sums.Size), uint64(t.sums.BlockSize))
	if err := t.sums.extents(f, info.ID.Inode, s.add); err != nil {
		return Layout{}, err
	}
	s.endPlain()
	s.endData()
	l := Layout{Data: s.data.Sum(nil), Block: t.sums.BlockSize}
	if !s.lacks {
		l.Sums = s.sums.Sum(nil)
	}
	return l, nil
}

func roundUp(n, block uint64) uint64 {
	if block == 0 {
		return n
	}
	return (n + block - 1) / block * block
}

func (s *shape) put(h hash.Hash, numbers ...uint64) {
	s.buf = s.buf[:0]
	for _, n := range numbers {
		s.buf = binary.LittleEndian.AppendUint64(s.buf, n)
	}
	h.Write(s.buf)
}

// Forms of data.
const (
	formPlain = iota
	formCompressed
	formInline
)

func (s *shape) add(e dataExtent) error {
	if e.Offset >= s.size { // set aside beyond the end
		return nil
	}
	length := min(roundUp(e.Length, uint64(s.tree.BlockSize)), s.size-e.Offset) // what is inline may end in a block
	if e.Offset != s.end || s.start == s.end {
		s.endData()
		s.start = e.Offset
	}
	s.end = e.Offset + length
	switch {
	case e.Inline != nil:
		s.endPlain()
		s.put(s.sums, formInline, e.Offset, e.RAMBytes, uint64(e.Compression), uint64(len(e.Inline)))
		s.sums.Write(e.Inline)
		return nil
	case e.Compression != 0:
		s.endPlain()
		s.put(s.sums, formCompressed, e.Offset, length, e.From, e.RAMBytes, uint64(e.Compression), e.DiskBytes)
		return s.addSums(s.sums, e.Address, e.DiskBytes)
	}
	if s.plain == nil || s.reach != e.Offset {
		s.endPlain()
		s.plain, s.begins = sha256.New(), e.Offset
	}
	s.reach = e.Offset + length
	return s.addSums(s.plain, e.Address+e.From, length)
}

func (s *shape) addSums(h hash.Hash, address, length uint64) error {
	const step = 4 << 20
	for s.buf = s.buf[:0]; length > 0 && !s.lacks; {
		n := min(length, step)
		all, ok, err := s.tree.of(s.buf[:0], address, n)
		if err != nil {
			return fmt.Errorf("checksums of %d bytes at %d: %w", n, address, err)
		}
		s.buf, s.lacks = all, !ok
		h.Write(all)
		address, length = address+n, length-n
	}
	return nil
}

func (s *shape) endPlain() {
	if s.plain == nil {
		return
	}
	s.put(s.sums, formPlain, s.begins, s.reach)
	s.sums.Write(s.plain.Sum(nil))
	s.plain = nil
}

func (s *shape) endData() {
	if s.start < s.end {
		s.put(s.data, s.start, s.end)
	}
	s.start = s.end
}
