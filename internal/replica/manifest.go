package replica

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// An archive is a line of JSON that describes it, the send stream, and a line of JSON with the SHA-256 of everything
// before. Over ssh it has no SHA-256: ssh has checksums of its own, each command of the stream has one, and the last
// line has the length.
const (
	formatVersion = 1
	maxManifest   = 2 << 20 // a record has at most half of it
	maxTrailer    = 1 << 10
)

// Manifest is the first line.
type Manifest struct {
	Format     int           `json:"rsbtbackup_archive"`
	Name       string        `json:"name"`
	UUID       btrfs.UUID    `json:"uuid"` // as in the stream: all copies have the same
	Parent     string        `json:"parent,omitempty"`
	ParentUUID btrfs.UUID    `json:"parent_uuid,omitzero"`
	Host       string        `json:"host,omitempty"`
	Dest       string        `json:"dest,omitempty"`
	Created    time.Time     `json:"created"`
	Record     *facts.Record `json:"record,omitempty"`
	Unsummed   bool          `json:"unsummed,omitempty"`
}

// trailer is the last line.
type trailer struct {
	SHA256 string `json:"sha256,omitempty"`
	Bytes  uint64 `json:"bytes"`
}

// archiveWriter writes an archive; the stream goes through Write.
type archiveWriter struct {
	w   io.Writer
	sum hash.Hash // nil: none
	n   uint64
}

func newArchiveWriter(w io.Writer, m Manifest) (*archiveWriter, error) {
	line, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	a := &archiveWriter{w: w}
	if !m.Unsummed {
		a.sum = sha256.New()
	}
	_, err = a.Write(append(line, '\n'))
	return a, err
}

func (a *archiveWriter) Write(p []byte) (int, error) {
	n, err := a.w.Write(p)
	if a.sum != nil {
		a.sum.Write(p[:n])
	}
	a.n += uint64(n)
	return n, err
}

func (a *archiveWriter) finish() error {
	line, err := json.Marshal(trailer{sumOf(a.sum), a.n})
	if err == nil {
		_, err = a.w.Write(append(line, '\n'))
	}
	return err
}

