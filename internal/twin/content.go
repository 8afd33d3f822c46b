package twin

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// xattrs is a hash of all extended attributes, or nil if there are none.
func xattrs(f *os.File) ([]byte, error) {
	text, hidden, err := at.AllXattrs(f)
	if err = errors.Join(err, hidden); err != nil || text == "" {
		return nil, err
	}
	sum := sha256.Sum256([]byte(text))
	return sum[:], nil
}

// fromDisk opens a regular file and drops it from the page cache, so that it is read from the disk.
func (t *Tree) fromDisk(path string) (*os.File, error) {
	f, info, err := t.open(path)
	if err != nil {
		return nil, err
	}
	if !info.IsFile() {
		return nil, errors.Join(at.Error("read", f, "", at.ErrNotRegular), f.Close())
	}
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // advice only
	return f, nil
}

// Hash reads a file and returns the SHA-256 of its content, and its length.
func (t *Tree) Hash(ctx context.Context, path string) (sum []byte, n int64, err error) {
	f, err := t.fromDisk(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	h, buf := sha256.New(), make([]byte, 256<<10)
	for {
		if ctx.Err() != nil {
			return nil, n, context.Cause(ctx)
		}
		got, err := f.Read(buf)
		h.Write(buf[:got])
		n += int64(got)
		if errors.Is(err, io.EOF) {
			return h.Sum(nil), n, nil
		}
		if err != nil {
			return nil, n, err
		}
	}
}

// sameContent reads both files.
func sameContent(ctx context.Context, a, b *Tree, path string) (bool, error) {
	one, err := a.fromDisk(path)
	if err != nil {
		return false, err
	}
	defer one.Close()
	two, err := b.fromDisk(path)
	if err != nil {
		return false, err
	}
	defer two.Close()
	return at.SameBytes(ctx, one, two)
}
