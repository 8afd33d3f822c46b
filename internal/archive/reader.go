package archive

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
)

// Reader reads one. Read returns the stream and counts its bytes.
type Reader struct {
	r        *bufio.Reader
	sum      hash.Hash // nil: none
	n        uint64
	Manifest *Manifest // nil for a bare send stream
	Alone    bool      // nothing may follow: it would be lost without an error
	here     bool      // it comes from this process, without a last line
	Through  io.Reader // the input of the stream, if that is not r
}

// Direct is a stream from this process, whose own checksums are enough. It has no last line.
func Direct(r *bufio.Reader, m *Manifest) *Reader { return &Reader{r: r, Manifest: m, here: true} }

// Open reads the manifest, if there is one.
func Open(r *bufio.Reader) (*Reader, error) {
	first, err := r.Peek(1)
	if err != nil {
		return nil, unexpectedEnd(err)
	}
	if first[0] != '{' {
		return &Reader{r: r, sum: sha256.New()}, nil
	}
	line, err := ReadLine(r, MaxManifest)
	if err != nil {
		return nil, err
	}
	return NewReader(r, line)
}

// NewReader is for an archive whose first line has been read.
func NewReader(r *bufio.Reader, line []byte) (*Reader, error) {
	a := &Reader{r: r, sum: sha256.New(), Manifest: &Manifest{}}
	if err := json.Unmarshal(line, a.Manifest); err != nil {
		return nil, fmt.Errorf("%w: its first line: %w", facts.ErrArchive, err)
	}
	if a.Manifest.Format != FormatVersion {
		return nil, fmt.Errorf("%w: an archive of version %d, this program knows %d", facts.ErrArchive, a.Manifest.Format, FormatVersion)
	}
	if a.Manifest.Unsummed {
		a.sum = nil
	}
	a.add(line)
	return a, nil
}

func (a *Reader) add(p []byte) {
	if a.sum != nil {
		a.sum.Write(p)
	}
	a.n += uint64(len(p))
}

func (a *Reader) Read(p []byte) (int, error) {
	from := io.Reader(a.r)
	if a.Through != nil {
		from = a.Through
	}
	n, err := from.Read(p)
	if a.Manifest != nil && !a.here {
		a.add(p[:n])
	}
	return n, err
}

// Finish compares with the last line. A bare stream has none.
func (a *Reader) Finish() error {
	if err := a.compare(); err != nil || !a.Alone {
		return err
	}
	if _, err := a.r.Peek(1); !errors.Is(err, io.EOF) {
		return errors.Join(fmt.Errorf("%w: there is data after its end; receive one backup at a time", facts.ErrArchive), err)
	}
	return nil
}

func (a *Reader) compare() error {
	if a.Manifest == nil || a.here {
		return nil
	}
	line, err := ReadLine(a.r, maxTrailer)
	if err != nil {
		return err
	}
	var t trailer
	if err := json.Unmarshal(line, &t); err != nil {
		return fmt.Errorf("%w: its last line: %w", facts.ErrArchive, err)
	}
	if got := sumOf(a.sum); t.SHA256 != got || t.Bytes != a.n {
		return fmt.Errorf("%w: %d bytes with SHA-256 %s, its last line says %d with %s", facts.ErrArchive, a.n, got, t.Bytes, t.SHA256)
	}
	return nil
}

// ReadLine reads up to and with a line break.
func ReadLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > limit:
			return nil, fmt.Errorf("%w: a line of more than %d bytes", facts.ErrArchive, limit)
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, unexpectedEnd(err)
		}
	}
}

func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fail.Kind(io.ErrUnexpectedEOF, fmt.Errorf("%w: it ends too early", facts.ErrArchive))
	}
	return err
}
