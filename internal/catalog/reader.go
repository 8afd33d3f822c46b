package catalog

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
)

// Reader reads a catalog as a stream. Nothing of it may be used for changes before Next has returned io.EOF: only then
// the checksum has been verified.
type Reader struct {
	Header    Header
	Unsettled map[string]Unsettled // by path
	Extra     []byte               // see Writer.Finish; valid after everything was read

	section *io.SectionReader // of everything before the checksum
	in      *bufio.Reader     // the same
	sum     hash.Hash
	want    []byte // nil: it is not finished
	from    io.ReaderAt
	first   uint64 // where the directories begin
	end     uint64 // where they end

	Now          Listing // the current directory, read-only; the next one overwrites its code
	self         Base
	begins, ends uint64 // where it begins
	entered      bool   // the directories in it are in next
	decoded      bool   // its entries are in entries
	entries      []Entry
	decoder      decoder
	next         []place // the directories to come, the next one last
}

// place is a directory to come.
type place struct {
	path string
	self Base
}

// NewReader reads the header, and the end. Errors match ErrUnusable or are those of from.
func NewReader(from io.ReaderAt, size int64) (*Reader, error) {
	if size < int64(len(magic))+footerSize {
		return nil, fmt.Errorf("%w: %d bytes are too few", ErrUnusable, size)
	}
	r := &Reader{want: make([]byte, sumSize), from: from}
	if _, err := from.ReadAt(r.want, size-sumSize); err != nil {
		return nil, err
	}
	if err := r.readEnd(from, size); err != nil {
		return nil, err
	}
	return r, r.open(size - sumSize)
}

// ReadFile is NewReader for a file.
func ReadFile(f *os.File) (*Reader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return NewReader(f, info.Size())
}

// ReadKnown reads the catalog with that checksum. An error says why it cannot be used; if it matches ErrRules, the
// times in it are valid.
func ReadKnown(f *os.File, sum, source string, rules []string) (*Reader, error) {
	r, err := ReadFile(f)
	switch {
	case err != nil:
		return nil, err
	case hex.EncodeToString(r.Sum()) != sum:
		return nil, errors.New("the catalog is that of another backup")
	}
	if err = r.Header.Fits(source, rules); err != nil && !errors.Is(err, ErrRules) {
		return nil, err
	}
	return r, err
}

// ReadUnfinished reads the part that a Writer has flushed.
func ReadUnfinished(from io.ReaderAt, size uint64) (*Reader, error) {
	r := &Reader{from: from, end: size}
	return r, r.open(int64(size))
}

// Again reads the directories of a catalog again, which is known to be valid.
func (r *Reader) Again() (*Reader, error) { return ReadUnfinished(r.from, r.end) }

func (r *Reader) open(size int64) error {
	r.sum, r.section = sha256.New(), io.NewSectionReader(r.from, 0, size)
	r.in = bufio.NewReaderSize(io.TeeReader(r.section, r.sum), 64<<10)
	if err := r.readHeader(); err != nil {
		return err
	}
	r.entered, r.next = true, []place{{".", r.Header.Root.Base()}}
	r.first = r.at()
	return nil
}

// at is the present offset.
func (r *Reader) at() uint64 {
	at, _ := r.section.Seek(0, io.SeekCurrent) // it never fails
	return uint64(at) - uint64(r.in.Buffered())
}

// Sum is the checksum that the catalog contains.
func (r *Reader) Sum() []byte { return r.want }

// readEnd reads the unsettled directories, which are needed before the others.
func (r *Reader) readEnd(from io.ReaderAt, size int64) error {
	var offset [8]byte
	if _, err := from.ReadAt(offset[:], size-footerSize); err != nil {
		return err
	}
	end := binary.BigEndian.Uint64(offset[:])
	if end >= uint64(size-footerSize) {
		return fmt.Errorf("%w: its end is given as %d of %d bytes", ErrUnusable, end, size)
	}
	in := bufio.NewReader(io.NewSectionReader(from, int64(end), size-footerSize-int64(end)))
	unsettled, err := readUnsettled(in)
	if err == nil {
		r.Extra, err = readBytes(in, maxExtra)
	}
	if _, more := in.ReadByte(); err == nil && more != io.EOF {
		err = fmt.Errorf("%w: there is data after its end", ErrUnusable)
	}
	r.Unsettled, r.end = unsettled, end
	return err
}

func readUnsettled(in *bufio.Reader) (map[string]Unsettled, error) {
	if tag, err := readNumber(in); err != nil || tag != tagEnd {
		return nil, errors.Join(fmt.Errorf("%w: it has no end", ErrUnusable), err)
	}
	count, err := readNumber(in)
	if err != nil || count > MaxUnsettled {
		return nil, errors.Join(fmt.Errorf("%w: %d unsettled directories", ErrUnusable, count), err)
	}
	unsettled := map[string]Unsettled{}
	for range count {
		path, err := readText(in)
		if err != nil {
			return nil, err
		}
		deep, err := readNumber(in)
		if err != nil {
			return nil, err
		}
		unsettled[path] = Unsettled{Path: path, Deep: deep != 0}
	}
	return unsettled, nil
}

