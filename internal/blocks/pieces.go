package blocks

import (
	"encoding/binary"
	"errors"
)

// piece is a part of a file with data on the disk. Lengths and addresses are in bytes.
type piece struct {
	offset, length uint64
	place          uint64 // address of the data; of the whole extent if it is encoded
	from           uint64 // offset in an encoded extent
	encoded        bool
}

func (p piece) end() uint64 { return p.offset + p.length }

// follows reports whether q continues p, in the file and on the disk.
func (p piece) follows(q piece) bool {
	if q.offset != p.end() || q.encoded != p.encoded {
		return false
	}
	if p.encoded {
		return q.place == p.place && q.from == p.from+p.length
	}
	return q.place == p.place+p.length
}

// cut is the part of p from offset on.
func (p piece) cut(offset uint64) piece {
	skip := offset - p.offset
	p.offset, p.length = offset, p.length-skip
	if p.encoded {
		p.from += skip
	} else {
		p.place += skip
	}
	return p
}

// add appends q to pieces, as a part of the last one if it can be.
func add(pieces []piece, q piece) []piece {
	if n := len(pieces); n > 0 && pieces[n-1].follows(q) {
		pieces[n-1].length += q.length
		return pieces
	}
	return append(pieces, q)
}

// unit divides all numbers of a piece: no btrfs has smaller sectors.
const unit = 4096

var errPieces = errors.New("no pieces of a file")

// encode stores, for each piece, the gap before it, its length, and its address as the difference to the end of the one
// before, all in units.
func encode(pieces []piece) ([]byte, error) {
	var buf []byte
	var end, place uint64
	for _, p := range pieces {
		if p.offset < end || p.length == 0 || (p.offset|p.length|p.place|p.from)%unit != 0 {
			return nil, errPieces
		}
		head := (p.offset - end) / unit << 1
		if p.encoded {
			head |= 1
		}
		buf = binary.AppendUvarint(buf, head)
		buf = binary.AppendUvarint(buf, p.length/unit)
		buf = binary.AppendVarint(buf, int64(p.place-place)/unit)
		if p.encoded {
			buf = binary.AppendUvarint(buf, p.from/unit)
		}
		end, place = p.end(), p.place
		if !p.encoded {
			place += p.length
		}
	}
	return buf, nil
}

// decode is the reverse of encode.
func decode(buf []byte) ([]piece, error) {
	in := numbers{buf: buf}
	var pieces []piece
	var end, place uint64
	for len(in.buf) > 0 {
		head := in.next()
		p := piece{offset: end + head>>1*unit, length: in.next() * unit, encoded: head&1 != 0}
		p.place = place + uint64(in.nextSigned()*unit)
		if p.encoded {
			p.from = in.next() * unit
		}
		if in.failed || p.offset < end || p.length == 0 || p.end() < p.offset {
			return nil, errPieces
		}
		pieces = append(pieces, p)
		end, place = p.end(), p.place
		if !p.encoded {
			place += p.length
		}
	}
	return pieces, nil
}

// numbers reads varints.
type numbers struct {
	buf    []byte
	failed bool
}

func (n *numbers) took(size int) {
	if n.failed = n.failed || size <= 0; n.failed {
		n.buf = nil
		return
	}
	n.buf = n.buf[size:]
}

func (n *numbers) next() uint64 {
	v, size := binary.Uvarint(n.buf)
	n.took(size)
	return v
}

func (n *numbers) nextSigned() int64 {
	v, size := binary.Varint(n.buf)
	n.took(size)
	return v
}

// text reads a string with its length before it.
func (n *numbers) text() []byte {
	size := n.next()
	if n.failed = n.failed || size > uint64(len(n.buf)); n.failed {
		n.buf = nil
		return nil
	}
	text := n.buf[:size]
	n.buf = n.buf[size:]
	return text
}
