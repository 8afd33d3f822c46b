package blocks

import (
	"github.com/rsbtbackup/rsbtbackup/internal/pending"
)

// placed is a piece of a file in its present state, and since when it is there.
type placed struct {
	piece
	address    uint64 // of its extent
	generation uint64 // in which it was written; a clone, or a balance, keeps it
	settled    bool   // the metadata that refers to it is not newer than the generation in question
}

// changes returns the ranges in which a file may differ from its earlier state, with the pieces was and the size had,
// at the generation since. there reports whether the extent at an address has existed since then.
func changes(was []piece, now []placed, had, size, since uint64, there func(address uint64) bool) []pending.Range {
	c := changed{limit: min(had, size) / unit * unit, size: size}
	at := uint64(0)
	for _, p := range now {
		was = c.hole(was, at, p.offset)
		was = c.data(was, p, func() bool { return lies(p, since, there) })
		at = p.end()
	}
	c.hole(was, at, size)
	return c.ranges
}

// lies reports whether a piece has been at its address since a generation.
func lies(p placed, since uint64, there func(address uint64) bool) bool {
	return p.settled || p.generation <= since && there(p.address)
}

// changed collects ranges.
type changed struct {
	limit, size uint64 // beyond limit nothing is compared: the rest of the last block is not visible
	ranges      []pending.Range
}

func (c *changed) add(from, end uint64, hole bool) {
	end = min(end, c.size)
	if from >= end {
		return
	}
	if n := len(c.ranges); n > 0 && c.ranges[n-1].End == int64(from) && c.ranges[n-1].Hole == hole {
		c.ranges[n-1].End = int64(end)
		return
	}
	c.ranges = append(c.ranges, pending.Range{Offset: int64(from), End: int64(end), Hole: hole})
}

// hole adds a range that is a hole now, and was none; it returns the rest of was.
func (c *changed) hole(was []piece, from, end uint64) []piece {
	for len(was) > 0 && was[0].offset < end {
		c.add(max(was[0].offset, from), min(was[0].end(), end), true)
		if was[0].end() > end {
			break
		}
		was = was[1:]
	}
	c.add(max(from, c.limit), end, true)
	return was
}

// data adds the parts of p that have changed; it returns the rest of was.
func (c *changed) data(was []piece, p placed, lies func() bool) []piece {
	at := p.offset
	for at < p.end() {
		for len(was) > 0 && was[0].end() <= at {
			was = was[1:]
		}
		if len(was) == 0 || was[0].offset >= p.end() {
			break
		}
		old := was[0]
		if old.offset > at {
			c.add(at, old.offset, false)
			at = old.offset
		}
		end := min(old.end(), p.end())
		if then, now := old.cut(at), p.piece.cut(at); then.place != now.place || then.from != now.from || then.encoded != now.encoded || !lies() {
			c.add(at, end, false)
		} else {
			c.add(max(at, c.limit), end, false)
		}
		at = end
	}
	c.add(at, p.end(), false)
	return was
}
