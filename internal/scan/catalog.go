package scan

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
)

// The format of a catalog, all numbers varints (encoding/binary), strings with their length before them:
//
//	magic, version, Header
//	for each directory, beginning with the root, in the order of comparePaths: tagDir, the number of entries, the entries;
//	or tagUnread. Which directory it is follows from the entries before: they are in the order in which a walk enters them.
//	tagEnd, the unsettled directories, the offset of tagEnd (8 bytes), SHA-256 of all before (32 bytes)
const (
	magic   = "rsbtscan"
	version = 1

	tagDir    = 1
	tagUnread = 2
	tagEnd    = 3

	sumSize    = sha256.Size
	footerSize = 8 + sumSize

	// maxString bounds what is read of a text: a path, a rule, an identity.
	maxString = 64 << 10
	maxRules  = 1 << 16
	// maxUnsettled bounds the directories that changed during a run and are kept for the next one.
	maxUnsettled = 10000
	// maxPath is the longest path below the source that rsync takes from a list (MAXPATHLEN, "./" and "/" included),
	// with some room. A tree that has longer ones is not walked.
	maxPath = 4000
	maxName = 255
	// maxOwners bounds the table of modes and owners; what is beyond it is spelled out each time.
	maxOwners = 1 << 12
)

// ErrCatalog is what the errors of reading a catalog match: it cannot be used.
var ErrCatalog = errors.New("unusable catalog")

// Header says what a catalog is of.
type Header struct {
	Source  string   // the path of the root
	Rules   []string // whatever decides what of the source is backed up
	Started Time     // when the walk began, by the clock that files get their times from
	Root    Entry
	Parent  Entry // of the directory that the root is in
}

// Unsettled is a directory that changed while it was backed up.
type Unsettled struct {
	Path string
	Deep bool // it may have been elsewhere: nothing below it is known
}

// Writer writes a catalog as a stream.
type Writer struct {
	out    *bufio.Writer
	sum    hash.Hash
	at     uint64
	coder  coder
	failed error
}

// NewWriter begins a catalog.
func NewWriter(to io.Writer, h Header) *Writer {
	w := &Writer{sum: sha256.New(), coder: newCoder()}
	w.out = bufio.NewWriterSize(io.MultiWriter(to, w.sum), 64<<10)
	w.write([]byte(magic))
	w.number(version)
	w.text(h.Source)
	w.number(uint64(len(h.Rules)))
	for _, rule := range h.Rules {
		w.text(rule)
	}
	w.number(zigzag(h.Started.Sec))
	w.number(uint64(h.Started.Nsec))
	w.write(w.coder.append(nil, "", h.Root))
	w.write(w.coder.append(nil, "", h.Parent))
	return w
}

// Dir adds a directory. The order is that of a walk; see comparePaths.
func (w *Writer) Dir(d Dir) error {
	if d.Unread {
		w.number(tagUnread)
		return w.failed
	}
	w.number(tagDir)
	w.number(uint64(len(d.Entries)))
	buf, before := w.coder.buf[:0], ""
	for _, e := range d.Entries {
		buf = w.coder.append(buf, before, e)
		before = e.Name
	}
	w.coder.buf = buf
	w.write(buf)
	return w.failed
}

// Finish ends the catalog and returns its checksum.
func (w *Writer) Finish(unsettled []Unsettled) ([]byte, error) {
	end := w.at
	w.number(tagEnd)
	w.number(uint64(len(unsettled)))
	for _, u := range unsettled {
		w.text(u.Path)
		deep := uint64(0)
		if u.Deep {
			deep = 1
		}
		w.number(deep)
	}
	w.write(binary.BigEndian.AppendUint64(nil, end))
	if err := errors.Join(w.failed, w.out.Flush()); err != nil {
		return nil, err
	}
	sum := w.sum.Sum(nil)
	w.write(sum)
	return sum, errors.Join(w.failed, w.out.Flush())
}

// flush lets readUnfinished see all so far.
func (w *Writer) flush() (size uint64, err error) {
	return w.at, errors.Join(w.failed, w.out.Flush())
}

func (w *Writer) number(n uint64) { w.write(binary.AppendUvarint(nil, n)) }

func (w *Writer) text(s string) {
	w.number(uint64(len(s)))
	w.write([]byte(s))
}

func (w *Writer) write(data []byte) {
	if w.failed == nil {
		_, w.failed = w.out.Write(data)
		w.at += uint64(len(data))
	}
}

// Reader reads a catalog as a stream. Nothing of it is to be acted on before Next has returned io.EOF: only then is the
// checksum known to be right.
type Reader struct {
	Header    Header
	Unsettled map[string]Unsettled // by path

	in    *bufio.Reader // all before the checksum
	sum   hash.Hash
	want  []byte
	coder coder
	next  []string // directories that are still to come, the next one last

	from io.ReaderAt
	end  uint64 // where the directories end
}

