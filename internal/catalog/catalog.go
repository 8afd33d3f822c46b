package catalog

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"slices"
)

// The format of a catalog, all numbers varints (encoding/binary), strings with their length before them:
//
//	magic, version, Header
//	for each directory, beginning with the root, in the order of ComparePaths: tagDir, the number of entries, the
//	length of their code, the code; or tagUnread. Which directory it is follows from the entries before: they are in
//	the order in which a walk enters them.
//	tagEnd, the unsettled directories, Extra, the offset of tagEnd (8 bytes), SHA-256 of all before (32 bytes)
const (
	magic   = "rsbtscan"
	version = 3

	tagDir    = 1
	tagUnread = 2
	tagEnd    = 3

	sumSize    = sha256.Size
	footerSize = 8 + sumSize

	// maxString limits the length of a text: a path, a rule, an identity.
	maxString = 64 << 10
	maxRules  = 1 << 16
	// maxCode limits the code of one directory: with an int of 32 bits a slice can be no longer.
	maxCode = 1<<31 - 1
	// MaxUnsettled limits the directories that changed during a run and are recorded for the next one.
	MaxUnsettled = 10000
	// maxExtra limits Reader.Extra, in bytes. More must not be written.
	maxExtra = 16 << 20
	// MaxPath is the longest path below the source that rsync accepts in a list (MAXPATHLEN, including "./" and "/"),
	// with a reserve. A tree with longer ones is not walked.
	MaxPath = 4000
	maxName = 255
)

// ErrUnusable is matched by errors of reading a catalog: it cannot be used.
var ErrUnusable = errors.New("unusable catalog")

// ErrRules is the error of Fits if only the rules differ: then the information about each file is still valid.
var ErrRules = errors.New("the last backup was made with other rules")

// Header describes the source of a catalog.
type Header struct {
	Source  string   // the path of the root
	Rules   []string // everything that decides which files are backed up
	Started Time     // when the walk began, by the clock for the times of files
	Root    Entry
	Parent  Entry // of the parent of the root
}

// Fits reports whether a catalog is of this source and these rules; if not, why.
func (h Header) Fits(source string, rules []string) error {
	if h.Source != source {
		return errors.New("the last backup is of another source")
	}
	if !slices.Equal(h.Rules, rules) {
		return ErrRules
	}
	return nil
}

// Unsettled is a directory that changed while it was backed up.
type Unsettled struct {
	Path string
	Deep bool // it may have been elsewhere: everything below it is unknown
}

// Writer writes a catalog as a stream. If it is given another catalog, it writes nothing as long as its directories
// equal those of the other: most often all are equal, and no new catalog is needed.
type Writer struct {
	to     io.Writer
	out    *bufio.Writer
	sum    hash.Hash
	at     uint64
	failed error
	header Header
	like   *Reader // nil: a difference was found, and everything so far is written
	same   uint64  // where in it the equal directories end
}

// NewWriter begins a catalog. like, if not nil, is the one that it is compared with.
func NewWriter(to io.Writer, h Header, like *Reader) *Writer {
	w := &Writer{to: to, sum: sha256.New(), header: h, like: like}
	w.out = bufio.NewWriterSize(io.MultiWriter(to, w.sum), 64<<10)
	if like != nil {
		w.same = like.first
	} else {
		w.begin()
	}
	return w
}

func (w *Writer) begin() {
	h := w.header
	w.write([]byte(magic))
	w.number(version)
	w.text(h.Source)
	w.number(uint64(len(h.Rules)))
	for _, rule := range h.Rules {
		w.text(rule)
	}
	w.number(zigzag(h.Started.Sec))
	w.number(uint64(h.Started.Nsec))
	for _, e := range []*Entry{&h.Root, &h.Parent} {
		var c Coder
		c.Begin(Base{})
		c.Add(e)
		w.text(string(c.buf))
	}
}

// part is called at the first difference: the equal directories are copied.
func (w *Writer) part() {
	if w.like == nil {
		return
	}
	from, length := w.like, int64(w.same-w.like.first)
	w.like = nil
	w.begin()
	if w.failed == nil {
		_, w.failed = io.CopyN(w.out, io.NewSectionReader(from.from, int64(from.first), length), length)
		w.at += uint64(length)
	}
}

// Add adds a directory. The order is that of a walk; see ComparePaths.
func (w *Writer) Add(l Listing) error {
	w.part()
	if l.Unread {
		w.number(tagUnread)
		return w.failed
	}
	w.number(tagDir)
	w.number(uint64(l.Count))
	w.number(uint64(len(l.Code)))
	w.write(l.Code)
	return w.failed
}

// HandOn adds a directory that equals the current one of known, byte by byte.
func (w *Writer) HandOn(known *Reader) error {
	if w.like != known || w.same != known.begins {
		return w.Add(known.Now)
	}
	w.same = known.ends
	return nil
}

// HandOnAll adds all directories of the other catalog.
func (w *Writer) HandOnAll() { w.same = w.like.end }

// Finish ends the catalog, with the data for Reader.Extra, and returns its checksum. It may be called again, to write
// another end: at the offset that Flush returns.
func (w *Writer) Finish(unsettled []Unsettled, extra []byte) ([]byte, error) {
	end, err := w.Flush()
	if err != nil {
		return nil, err
	}
	open, err := w.sum.(hash.Cloner).Clone()
	if err != nil {
		return nil, err
	}
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
	w.text(string(extra))
	w.write(binary.BigEndian.AppendUint64(nil, end))
	if err := errors.Join(w.failed, w.out.Flush()); err != nil {
		return nil, err
	}
	sum := w.sum.Sum(nil)
	w.write(sum)
	err = errors.Join(w.failed, w.out.Flush())
	w.at, w.sum = end, open
	w.out.Reset(io.MultiWriter(w.to, w.sum))
	return sum, err
}

// Flush makes everything so far readable for ReadUnfinished.
func (w *Writer) Flush() (size uint64, err error) {
	w.part()
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
