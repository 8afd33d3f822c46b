// The data of a sparse file: where it is, and which parts are written.

package pending

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// nextData returns where the next data begins and ends, both size if there is none. If that cannot be found out, all of
// it counts as data: a hole would become zeros.
func nextData(f *os.File, offset, size int64) (data, hole int64) {
	data, err := unix.Seek(int(f.Fd()), offset, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) || err == nil && data >= size { // nothing but a hole is left
		return size, size
	}
	if err != nil {
		return offset, size
	}
	hole, err = unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
	if err != nil {
		hole = size
	}
	return data, min(hole, size)
}

// punchData replaces a range of f by a hole, if there is data in it.
func punchData(f *os.File, from, end int64) error {
	for from < end {
		data, hole := nextData(f, from, end)
		if data >= end {
			return nil
		}
		const mode = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
		err := at.Retry(func() error { return unix.Fallocate(int(f.Fd()), mode, data, hole-data) })
		if err != nil {
			return &fs.PathError{Op: "punch hole", Path: f.Name(), Err: err}
		}
		from = hole
	}
	return nil
}

// update copies the differences in a range of data. From offset had on, to is a hole.
func (c *sparseCopier) update(ctx context.Context, to, from *os.File, offset, end, had int64) (written int64, err error) {
	for offset < end {
		if ctx.Err() != nil {
			return written, context.Cause(ctx)
		}
		buf := c.from[:min(sparseUnit-offset%sparseUnit, end-offset)]
		n, err := from.ReadAt(buf, offset)
		if err != nil && !errors.Is(err, io.EOF) || n == 0 {
			return written, errUnread
		}
		have, err := c.have(to, offset, n, had)
		if err != nil {
			return written, err
		}
		more, err := writeDifferent(to, offset, buf[:n], have)
		if err == nil {
			err = c.step(more)
		}
		if written += more; err != nil {
			return written, err
		}
		offset += int64(n)
	}
	return written, nil
}

// have reads data of to; nil means zeros.
func (c *sparseCopier) have(to *os.File, offset int64, length int, had int64) ([]byte, error) {
	if offset >= had {
		return nil, nil
	}
	have := c.to[:length]
	n, err := to.ReadAt(have, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	clear(have[n:])
	return have, nil
}

// writeDifferent writes the blocks of data that differ from have, adjacent ones together. In new data only larger runs
// of zeros stay holes: small holes would cost more metadata than they save.
func writeDifferent(to *os.File, offset int64, data, have []byte) (written int64, err error) {
	block := holeBlock
	if have == nil {
		block = holeUnit
	}
	same := func(i int) bool {
		part := data[i:min(i+block, len(data))]
		if have == nil {
			return isZero(part)
		}
		return bytes.Equal(part, have[i:i+len(part)])
	}
	for i := 0; i < len(data); {
		if same(i) {
			i += block
			continue
		}
		start := i
		for i < len(data) && !same(i) {
			i += block
		}
		part := data[start:min(i, len(data))]
		if _, err := to.WriteAt(part, offset+int64(start)); err != nil {
			return written, err
		}
		written += int64(len(part))
	}
	return written, nil
}

// CopyData gives to, an empty file, the size of from, whose stat is st, and its data; the rest stays a hole. It returns
// how much it wrote.
func CopyData(ctx context.Context, to, from *os.File, st *unix.Stat_t, step Step) (written int64, err error) {
	c := &sparseCopier{step: step, from: make([]byte, sparseUnit), to: make([]byte, sparseUnit)}
	return c.fill(ctx, to, from, "", st)
}