// NewReader reads the header, and the end. Errors match ErrCatalog or are those of from.
func NewReader(from io.ReaderAt, size int64) (*Reader, error) {
	if size < int64(len(magic))+footerSize {
		return nil, fmt.Errorf("%w: %d bytes are too few", ErrCatalog, size)
	}
	r := &Reader{sum: sha256.New(), coder: newCoder(), want: make([]byte, sumSize), next: []string{"."}, from: from}
	if _, err := from.ReadAt(r.want, size-sumSize); err != nil {
		return nil, err
	}
	if err := r.readEnd(from, size); err != nil {
		return nil, err
	}
	r.in = bufio.NewReaderSize(io.TeeReader(io.NewSectionReader(from, 0, size-sumSize), r.sum), 64<<10)
	return r, r.readHeader()
}

// Sum is the checksum that the catalog claims to have.
func (r *Reader) Sum() []byte { return r.want }

// readEnd reads the unsettled directories, which are needed before the others.
func (r *Reader) readEnd(from io.ReaderAt, size int64) error {
	var offset [8]byte
	if _, err := from.ReadAt(offset[:], size-footerSize); err != nil {
		return err
	}
	end := binary.BigEndian.Uint64(offset[:])
	if end >= uint64(size-footerSize) {
		return fmt.Errorf("%w: its end is said to be at %d of %d bytes", ErrCatalog, end, size)
	}
	in := bufio.NewReader(io.NewSectionReader(from, int64(end), size-footerSize-int64(end)))
	unsettled, err := readUnsettled(in)
	if err == nil {
		if _, more := in.ReadByte(); more != io.EOF {
			err = fmt.Errorf("%w: there is something behind its end", ErrCatalog)
		}
	}
	r.Unsettled, r.end = unsettled, end
	return err
}

func readUnsettled(in *bufio.Reader) (map[string]Unsettled, error) {
	if tag, err := readNumber(in); err != nil || tag != tagEnd {
		return nil, errors.Join(fmt.Errorf("%w: it has no end", ErrCatalog), err)
	}
	count, err := readNumber(in)
	if err != nil || count > maxUnsettled {
		return nil, errors.Join(fmt.Errorf("%w: %d unsettled directories", ErrCatalog, count), err)
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
		return fmt.Errorf("%w: it does not begin like one", ErrCatalog)
	}
	if v, err := readNumber(r.in); err != nil || v != version {
		return fmt.Errorf("%w: it is of version %d", ErrCatalog, v)
	}
	var err error
	if r.Header.Source, err = readText(r.in); err != nil {
		return err
	}
	count, err := readNumber(r.in)
	if err != nil || count > maxRules {
		return errors.Join(fmt.Errorf("%w: %d rules", ErrCatalog, count), err)
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
	if r.Header.Root, err = r.coder.read(r.in, ""); err != nil {
		return err
	}
	r.Header.Parent, err = r.coder.read(r.in, "")
	return err
}

// Next returns the next directory, or io.EOF when all were read and the checksum is right.
func (r *Reader) Next() (Dir, error) {
	if _, err := r.in.Peek(1); err == io.EOF && r.want == nil && len(r.next) == 0 {
		return Dir{}, io.EOF
	}
	tag, err := readNumber(r.in)
	if err != nil {
		return Dir{}, err
	}
	if tag == tagEnd {
		return Dir{}, r.verify()
	}
	if len(r.next) == 0 {
		return Dir{}, fmt.Errorf("%w: more directories than it names", ErrCatalog)
	}
	d := Dir{Path: r.next[len(r.next)-1], Unread: tag == tagUnread}
	r.next = r.next[:len(r.next)-1]
	switch tag {
	case tagUnread:
		return d, nil
	case tagDir:
		return d, r.readEntries(&d)
	}
	return Dir{}, fmt.Errorf("%w: unknown tag %d", ErrCatalog, tag)
}

func (r *Reader) readEntries(d *Dir) error {
	count, err := readNumber(r.in)
	if err != nil {
		return err
	}
	before := ""
	first := len(r.next)
	for range count {
		e, err := r.coder.read(r.in, before)
		if err != nil {
			return err
		}
		if err := checkName(e.Name, before); err != nil {
			return err
		}
		before = e.Name
		d.Entries = append(d.Entries, e)
		if e.isOpen() {
			path := join(d.Path, e.Name)
			if len(path) > maxPath {
				return fmt.Errorf("%w: a path of %d bytes", ErrCatalog, len(path))
			}
			r.next = append(r.next, path)
		}
	}
	reverse(r.next[first:])
	return nil
}

// checkName refuses names that no directory has, or not in this order.
func checkName(name, before string) error {
	if name == "" || name == "." || name == ".." || len(name) > maxName || name <= before {
		return fmt.Errorf("%w: name %q after %q", ErrCatalog, name, before)
	}
	for i := range len(name) {
		if name[i] == '/' || name[i] == 0 {
			return fmt.Errorf("%w: name %q", ErrCatalog, name)
		}
	}
	return nil
}

func (r *Reader) verify() error {
	if len(r.next) > 0 {
		return fmt.Errorf("%w: directory %q is missing", ErrCatalog, r.next[len(r.next)-1])
	}
	if _, err := io.Copy(io.Discard, r.in); err != nil {
		return err
	}
	if string(r.sum.Sum(nil)) != string(r.want) {
		return fmt.Errorf("%w: its checksum is wrong", ErrCatalog)
	}
	return io.EOF
}

func reverse(paths []string) {
	for i, j := 0, len(paths)-1; i < j; i, j = i+1, j-1 {
		paths[i], paths[j] = paths[j], paths[i]
	}
}
