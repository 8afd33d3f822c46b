// Sparse: files with holes at a local source, copied before rsync runs.
//
// rsync reads holes as zeros, and with --inplace (holes.go says why it is used) it also writes the zeros: a file of 3
// GiB without data needs 3 GiB of space, and minutes. Here only data is read, and only differences are written. rsync
// then finds the file with the size and time of the source, and only sets the rest of its metadata.

package pending

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
)

const (
	// sparseUnit is how much is read at once, on both sides.
	sparseUnit = 1 << 20
	// settled is how long ago a file must have been changed so that a later change gets another time: a clock tick of
	// the kernel is at most 10 ms.
	settled = 25 * time.Millisecond
)

// A Step is called after n bytes were written. It may wait, and its error ends the copy.
type Step func(n int64) error

// SparseCopied is what CopySparse did.
type SparseCopied struct {
	Files, Created int64
	Size, Written  int64 // bytes: the sizes of the files, and how much was written
}

// errUnread: a source file is shorter than its size says.
var errUnread = errors.New("not read to the end")

// sparseCopier copies files from one tree into the other.
type sparseCopier struct {
	source, pending *os.File
	step            Step
	copied          SparseCopied
	from, to        []byte
	links           map[[2]uint64]linkedCopy // by device and inode of a source file with several names
}

// linkedCopy is the copy of one name of a file; others share its blocks.
type linkedCopy struct {
	path string
	stat unix.Stat_t // of the source
}

// mayBeSparse reports whether a file uses so much less space than its size that its holes are worth keeping.
func mayBeSparse(st *unix.Stat_t) bool {
	holes := st.Size - st.Blocks*512
	return st.Mode&unix.S_IFMT == unix.S_IFREG && holes >= holeBlock && (holes >= holeUnit || holes*holeShare >= st.Size)
}

// lacks reports whether pending has no file of that size and time at path, so that rsync would write it.
func lacks(pending *os.File, path string, st *unix.Stat_t) bool {
	dir, err := at.OpenBeneath(pending, filepath.Dir(path))
	if err != nil {
		return true
	}
	defer dir.Close()
	have, err := at.Stat(dir, filepath.Base(path))
	return err != nil || have.Mode&unix.S_IFMT != unix.S_IFREG || have.Size != st.Size || have.Mtim != st.Mtim
}

// CopySparse updates the content of files below pending from those of the same path below source. A file that it cannot
// finish gets another time than at the source, so that rsync copies it and reports what is wrong. This includes a full
// pending, which CopySparse does not report. An error is about pending, or that of ctx.
func CopySparse(ctx context.Context, source, pending *os.File, paths []string, step Step) (SparseCopied, error) {
	c := &sparseCopier{source: source, pending: pending, step: step, from: make([]byte, sparseUnit), to: make([]byte, sparseUnit), links: map[[2]uint64]linkedCopy{}}
	for _, path := range paths {
		if err := c.copy(ctx, path); fail.IsFull(err) {
			return c.copied, nil
		} else if err != nil {
			return c.copied, err
		}
	}
	return c.copied, nil
}

func (c *sparseCopier) copy(ctx context.Context, path string) error {
	from, st, err := openSparse(c.source, path)
	if from == nil || err != nil {
		return nil // rsync reports why
	}
	defer from.Close()
	dir, err := makeDirs(c.pending, filepath.Dir(path))
	if dir == nil || err != nil {
		return err
	}
	defer dir.Close()
	to, created, err := openSparseCopy(dir, filepath.Base(path))
	if to == nil || err != nil {
		return err
	}
	defer to.Close()
	written, err := c.fill(ctx, to, from, path, &st)
	c.copied.Written += written
	if errors.Is(err, errUnread) {
		return nil
	}
	if err != nil {
		return err
	}
	now, err := at.StatFile(from)
	if err != nil || now.Size != st.Size || now.Mtim != st.Mtim || at.CheckTimes(int(from.Fd())) != nil {
		return nil // it is being changed: rsync compares it
	}
	if err := restoreTimes(to, &st); err != nil {
		return err
	}
	c.copied.Files, c.copied.Size = c.copied.Files+1, c.copied.Size+st.Size
	if created {
		c.copied.Created++
	}
	if st.Nlink > 1 && sharesInodes(from) {
		c.links[[2]uint64{uint64(st.Dev), st.Ino}] = linkedCopy{path, st}
	}
	return nil
}

