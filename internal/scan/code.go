package scan

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// What is behind the name of an entry, one bit each.
const (
	hasFS     = 1 << iota // another filesystem than that of the entry before
	isClosed              // Closed
	modifyIs              // Modify is Change
	birthIs               // Birth is Change
	birthNone             // Birth is zero
	hasLinks              // Links is not 1
	hasDevice             // Device is not 0
	hasTarget             // Target is not 0
)

// owner is what most files of a tree have in common.
type owner struct{ mode, uid, gid uint32 }

// coder keeps what entries are coded as a difference to. Writing and reading do the same with it, in the same order.
type coder struct {
	inode   uint64
	change  Time
	fs      string
	known   []string          // filesystems, by number
	numbers map[string]uint64 // the reverse
	owners  []owner           // by number
	index   map[owner]uint64  // the reverse
	buf     []byte
}

func newCoder() coder {
	return coder{numbers: map[string]uint64{}, index: map[owner]uint64{}}
}

// append adds e, whose name follows the name before.
func (c *coder) append(buf []byte, before string, e Entry) []byte {
	shared := 0
	for shared < len(before) && shared < len(e.Name) && before[shared] == e.Name[shared] {
		shared++
	}
	flags := c.flags(e)
	buf = append(buf, flags)
	buf = binary.AppendUvarint(buf, uint64(shared))
	buf = appendText(buf, e.Name[shared:])
	if flags&hasFS != 0 {
		buf = c.appendFS(buf, e.FS)
	}
	buf = binary.AppendUvarint(buf, zigzag(int64(e.Inode-c.inode)))
	buf = appendNear(buf, c.change, e.Change)
	c.inode, c.change = e.Inode, e.Change
	if flags&modifyIs == 0 {
		buf = appendNear(buf, e.Change, e.Modify)
	}
	if flags&(birthIs|birthNone) == 0 {
		buf = appendNear(buf, e.Change, e.Birth)
	}
	buf = binary.AppendUvarint(buf, e.Size)
	buf = c.appendOwner(buf, owner{e.Mode, e.UID, e.GID})
	if flags&hasLinks != 0 {
		buf = binary.AppendUvarint(buf, uint64(e.Links))
	}
	if flags&hasDevice != 0 {
		buf = binary.AppendUvarint(buf, e.Device)
	}
	if flags&hasTarget != 0 {
		buf = binary.BigEndian.AppendUint64(buf, e.Target)
	}
	return buf
}

func (c *coder) flags(e Entry) byte {
	var flags byte
	for _, f := range []struct {
		bit byte
		set bool
	}{
		{hasFS, e.FS != c.fs}, {isClosed, e.Closed}, {modifyIs, e.Modify == e.Change}, {birthIs, e.Birth == e.Change},
		{birthNone, e.Birth == Time{} && e.Birth != e.Change}, {hasLinks, e.Links != 1}, {hasDevice, e.Device != 0}, {hasTarget, e.Target != 0},
	} {
		if f.set {
			flags |= f.bit
		}
	}
	return flags
}

// appendFS: a number that is not known yet is followed by the text.
func (c *coder) appendFS(buf []byte, fs string) []byte {
	c.fs = fs
	number, known := c.numbers[fs]
	if known {
		return binary.AppendUvarint(buf, number)
	}
	number = uint64(len(c.known))
	c.numbers[fs], c.known = number, append(c.known, fs)
	return appendText(binary.AppendUvarint(buf, number), fs)
}

// appendOwner: an unknown number, or that of a full table, is followed by its value.
func (c *coder) appendOwner(buf []byte, o owner) []byte {
	number, known := c.index[o]
	if known {
		return binary.AppendUvarint(buf, number)
	}
	number = uint64(len(c.owners))
	if number < maxOwners {
		c.index[o], c.owners = number, append(c.owners, o)
	}
	for _, n := range []uint64{number, uint64(o.mode), uint64(o.uid), uint64(o.gid)} {
		buf = binary.AppendUvarint(buf, n)
	}
	return buf
}

