package scan

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"io"
)

// Reading a catalog once more: one that is not finished, or one that is known to be sound.

// readUnfinished reads what a Writer has flushed and not finished.
func readUnfinished(from io.ReaderAt, size uint64) (*Reader, error) {
	r := &Reader{sum: sha256.New(), coder: newCoder(), next: []string{"."}}
	r.in = bufio.NewReaderSize(io.NewSectionReader(from, 0, int64(size)), 64<<10)
	return r, r.readHeader()
}

// again reads the directories once more, of a catalog that is known to be sound.
func (r *Reader) again() (*Reader, error) { return readUnfinished(r.from, r.end) }

// dirs reads the new catalog once more.
func (res *Result) dirs() func() (Dir, bool, error) {
	r, err := readUnfinished(res.file, res.size)
	return func() (Dir, bool, error) {
		if err != nil {
			return Dir{}, false, err
		}
		d, err := r.Next()
		if errors.Is(err, io.EOF) {
			return Dir{}, false, nil
		}
		return d, err == nil, err
	}
}