// sharesInodes reports filesystems on which an equal inode number certainly means the same file.
func sharesInodes(f *os.File) bool {
	var st unix.Statfs_t
	return at.Retry(func() error { return unix.Fstatfs(int(f.Fd()), &st) }) == nil &&
		mounts.TrueInodes(int64(uint32(st.Type)))
}

// openSparse opens a source file whose time shows later changes; nil if it has no holes.
func openSparse(root *os.File, path string) (*os.File, unix.Stat_t, error) {
	var st unix.Stat_t
	dir, err := at.OpenBeneath(root, filepath.Dir(path))
	if err != nil {
		return nil, st, err
	}
	defer dir.Close()
	name := filepath.Base(path)
	f, err := at.Open(dir, name, unix.O_RDONLY|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) {
		f, err = at.Open(dir, name, unix.O_RDONLY, 0)
	}
	if err != nil {
		return nil, st, err
	}
	st, err = at.StatFile(f)
	if age := time.Since(time.Unix(st.Mtim.Unix())); err == nil && age >= 0 && age < settled {
		time.Sleep(settled)
		st, err = at.StatFile(f)
	}
	if err == nil && (mayBeSparse(&st) || unwritten(int(f.Fd()), &st) > 0) {
		hole, seekErr := unix.Seek(int(f.Fd()), 0, unix.SEEK_HOLE)
		if seekErr == nil && hole < st.Size {
			return f, st, nil
		}
	}
	return nil, st, errors.Join(err, f.Close())
}

// makeDirs opens a directory below root and creates missing parents; rsync sets their metadata. It is nil if another
// entry is in the way.
func makeDirs(root *os.File, path string) (*os.File, error) {
	dir, err := at.OpenDir(root, ".")
	if err != nil || path == "." {
		return dir, err
	}
	for name := range strings.SplitSeq(path, "/") {
		next, err := at.OpenOwn(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
		if errors.Is(err, fs.ErrNotExist) {
			if err = at.Mkdir(dir, name, 0o700); err == nil {
				next, err = at.OpenDir(dir, name)
			}
		}
		if closeErr := dir.Close(); err == nil {
			err = closeErr
		}
		if at.IsNoDir(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		dir = next
	}
	return dir, nil
}

// openSparseCopy is nil if name is not a regular file with one name.
func openSparseCopy(dir *os.File, name string) (f *os.File, created bool, err error) {
	st, err := at.Stat(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		const flags = unix.O_RDWR | unix.O_CREAT | unix.O_EXCL
		f, err = at.Open(dir, name, flags, 0o600)
		return f, true, err
	}
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink > 1 {
		return nil, false, err
	}
	f, err = at.OpenOwn(dir, name, unix.O_RDWR)
	return f, false, err
}

// fill copies the content of from into to and returns how much it wrote. It does not set the time.
func (c *sparseCopier) fill(ctx context.Context, to, from *os.File, path string, st *unix.Stat_t) (written int64, err error) {
	if twin, ok := c.links[[2]uint64{uint64(st.Dev), st.Ino}]; ok && twin.stat.Size == st.Size && twin.stat.Mtim == st.Mtim {
		return 0, c.share(to, twin.path)
	}
	was, err := at.StatFile(to)
	if err != nil {
		return 0, err
	}
	if err := at.Retry(func() error { return unix.Ftruncate(int(to.Fd()), st.Size) }); err != nil {
		return 0, &fs.PathError{Op: "truncate", Path: to.Name(), Err: err}
	}
	for offset := int64(0); offset < st.Size; {
		if ctx.Err() != nil {
			return written, context.Cause(ctx)
		}
		data, hole := nextData(from, offset, st.Size)
		if err := punchData(to, offset, min(data, was.Size)); err != nil {
			return written, err
		}
		n, err := c.update(ctx, to, from, data, hole, was.Size)
		if written += n; err != nil {
			return written, err
		}
		offset = hole
	}
	return written, nil
}

// share makes to a reflink copy of path in pending.
func (c *sparseCopier) share(to *os.File, path string) error {
	dir, err := at.OpenBeneath(c.pending, filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	twin, err := at.OpenOwn(dir, filepath.Base(path), unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer twin.Close()
	if err := at.Retry(func() error { return unix.Ftruncate(int(to.Fd()), 0) }); err != nil {
		return &fs.PathError{Op: "truncate", Path: to.Name(), Err: err}
	}
	return btrfs.CloneFile(to, twin)
}
