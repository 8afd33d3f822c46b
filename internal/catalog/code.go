package catalog

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// The bits before an entry.
const (
	hasFS     = 1 << iota // the filesystem differs from that of the entry before
	isClosed              // Closed
	modifyIs              // Modify is Change
	birthIs               // Birth is Change
	birthNone             // Birth is zero
	hasLinks              // Links is not 1
	hasDevice             // Device is not 0
	hasTarget             // Target is not 0
)

// maxOwners limits the table of modes and owners of a directory; others are written out each time.
const maxOwners = 64

// owner is the part that most files of a directory have in common.
type owner struct{ mode, uid, gid uint32 }

// Base is the entry to which the next one is coded as a difference: the one before, or the directory for the first. So
// each directory is coded separately, and equal directories have equal codes.
type Base struct {
	inode  uint64
	change Time
	fs     string
}

// Base returns e as the base of the next entry, or of the first entry in e.
func (e *Entry) Base() Base { return Base{e.Inode, e.Change, e.FS} }

// Listing is a directory with its entries as coded in the catalog.
type Listing struct {
	Path   string
	Unread bool // see Dir
	Count  int  // entries
	Code   []byte
	// If it was read from a catalog, the next fields are unknown until it is decoded.
	Subs     []Entry // the directories in it that are entered
	Youngest Time    // the latest ctime in it, not before 1970
	Apart    bool    // it contains an entry on another filesystem
}

// Coder codes one directory after the other.
type Coder struct {
	Base
	self     Base
	before   string // the previous name
	owners   []owner
	count    int
	buf      []byte
	subs     []Entry
	youngest Time
	apart    bool
}

// Begin begins with a directory.
func (c *Coder) Begin(self Base) {
	*c = Coder{Base: self, self: self, owners: c.owners[:0], buf: c.buf[:0]}
}

// Add adds the next entry, in the order of names.
func (c *Coder) Add(e *Entry) {
	shared, flags := 0, c.flags(e)
	for shared < len(c.before) && shared < len(e.Name) && c.before[shared] == e.Name[shared] {
		shared++
	}
	buf := append(c.buf, flags)
	buf = binary.AppendUvarint(buf, uint64(shared))
	buf = appendText(buf, e.Name[shared:])
	if flags&hasFS != 0 {
		buf = appendText(buf, e.FS)
	}
	buf = binary.AppendUvarint(buf, zigzag(int64(e.Inode-c.inode)))
	buf = appendNear(buf, c.change, e.Change)
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
	c.buf, c.before, c.Base = buf, e.Name, e.Base()
	c.sum(e)
}

// sum updates the fields of a Listing that are known without decoding it.
func (c *Coder) sum(e *Entry) {
	if c.youngest.Before(e.Change) {
		c.youngest = e.Change
	}
	c.count++
	c.apart = c.apart || e.FS != c.self.fs
	if e.IsOpen() {
		sub := *e
		sub.Name = strings.Clone(e.Name) // shares no memory with the other names of the directory
		c.subs = append(c.subs, sub)
	}
}

// End is the directory.
func (c *Coder) End(path string) Listing {
	code := slices.Clone(c.buf)
	return Listing{Path: path, Count: c.count, Code: code, Subs: c.subs, Youngest: c.youngest, Apart: c.apart}
}

func (c *Coder) flags(e *Entry) byte {
	var flags byte
	if e.FS != c.fs {
		flags |= hasFS
	}
	if e.Closed {
		flags |= isClosed
	}
	if e.Modify == e.Change {
		flags |= modifyIs
	}
	switch {
	case e.Birth == e.Change:
		flags |= birthIs
	case e.Birth == Time{}:
		flags |= birthNone
	}
	if e.Links != 1 {
		flags |= hasLinks
	}
	if e.Device != 0 {
		flags |= hasDevice
	}
	if e.Target != 0 {
		flags |= hasTarget
	}
	return flags
}

// appendOwner writes the number of an owner in the table, followed by the owner itself if it is new or the table is
// full.
func (c *Coder) appendOwner(buf []byte, o owner) []byte {
	number := slices.Index(c.owners, o)
	if number >= 0 {
		return binary.AppendUvarint(buf, uint64(number))
	}
	number = len(c.owners)
	if number < maxOwners {
		c.owners = append(c.owners, o)
	}
	buf = binary.AppendUvarint(buf, uint64(number))
	buf = binary.AppendUvarint(buf, uint64(o.mode))
	buf = binary.AppendUvarint(buf, uint64(o.uid))
	return binary.AppendUvarint(buf, uint64(o.gid))
}

// appendNear codes t as the distance to near: completely within the same second, otherwise only the seconds.
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

// Decoded decodes a Listing.
func (l Listing) Decoded(self Base) (Dir, error) {
	d := Dir{Path: l.Path, Unread: l.Unread}
	if l.Unread {
		return d, nil
	}
	var c decoder
	var err error
	d.Entries, err = c.decode(l, self, nil)
	return d, err
}

// checkName refuses invalid names, and names out of order.
func checkName(name, before []byte) error {
	special := len(name) == 0 || string(name) == "." || string(name) == ".."
	if special || len(name) > maxName || string(name) <= string(before) {
		return fmt.Errorf("%w: name %q after %q", ErrUnusable, name, before)
	}
	for _, b := range name {
		if b == '/' || b == 0 {
			return fmt.Errorf("%w: name %q", ErrUnusable, name)
		}
	}
	return nil
}
