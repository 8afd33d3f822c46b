package sendstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
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

// Commands reads one stream from r, up to and with its End. An error comes last, with a nil Command: one of r as it
// is, or one that matches ErrFormat and tells the offset. A stream that stops before its End is an error, even
// between two commands.
func Commands(r io.Reader) iter.Seq2[Command, error] {
	return func(yield func(Command, error) bool) {
		d := decoder{r: r}
		err := d.header()
		for err == nil {
			var c Command
			if c, err = d.next(); err == nil {
				if !yield(c, nil) {
					return
				}
				if _, last := c.(End); last {
					return
				}
			}
		}
		yield(nil, err)
	}
}

type decoder struct {
	r       io.Reader
	version uint32
	offset  uint64 // of what is read next
	buf     []byte
}

func (d *decoder) fail(format string, args ...any) error {
	return fmt.Errorf("%w: at byte %d: %s", ErrFormat, d.offset, fmt.Sprintf(format, args...))
}

// fill reads exactly len(b) bytes.
func (d *decoder) fill(b []byte, what string) error {
	n, err := io.ReadFull(d.r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = d.fail("it ends after %d of the %d bytes of %s", n, len(b), what)
	}
	if err == nil {
		d.offset += uint64(n)
	}
	return err
}

func (d *decoder) header() error {
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
func (d *decoder) next() (Command, error) {
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
	attrs, err := parseAttrs(d.buf, d.version)
	var c Command
	if err == nil {
		c, err = newCommand(number, attrs)
	}
	if err != nil {
		d.offset = start
		return nil, d.fail("command %d: %v", number, err)
	}
	return c, nil
}

func (d *decoder) body(length int) error {
	const step = 64 << 10
	d.buf = d.buf[:0]
	for len(d.buf) < length {
		n := min(step, length-len(d.buf))
		d.buf = append(d.buf, make([]byte, n)...)
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
