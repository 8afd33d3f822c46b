package catalog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// decoder decodes directories until the first error, which it keeps.
type decoder struct {
	in     []byte
	err    error
	base   Base
	owners []owner
	known  string // the filesystem written out last, which most often is that of the next one
	names  []byte // of all entries, one after the other
	ends   []int  // of each
}

// minEntry is the length of the shortest code of an entry.
const minEntry = 9

// decode appends the entries of a Listing.
func (d *decoder) decode(l Listing, self Base, to []Entry) ([]Entry, error) {
	if l.Count > len(l.Code)/minEntry {
		return nil, fmt.Errorf("%w: %d entries in %d bytes", ErrUnusable, l.Count, len(l.Code))
	}
	d.in, d.err, d.base, d.owners, d.names, d.ends = l.Code, nil, self, d.owners[:0], d.names[:0], d.ends[:0]
	first, before := len(to), 0 // before is where the name before begins
	for range l.Count {
		to = append(to, Entry{})
		begins := len(d.names)
		d.entry(&to[len(to)-1], d.names[before:begins])
		if d.err != nil {
			return nil, d.err
		}
		before = begins
	}
	if len(d.in) > 0 {
		return nil, fmt.Errorf("%w: there is data after the last entry of a directory", ErrUnusable)
	}
	names, from := string(d.names), 0
	for i, end := range d.ends {
		to[first+i].Name = names[from:end]
		from = end
	}
	return to, nil
}

// entry decodes one, whose name goes to d.names.
func (d *decoder) entry(e *Entry, before []byte) {
	flags := d.octet()
	shared, rest := d.number(), d.text()
	if d.err == nil && shared > uint64(len(before)) {
		d.fail("a name begins with more of another than that has")
	}
	if d.err != nil {
		return
	}
	begins := len(d.names)
	d.names = append(append(d.names, before[:shared]...), rest...)
	d.ends = append(d.ends, len(d.names))
	if err := checkName(d.names[begins:], before); err != nil {
		d.err = err
		return
	}
	d.state(e, flags)
}

// state decodes what follows the name.
func (d *decoder) state(e *Entry, flags byte) {
	if flags&hasFS != 0 {
		if fs := d.text(); string(fs) != d.known {
			d.known = string(fs)
		}
		d.base.fs = d.known
	}
	e.FS, e.Closed = d.base.fs, flags&isClosed != 0
	e.Inode = d.base.inode + uint64(unzigzag(d.number()))
	e.Change = d.near(d.base.change)
	d.base.inode, d.base.change = e.Inode, e.Change
	e.Modify, e.Birth = e.Change, e.Change
	if flags&modifyIs == 0 {
		e.Modify = d.near(e.Change)
	}
	switch {
	case flags&birthNone != 0:
		e.Birth = Time{}
	case flags&birthIs == 0:
		e.Birth = d.near(e.Change)
	}
	e.Size = d.number()
	o := d.owner()
	e.Mode, e.UID, e.GID = o.mode, o.uid, o.gid
	e.Links = 1
	if flags&hasLinks != 0 {
		e.Links = d.number32()
	}
	if flags&hasDevice != 0 {
		e.Device = d.number()
	}
	if flags&hasTarget != 0 {
		e.Target = d.fixed()
	}
	if d.err == nil && e.Closed && e.Kind() != unix.S_IFDIR {
		d.fail("what is not entered is no directory")
	}
}

func (d *decoder) owner() owner {
	number := d.number()
	switch {
	case number < uint64(len(d.owners)):
		return d.owners[number]
	case number > uint64(len(d.owners)):
		d.fail("an unknown owner")
		return owner{}
	}
	o := owner{mode: d.number32(), uid: d.number32(), gid: d.number32()}
	if number < maxOwners {
		d.owners = append(d.owners, o)
	}
	return o
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrUnusable, what)
	}
}

// take is the next n bytes.
func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.in)) {
		d.fail("it is cut off")
	}
	if d.err != nil {
		return nil
	}
	taken := d.in[:n]
	d.in = d.in[n:]
	return taken
}

func (d *decoder) octet() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) number() uint64 {
	if d.err != nil {
		return 0
	}
	if len(d.in) > 0 && d.in[0] < 0x80 {
		n := d.in[0]
		d.in = d.in[1:]
		return uint64(n)
	}
	n, size := binary.Uvarint(d.in)
	if size <= 0 {
		d.fail("a number is cut off, or too long")
		return 0
	}
	d.in = d.in[size:]
	return n
}

func (d *decoder) number32() uint32 {
	n := d.number()
	if n > 1<<32-1 {
		d.fail("a number is too large")
	}
	return uint32(n)
}

func (d *decoder) text() []byte {
	n := d.number()
	if n > maxString {
		d.fail("a text is too long")
	}
	return d.take(n)
}

func (d *decoder) near(near Time) (t Time) {
	delta := unzigzag(d.number())
	t.Sec = near.Sec + delta
	nsec := d.number()
	if delta == 0 {
		nsec = uint64(int64(near.Nsec) + unzigzag(nsec))
	}
	if nsec >= 1e9 {
		d.fail("a time is out of range")
	}
	t.Nsec = uint32(nsec)
	return t
}

func (d *decoder) fixed() uint64 {
	if data := d.take(8); data != nil {
		return binary.BigEndian.Uint64(data)
	}
	return 0
}

// torn: an early end of the stream is an error, not io.EOF.
func torn(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is truncated", ErrUnusable)
	}
	return err
}

func readNumber(in *bufio.Reader) (uint64, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil && torn(err) == err {
		return 0, fmt.Errorf("%w: %w", ErrUnusable, err) // a number with too many bytes
	}
	return n, torn(err)
}

func readText(in *bufio.Reader) (string, error) {
	text, err := readBytes(in, maxString)
	return string(text), err
}

func readBytes(in *bufio.Reader, most uint64) ([]byte, error) {
	n, err := readNumber(in)
	if err != nil {
		return nil, err
	}
	if n > most {
		return nil, fmt.Errorf("%w: a text of %d bytes", ErrUnusable, n)
	}
	data := make([]byte, n)
	_, err = io.ReadFull(in, data)
	return data, torn(err)
}

func readTime(in *bufio.Reader) (Time, error) {
	sec, err := readNumber(in)
	if err != nil {
		return Time{}, err
	}
	nsec, err := readNumber(in)
	if err == nil && nsec >= 1e9 {
		err = fmt.Errorf("%w: a time is out of range", ErrUnusable)
	}
	return Time{Sec: unzigzag(sec), Nsec: uint32(nsec)}, err
}