// appendNear codes t by its distance to near: all of it within the same second, else only the seconds.
func appendNear(buf []byte, near, t Time) []byte {
	buf = binary.AppendUvarint(buf, zigzag(t.Sec-near.Sec))
	if t.Sec == near.Sec {
		return binary.AppendUvarint(buf, zigzag(int64(t.Nsec)-int64(near.Nsec)))
	}
	return binary.AppendUvarint(buf, uint64(t.Nsec))
}

func appendText(buf []byte, s string) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
}

func zigzag(n int64) uint64   { return uint64(n<<1) ^ uint64(n>>63) }
func unzigzag(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }

// read is the reverse of append.
func (c *coder) read(in *bufio.Reader, before string) (e Entry, err error) {
	d := decoder{in: in}
	flags := byte(d.octet())
	shared, rest := d.number(), d.text()
	if shared > uint64(len(before)) {
		return e, errors.Join(fmt.Errorf("%w: a name begins with %d bytes of %d", ErrCatalog, shared, len(before)), d.err)
	}
	e.Name = before[:shared] + rest
	if flags&hasFS != 0 {
		c.fs = c.readFS(&d)
	}
	e.FS, e.Closed = c.fs, flags&isClosed != 0
	e.Inode = c.inode + uint64(unzigzag(d.number()))
	e.Change = d.near(c.change)
	c.inode, c.change = e.Inode, e.Change
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
	o := c.readOwner(&d)
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
	if d.err == nil && e.Closed && e.kind() != unix.S_IFDIR {
		d.fail("what is not entered is no directory")
	}
	return e, d.err
}

func (c *coder) readFS(d *decoder) string {
	number := d.number()
	switch {
	case number < uint64(len(c.known)):
		return c.known[number]
	case number > uint64(len(c.known)):
		d.fail("an unknown filesystem")
		return ""
	}
	fs := d.text()
	if d.err == nil {
		c.known = append(c.known, fs)
	}
	return fs
}

func (c *coder) readOwner(d *decoder) owner {
	number := d.number()
	switch {
	case number < uint64(len(c.owners)):
		return c.owners[number]
	case number > uint64(len(c.owners)):
		d.fail("an unknown owner")
		return owner{}
	}
	o := owner{mode: d.number32(), uid: d.number32(), gid: d.number32()}
	if d.err == nil && number < maxOwners {
		c.owners = append(c.owners, o)
	}
	return o
}

// decoder reads numbers until the first error, which it keeps.
type decoder struct {
	in  *bufio.Reader
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrCatalog, what)
	}
}

func (d *decoder) octet() (b byte) {
	if d.err == nil {
		b, d.err = d.in.ReadByte()
		d.err = torn(d.err)
	}
	return b
}

func (d *decoder) number() (n uint64) {
	if d.err == nil {
		n, d.err = readNumber(d.in)
	}
	return n
}

func (d *decoder) number32() uint32 {
	n := d.number()
	if n > 1<<32-1 {
		d.fail("a number is too large")
	}
	return uint32(n)
}

func (d *decoder) text() (s string) {
	if d.err == nil {
		s, d.err = readText(d.in)
	}
	return s
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
	var data [8]byte
	if d.err == nil {
		_, d.err = io.ReadFull(d.in, data[:])
		d.err = torn(d.err)
	}
	return binary.BigEndian.Uint64(data[:])
}

// torn: a stream that ends early is no end.
func torn(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut off", ErrCatalog)
	}
	return err
}

func readNumber(in *bufio.Reader) (uint64, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil && torn(err) == err {
		return 0, fmt.Errorf("%w: %w", ErrCatalog, err) // too many bytes for a number
	}
	return n, torn(err)
}

func readText(in *bufio.Reader) (string, error) {
	n, err := readNumber(in)
	if err != nil {
		return "", err
	}
	if n > maxString {
		return "", fmt.Errorf("%w: a text of %d bytes", ErrCatalog, n)
	}
	data := make([]byte, n)
	_, err = io.ReadFull(in, data)
	return string(data), torn(err)
}

func readTime(in *bufio.Reader) (t Time, err error) {
	d := decoder{in: in}
	t.Sec = unzigzag(d.number())
	nsec := d.number()
	if nsec >= 1e9 {
		d.fail("a time is out of range")
	}
	t.Nsec = uint32(nsec)
	return t, d.err
}