func sumOf(sum hash.Hash) string {
	if sum == nil {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// archiveReader reads one. Read returns the stream and counts its bytes.
type archiveReader struct {
	r        *bufio.Reader
	sum      hash.Hash // nil: none
	n        uint64
	manifest *Manifest // nil for a bare send stream
	alone    bool      // nothing may follow: it would be lost without an error
	here     bool      // it comes from this process, without a last line
	through  io.Reader // the input of the stream, if that is not r
}

// openArchive reads the manifest, if there is one.
func openArchive(r *bufio.Reader) (*archiveReader, error) {
	first, err := r.Peek(1)
	if err != nil {
		return nil, unexpectedEnd(err)
	}
	if first[0] != '{' {
		return &archiveReader{r: r, sum: sha256.New()}, nil
	}
	line, err := readLine(r, maxManifest)
	if err != nil {
		return nil, err
	}
	return newArchiveReader(r, line)
}

// newArchiveReader is for an archive whose first line has been read.
func newArchiveReader(r *bufio.Reader, line []byte) (*archiveReader, error) {
	a := &archiveReader{r: r, sum: sha256.New(), manifest: &Manifest{}}
	if err := json.Unmarshal(line, a.manifest); err != nil {
		return nil, fmt.Errorf("%w: its first line: %w", facts.ErrArchive, err)
	}
	if a.manifest.Format != formatVersion {
		return nil, fmt.Errorf("%w: an archive of version %d, this program knows %d", facts.ErrArchive, a.manifest.Format, formatVersion)
	}
	if a.manifest.Unsummed {
		a.sum = nil
	}
	a.add(line)
	return a, nil
}

func (a *archiveReader) add(p []byte) {
	if a.sum != nil {
		a.sum.Write(p)
	}
	a.n += uint64(len(p))
}

func (a *archiveReader) Read(p []byte) (int, error) {
	from := io.Reader(a.r)
	if a.through != nil {
		from = a.through
	}
	n, err := from.Read(p)
	if a.manifest != nil && !a.here {
		a.add(p[:n])
	}
	return n, err
}

// finish compares with the last line. A bare stream has none.
func (a *archiveReader) finish() error {
	if err := a.compare(); err != nil || !a.alone {
		return err
	}
	if _, err := a.r.Peek(1); !errors.Is(err, io.EOF) {
		return errors.Join(fmt.Errorf("%w: there is data after its end; receive one backup at a time", facts.ErrArchive), err)
	}
	return nil
}

func (a *archiveReader) compare() error {
	if a.manifest == nil || a.here {
		return nil
	}
	line, err := readLine(a.r, maxTrailer)
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

// readLine reads up to and with a line break.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
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
		return fmt.Errorf("%w: it ends too early", facts.ErrArchive)
	}
	return err
}

// recordFor is the record that goes with a copy: of the run that made it, and the pin. The result of Verify is about
// another disk and is stored separately: if it counted for this disk, damaged data would not be read here.
func recordFor(b facts.Snapshot, origin btrfs.UUID, host, dest string, now time.Time) *facts.Record {
	r := facts.Record{Version: 1, Name: b.Name, Status: b.Status}
	if b.Record != nil {
		r = *b.Record
	}
	copied := facts.CopyInfo{Host: host, Dest: dest, UUID: origin, At: now, Verified: r.Verified}
	if r.Verified == nil && r.Copied != nil {
		copied.Verified = r.Copied.Verified
	}
	r.Verified, r.Compared, r.Copied = nil, nil, &copied
	return &r
}

// checkRecord checks everything in a record that comes with a copy.
func checkRecord(m *Manifest, now time.Time) (facts.Record, error) {
	r := facts.Record{Version: 1, Name: m.Name, Status: facts.Complete}
	if m.Record != nil {
		r = *m.Record
	}
	r.Verified, r.Compared = nil, nil
	if r.Copied == nil {
		r.Copied = &facts.CopyInfo{Host: m.Host, Dest: m.Dest}
	}
	r.Copied.UUID, r.Copied.At, r.Copied.PinnedAt = m.UUID, now, time.Time{}
	if r.Pin != nil {
		r.Copied.PinnedAt = r.Pin.At
	}
	data, err := json.Marshal(r)
	switch {
	case err != nil:
		return r, err
	case r.Name != m.Name:
		return r, fmt.Errorf("%w: its name is %q, but its record is of %q", facts.ErrArchive, m.Name, r.Name)
	case r.Version != 1 || r.Status != facts.Complete && r.Status != facts.Incomplete:
		return r, fmt.Errorf("%w: a record of version %d and status %q", facts.ErrArchive, r.Version, r.Status)
	case len(bytes.TrimSpace(data)) > maxManifest/4:
		return r, fmt.Errorf("%w: a record of %d bytes", facts.ErrArchive, len(data))
	case r.Started.After(now.Add(clocksDiffer)):
		return r, fmt.Errorf("%w: its record has the time %s, which is in the future", facts.ErrArchive, r.Started.Format(time.RFC3339))
	}
	if u := r.Unchanged; u != nil && u.At.After(now.Add(clocksDiffer)) {
		return r, fmt.Errorf("%w: its record says that it was current at %s, which is in the future", facts.ErrArchive, u.At.Format(time.RFC3339))
	}
	if at, _ := store.CanBeBackup(m.Name); r.Started.IsZero() && at.After(now.Add(zonesDiffer)) {
		return r, fmt.Errorf("%w: its name %q is a time in the future", facts.ErrArchive, m.Name)
	}
	return r, nil
}

// A backup from the future would stay the newest one, and never be too old. clocksDiffer is how far the clocks of two
// hosts may differ; the time zone of a name is unknown.
const (
	clocksDiffer = time.Hour
	zonesDiffer  = 26 * time.Hour
)
