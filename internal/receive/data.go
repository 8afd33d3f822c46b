package receive

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/sendstream"
	"golang.org/x/sys/unix"
)

// regular opens the file at path to change its data.
func (w *work) regular(path, op string) (*node, error) {
	n, err := w.open(path)
	if err == nil && n.kind != unix.S_IFREG {
		err = asFile(n, op)
	}
	return n, err
}

func (w *work) write(path string, offset uint64, data []byte) error {
	n, err := w.regular(path, "write")
	if err != nil {
		return err
	}
	if offset > math.MaxInt64-uint64(len(data)) {
		return n.fail("write", fmt.Errorf("%w: %d bytes at %d", ErrStream, len(data), offset))
	}
	if _, err = n.file.WriteAt(data, int64(offset)); err == nil {
		n.wrote(len(data), enough)
	}
	return err
}

// Data of one file that waits in memory: so much is written to the disk at once, which also limits the length of an
// extent, and so little is left to the sync.
const (
	enough = 16 << 20
	few    = 1 << 20
)

// wrote has the kernel begin to write to the disk while the next data is on its way: the sync at the end has to wait
// for all that is left, and reports the errors of both.
func (n *node) wrote(bytes, least int) {
	if n.dirty += bytes; n.dirty >= least {
		n.dirty = 0
		_ = unix.SyncFileRange(int(n.file.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
	}
}

func (w *work) truncate(path string, size uint64) error {
	n, err := w.regular(path, "truncate")
	if err != nil {
		return err
	}
	if size > math.MaxInt64 {
		return n.fail("truncate", fmt.Errorf("%w: to %d bytes", ErrStream, size))
	}
	return n.file.Truncate(int64(size))
}

func (w *work) fallocate(c sendstream.Fallocate) error {
	n, err := w.regular(c.Path, "fallocate")
	if err != nil {
		return err
	}
	if c.Offset > math.MaxInt64 || c.Len > math.MaxInt64-c.Offset {
		return n.fail("fallocate", fmt.Errorf("%w: %d bytes at %d", ErrStream, c.Len, c.Offset))
	}
	return n.fail("fallocate", at.Retry(func() error {
		return unix.Fallocate(int(n.file.Fd()), c.Mode, int64(c.Offset), int64(c.Len))
	}))
}

// enableVerity needs a file that nobody has open for writing.
func (w *work) enableVerity(c sendstream.EnableVerity) error {
	if err := w.release(); err != nil {
		return err
	}
	file, err := openReading(w.root, c.Path)
	if err != nil {
		return err
	}
	err = btrfs.EnableVerity(file, btrfs.Verity{
		HashAlgorithm: uint32(c.Algorithm), BlockSize: c.BlockSize, Salt: c.Salt, Signature: c.Signature,
	})
	return errors.Join(err, file.Close())
}

// openReading opens a regular file below root, and nothing else.
func openReading(root *os.File, path string) (*os.File, error) {
	if path == "" {
		return nil, fmt.Errorf("%w: the root of a subvolume is not a regular file", ErrStream)
	}
	file, err := at.OpenBelow(root, path, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	n := &node{path: path, file: file}
	st, err := at.StatFile(file)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = asFile(n, "open")
	}
	if err == nil {
		err = n.reopen(unix.O_RDONLY)
	}
	if err != nil {
		return nil, errors.Join(err, n.file.Close())
	}
	return n.file, nil
}

// clone shares a range with an existing file, or copies it where that is not possible.
func (w *work) clone(c sendstream.Clone) (err error) {
	n, err := w.regular(c.Path, "clone")
	if err != nil {
		return err
	}
	const most = math.MaxInt64
	if c.Offset > most || c.FromOffset > most || c.Len > most-max(c.Offset, c.FromOffset) || c.Len == 0 {
		return n.fail("clone", fmt.Errorf("%w: %d bytes from %d to %d", ErrStream, c.Len, c.FromOffset, c.Offset))
	}
	from, mine, err := w.cloneSource(n, c)
	if err != nil {
		return err
	}
	if mine && c.Offset < c.FromOffset+c.Len && c.FromOffset < c.Offset+c.Len {
		return n.fail("clone", fmt.Errorf("%w: onto itself", ErrStream))
	}
	if !mine {
		defer func() { err = errors.Join(err, from.Close()) }()
	}
	err = btrfs.CloneRange(n.file, from, c.Offset, c.FromOffset, c.Len)
	if err == nil || !cannotShare(err) {
		return err
	}
	// A range with an unaligned end can be cloned only to the end of the file, and a file without checksums cannot
	// share blocks with one that has them.
	if aligned := c.Len &^ (cloneBlock - 1); aligned > 0 && aligned != c.Len {
		if err := btrfs.CloneRange(n.file, from, c.Offset, c.FromOffset, aligned); err == nil {
			c.Offset, c.FromOffset, c.Len = c.Offset+aligned, c.FromOffset+aligned, c.Len-aligned
		}
	}
	return copyRange(n.file, from, c)
}

// cloneBlock is a multiple of every block size of btrfs.
const cloneBlock = 64 << 10

func cannotShare(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EXDEV)
}

// copyRange keeps holes, so that a stream cannot make us write more than it contains.
func copyRange(to, from *os.File, c sendstream.Clone) error {
	size, err := from.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if uint64(size) < c.FromOffset+c.Len {
		return &os.PathError{Op: "clone", Path: from.Name(), Err: fmt.Errorf("%w: it ends %d bytes too early", ErrStream, c.FromOffset+c.Len-uint64(size))}
	}
	shift, end := int64(c.Offset)-int64(c.FromOffset), int64(c.FromOffset+c.Len)
	for at := int64(c.FromOffset); at < end; {
		data, err := nextData(from, at, end)
		if err == nil {
			err = makeHole(to, at+shift, data-at)
		}
		if err != nil || data == end {
			return errors.Join(err, growTo(to, end+shift))
		}
		hole, err := from.Seek(data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		at = min(hole, end)
		if _, err := io.Copy(io.NewOffsetWriter(to, data+shift), io.NewSectionReader(from, data, at-data)); err != nil {
			return err
		}
	}
	return nil
}

// nextData is where the next data begins; end if there is none.
func nextData(f *os.File, at, end int64) (int64, error) {
	data, err := f.Seek(at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return end, nil
	}
	return min(data, end), err
}

func makeHole(f *os.File, at, n int64) error {
	if n == 0 {
		return nil
	}
	const flags = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	if err := unix.Fallocate(int(f.Fd()), flags, at, n); err != nil {
		return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
	}
	return nil
}

func growTo(f *os.File, size int64) error {
	st, err := at.StatFile(f)
	if err == nil && st.Size < size {
		err = f.Truncate(size)
	}
	return err
}

// cloneSource opens the file to clone from. mine reports that it is in the subvolume being made, which is already open.
func (w *work) cloneSource(n *node, c sendstream.Clone) (from *os.File, mine bool, err error) {
	root := w.root
	if uuid := btrfs.UUID(c.FromUUID); uuid != w.sources.own {
		source, err := w.sources.find(uuid, c.FromCTransID)
		if err != nil {
			return nil, false, err
		}
		root = source.root
	} else if c.From == n.path {
		return n.file, true, nil
	}
	from, err = openReading(root, c.From)
	return from, false, err
}
