package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
)

const (
	FormatVersion = 1
	MaxManifest   = 2 << 20 // a record has at most half of it
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

// Writer writes an archive; the stream goes through Write.
type Writer struct {
	w   io.Writer
	sum hash.Hash // nil: none
	n   uint64
}

// NewWriter writes the first line.
func NewWriter(w io.Writer, m Manifest) (*Writer, error) {
	line, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	a := &Writer{w: w}
	if !m.Unsummed {
		a.sum = sha256.New()
	}
	_, err = a.Write(append(line, '\n'))
	return a, err
}

func (a *Writer) Write(p []byte) (int, error) {
	n, err := a.w.Write(p)
	if a.sum != nil {
		a.sum.Write(p[:n])
	}
	a.n += uint64(n)
	return n, err
}

// Bytes is how many have been written.
func (a *Writer) Bytes() uint64 { return a.n }

// Finish writes the last line.
func (a *Writer) Finish() error {
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
