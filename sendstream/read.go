package sendstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"slices"
)

const (
	magic      = "btrfs-stream\x00"
	maxVersion = 3
	headerSize = 10

	// MaxCommand is the length of the longest command that is read. The kernel's buffer is of 64 KiB in version 1 and
	// of 144 KiB in version 2 (Linux 6.18).
	MaxCommand = 1 << 20
)

// ErrFormat: the stream is damaged, cut off, or of a kind not known here.
var ErrFormat = errors.New("not a valid send stream")

// Commands reads one stream from r, up to and with its End. An error comes last, with a nil Command: one of r as it is,
// or one that matches ErrFormat and tells the offset. A stream that stops before its End is an error, even between two
// commands.
func Commands(r io.Reader) iter.Seq2[Command, error] {
	return func(yield func(Command, error) bool) {
		d := NewReader(r)
		for {
			c, err := d.Next()
			if !yield(c, err) || err != nil {
				return
			}
			if _, last := c.(End); last {
				return
			}
		}
	}
}

// Reader is for those who have to say where in the stream something went wrong. It reads no byte beyond the command
// that Next returns.
type Reader struct {
	r       io.Reader
	version uint32 // 0 until the header has been read
	offset  uint64 // of what is read next
	last    uint64 // of the command that Next returned
	buf     []byte
	attrs   attrs // of the command, which are too many to be made for each
}

// NewReader reads one stream from r.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Next returns the next command. Do not call it again after an [End] or an error, which are those of [Commands].
func (d *Reader) Next() (Command, error) {
	if d.version == 0 {
		if err := d.header(); err != nil {
			return nil, err
		}
	}
	d.last = d.offset
	return d.next()
}

// Offset is where in the stream the command that Next returned last begins.
func (d *Reader) Offset() uint64 { return d.last }

// Version of the stream, once Next has returned.
func (d *Reader) Version() uint32 { return d.version }

func (d *Reader) fail(format string, args ...any) error {
	return fmt.Errorf("%w: at byte %d: %s", ErrFormat, d.offset, fmt.Sprintf(format, args...))
}

// fill reads exactly len(b) bytes.
func (d *Reader) fill(b []byte, what string) error {
	n, err := io.ReadFull(d.r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = d.fail("it ends after %d of the %d bytes of %s", n, len(b), what)
	}
	if err == nil {
		d.offset += uint64(n)
	}
	return err
}

func (d *Reader) header() error {
	var b [len(magic) + 4]byte
	if err := d.fill(b[:], "the stream header"); err != nil {
		return err
	}
	d.version = binary.LittleEndian.Uint32(b[len(magic):])
	switch {
	case string(b[:len(magic)]) != magic:
		d.offset = 0
		return d.fail("it does not begin with %q", magic)
	case d.version < 1 || d.version > maxVersion:
		return d.fail("version %d, known are 1 to %d", d.version, maxVersion)
	}
	return nil
}

// next reads one command. The buffer grows with what has really been read, so a length that is garbage costs nothing.
func (d *Reader) next() (Command, error) {
	start := d.offset
	var head [headerSize]byte
	if err := d.fill(head[:], "a command header"); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint32(head[:])
	number := binary.LittleEndian.Uint16(head[4:])
	if length > MaxCommand {
		d.offset = start
		return nil, d.fail("a command of %d bytes, at most %d are possible", length, MaxCommand)
	}
	if err := d.body(int(length)); err != nil {
		return nil, err
	}
	if got, want := checksum(head, d.buf), binary.LittleEndian.Uint32(head[6:]); got != want {
		d.offset = start
		return nil, d.fail("command %d has checksum %08x, its header says %08x", number, got, want)
	}
	err := d.attrs.parse(d.buf, d.version)
	var c Command
	if err == nil {
		c, err = newCommand(number, &d.attrs)
	}
	if err != nil {
		d.offset = start
		return nil, d.fail("command %d: %v", number, err)
	}
	return c, nil
}

func (d *Reader) body(length int) error {
	const step = 64 << 10
	d.buf = d.buf[:0]
	for len(d.buf) < length {
		n := min(step, length-len(d.buf))
		d.buf = slices.Grow(d.buf, n)[:len(d.buf)+n]
		if err := d.fill(d.buf[len(d.buf)-n:], "a command"); err != nil {
			return err
		}
	}
	return nil
}

// checksum is the kernel's crc32c: it starts from 0 and inverts nothing.
func checksum(head [headerSize]byte, body []byte) uint32 {
	clear(head[6:])
	table := crc32.MakeTable(crc32.Castagnoli)
	crc := crc32.Update(^uint32(0), table, head[:])
	return ^crc32.Update(crc, table, body)
}