func (r *Reader) readHeader() error {
	start := make([]byte, len(magic))
	if _, err := io.ReadFull(r.in, start); err != nil || string(start) != magic {
		return fmt.Errorf("%w: it does not begin like one", ErrUnusable)
	}
	if v, err := readNumber(r.in); err != nil || v != version {
		return fmt.Errorf("%w: it is of version %d", ErrUnusable, v)
	}
	var err error
	if r.Header.Source, err = readText(r.in); err != nil {
		return err
	}
	count, err := readNumber(r.in)
	if err != nil || count > maxRules {
		return errors.Join(fmt.Errorf("%w: %d rules", ErrUnusable, count), err)
	}
	for range count {
		rule, err := readText(r.in)
		if err != nil {
			return err
		}
		r.Header.Rules = append(r.Header.Rules, rule)
	}
	if r.Header.Started, err = readTime(r.in); err != nil {
		return err
	}
	for _, e := range []*Entry{&r.Header.Root, &r.Header.Parent} {
		text, err := readText(r.in)
		if err != nil {
			return err
		}
		if *e, err = r.decoder.single([]byte(text)); err != nil {
			return err
		}
	}
	return nil
}

// Step advances to the next directory; io.EOF after the last one, if the checksum is right.
func (r *Reader) Step() error {
	if err := r.enter(); err != nil {
		return err
	}
	r.begins = r.at()
	if r.want == nil && r.begins == r.end && len(r.next) == 0 {
		return io.EOF
	}
	tag, err := readNumber(r.in)
	if err != nil {
		return err
	}
	if tag == tagEnd && r.begins == r.end {
		return r.verify()
	}
	if len(r.next) == 0 {
		return fmt.Errorf("%w: more directories than it names", ErrUnusable)
	}
	p := r.next[len(r.next)-1]
	r.next = r.next[:len(r.next)-1]
	r.Now, r.self = Listing{Path: p.path, Unread: tag == tagUnread, Code: r.Now.Code[:0]}, p.self
	r.entered, r.decoded, r.entries = r.Now.Unread, false, r.entries[:0]
	switch tag {
	case tagUnread:
	case tagDir:
		err = r.readCode()
	default:
		err = fmt.Errorf("%w: unknown tag %d", ErrUnusable, tag)
	}
	r.ends = r.at()
	return err
}

func (r *Reader) readCode() error {
	count, err := readNumber(r.in)
	if err != nil {
		return err
	}
	size, err := readNumber(r.in)
	if err != nil {
		return err
	}
	if left := r.end - min(r.end, r.at()); size > left || size > maxCode || count > size {
		return fmt.Errorf("%w: a directory with %d entries in %d bytes, of %d", ErrUnusable, count, size, left)
	}
	r.Now.Count, r.Now.Code = int(count), slices.Grow(r.Now.Code, int(size))[:size]
	_, err = io.ReadFull(r.in, r.Now.Code)
	return torn(err)
}

// decode decodes the entries of the current directory.
func (r *Reader) decode() (err error) {
	if r.decoded || r.Now.Unread {
		return nil
	}
	r.entries, err = r.decoder.decode(r.Now, r.self, r.entries[:0])
	r.decoded = err == nil
	return err
}

// enter puts the directories in the current one before all others.
func (r *Reader) enter() error {
	if r.entered {
		return nil
	}
	if err := r.decode(); err != nil {
		return err
	}
	first := len(r.next)
	for i := range r.entries {
		e := &r.entries[i]
		if !e.IsOpen() {
			continue
		}
		path := Join(r.Now.Path, e.Name)
		if len(path) > MaxPath {
			return fmt.Errorf("%w: a path of %d bytes", ErrUnusable, len(path))
		}
		r.next = append(r.next, place{path, e.Base()})
	}
	slices.Reverse(r.next[first:])
	r.entered = true
	return nil
}

// EnterSame is enter without decoding, for l, which equals the current directory.
func (r *Reader) EnterSame(l Listing) {
	for i := len(l.Subs) - 1; i >= 0 && !r.entered; i-- {
		r.next = append(r.next, place{Join(l.Path, l.Subs[i].Name), l.Subs[i].Base()})
	}
	r.entered = true
}

// Dir is the current directory. The next one overwrites the entries.
func (r *Reader) Dir() (Dir, error) {
	err := r.decode()
	return Dir{Path: r.Now.Path, Unread: r.Now.Unread, Entries: r.entries}, err
}

// Next returns the next directory, or io.EOF after the last one, if the checksum is right. It overwrites what it
// returned before.
func (r *Reader) Next() (Dir, error) {
	if err := r.Step(); err != nil {
		return Dir{}, err
	}
	if err := r.enter(); err != nil {
		return Dir{}, err
	}
	return r.Dir()
}

func (r *Reader) verify() error {
	if len(r.next) > 0 {
		return fmt.Errorf("%w: directory %q is missing", ErrUnusable, r.next[len(r.next)-1].path)
	}
	if _, err := io.Copy(io.Discard, r.in); err != nil {
		return err
	}
	if string(r.sum.Sum(nil)) != string(r.want) {
		return fmt.Errorf("%w: its checksum is wrong", ErrUnusable)
	}
	return io.EOF
}

// single decodes a separate entry.
func (d *decoder) single(code []byte) (Entry, error) {
	d.names, d.ends = d.names[:0], d.ends[:0]
	d.in, d.err, d.base, d.owners = code, nil, Base{}, d.owners[:0]
	flags, shared := d.octet(), d.number()
	e := Entry{Name: string(d.text())}
	d.state(&e, flags)
	if d.err == nil && (shared > 0 || len(d.in) > 0) {
		d.fail("an entry of the header is none")
	}
	return e, d.err
}
