//go:build linux

package btrfs

import (
	"cmp"
	"iter"
	"os"
	"slices"
)

// ExtentSet is a set of extents with file data, of one subvolume or of several. What only one of them holds is what
// goes when that one is deleted. The zero value is empty. An extent takes 24 bytes of memory.
type ExtentSet struct {
	extents []extentSize
	ordered bool // extents are, each once
}

// extentSize is an extent, by its address and no generation, or, inline, by its file and the transaction it is of.
type extentSize struct{ id, generation, bytes uint64 }

func compareExtents(a, b extentSize) int {
	return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.generation, b.generation))
}

// Add adds what AddedBytes counts: the extents of the subvolume f is the root directory of that were created after the
// end of transaction sinceGeneration; 0 is for all. The cost is that of the change.
//
// Root only. Errors: ErrNotBtrfs; ErrNotSubvolume; EPERM; EBADF when f was opened with O_PATH.
func (s *ExtentSet) Add(f *os.File, sinceGeneration uint64) error {
	s.ordered = false
	for e, err := range newExtents(f, sinceGeneration) {
		if err != nil {
			return err
		}
		x := extentSize{id: e.start, bytes: e.diskBytes}
		if e.inline {
			x = extentSize{id: e.inode, generation: e.generation, bytes: e.diskBytes}
		}
		s.extents = append(s.extents, x)
	}
	return nil
}

// order is called by readers, so that adding many subvolumes sorts once.
func (s *ExtentSet) order() {
	if s.ordered {
		return
	}
	slices.SortFunc(s.extents, compareExtents)
	s.extents = slices.CompactFunc(s.extents, func(a, b extentSize) bool { return compareExtents(a, b) == 0 })
	s.ordered = true
}

// Without is the set of the extents in s that are in none of the others.
func (s *ExtentSet) Without(others ...*ExtentSet) *ExtentSet {
	left := &ExtentSet{ordered: true}
	for e := range s.notIn(others) {
		left.extents = append(left.extents, e)
	}
	return left
}

// Largest yields the extents that are not inline, with their size on disk, the largest first: their address is what
// ExtentHolders asks for.
func (s *ExtentSet) Largest() iter.Seq2[uint64, uint64] {
	s.order()
	sorted := slices.Clone(s.extents)
	slices.SortStableFunc(sorted, func(a, b extentSize) int { return cmp.Compare(b.bytes, a.bytes) })
	return func(yield func(address, bytes uint64) bool) {
		for _, e := range sorted {
			if e.generation == 0 && !yield(e.id, e.bytes) {
				return
			}
		}
	}
}

// Bytes is the size on disk, as of AddedBytes, of the extents in s that are in none of the others.
func (s *ExtentSet) Bytes(others ...*ExtentSet) uint64 {
	var sum uint64
	for e := range s.notIn(others) {
		sum += e.bytes
	}
	return sum
}

// notIn yields, in order, what none of the others has.
func (s *ExtentSet) notIn(others []*ExtentSet) iter.Seq[extentSize] {
	return func(yield func(extentSize) bool) {
		s.order()
		rest := make([][]extentSize, len(others))
		for i, o := range others {
			o.order()
			rest[i] = o.extents
		}
		for _, e := range s.extents {
			shared := false
			for i, r := range rest {
				for len(r) > 0 && compareExtents(r[0], e) < 0 {
					r = r[1:]
				}
				rest[i] = r
				shared = shared || len(r) > 0 && compareExtents(r[0], e) == 0
			}
			if !shared && !yield(e) {
				return
			}
		}
	}
}
