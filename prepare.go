// Preparing pending for a transfer: splitting hard links, removing stubs.
//
// rsync -H --inplace writes wrong bytes, and exits 0, when two names that were
// one file in the last backup are separate files at the source now: both
// updates go into the one inode (rsync issue 537, still so in 3.5.0). So every
// file with more than one name is given an inode of its own first, by a
// reflink copy renamed over the name; rsync links again what is still linked.

package rsbtbackup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

// splitWalkers is the number of directories read at a time. The walk is bound
// by the kernel reading inodes, which rsync then finds in the cache.
const splitWalkers = 4

const (
	// stubInode is the inode number of the empty directory a snapshot shows
	// where a subvolume was nested (BTRFS_EMPTY_SUBVOL_DIR_OBJECTID).
	stubInode = 2
	// xattrMax is the largest value an attribute can have (XATTR_SIZE_MAX).
	xattrMax = 64 << 10
)

// readBatch bounds the memory for one directory however large it is.
const readBatch = 512

type splitter struct {
	ctx   context.Context
	split bool          // else only stubs are removed
	token chan struct{} // one for each further walker
	group sync.WaitGroup
	count atomic.Int64

	mu  sync.Mutex
	err error
}

// prepareTree walks the tree below root, which nobody else changes: stubs are
// removed and, with split set, hard links split. It returns how many names got
// an inode of their own.
func prepareTree(ctx context.Context, root *os.File, split bool) (int64, error) {
	s := &splitter{ctx: ctx, split: split, token: make(chan struct{}, splitWalkers-1)}
	dir, err := openDirAt(root, ".")
	if err != nil {
		return 0, err
	}
	s.walk(dir)
	s.group.Wait()
	return s.count.Load(), s.err
}

func (s *splitter) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

func (s *splitter) stopped() bool {
	if s.ctx.Err() != nil {
		s.fail(context.Cause(s.ctx))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil
}

// walk reads dir, closes it, and hands subdirectories to idle walkers or
// walks them itself.
func (s *splitter) walk(dir *os.File) {
	defer dir.Close()
	for !s.stopped() {
		entries, err := dir.ReadDir(readBatch)
		for _, e := range entries {
			if err := s.visit(dir, e); err != nil {
				s.fail(err)
				return
			}
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			s.fail(err)
			return
		}
	}
}

func (s *splitter) visit(dir *os.File, e os.DirEntry) error {
	switch {
	case e.IsDir():
		return s.descend(dir, e.Name())
	case s.split && e.Type().IsRegular():
		st, err := statAt(dir, e.Name())
		if err != nil || st.Nlink < 2 {
			return err
		}
		return s.splitFile(dir, e.Name())
	}
	return nil
}

// descend enters a directory. Where the base had a subvolume nested in it, its
// snapshot has a stub nobody can write into; it is removed, so that rsync can
// make a directory of that name.
func (s *splitter) descend(dir *os.File, name string) error {
	sub, err := openOwn(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(sub.Fd()), &st); err != nil {
		return errors.Join(&os.PathError{Op: "stat", Path: sub.Name(), Err: err}, sub.Close())
	}
	if st.Ino == stubInode {
		return errors.Join(unlinkAt(dir, name, unix.AT_REMOVEDIR), sub.Close())
	}
	select {
	case s.token <- struct{}{}:
		s.group.Go(func() {
			s.walk(sub)
			<-s.token
		})
	default:
		s.walk(sub)
	}
	return nil
}

// splitFile replaces name by a reflink copy of itself.
func (s *splitter) splitFile(dir *os.File, name string) (err error) {
	old, err := openOwn(dir, name, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer old.Close()
	temp := ".rsbtbackup-" + rand.Text()
	copied, err := createOwn(dir, temp)
	if err != nil {
		return err
	}
	err = cloneWithMetadata(dir, temp, copied, old)
	err = errors.Join(err, copied.Close())
	if err == nil {
		err = renameAt(dir, temp, name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("split hard link: %w", err), ignoreNotExist(unlinkAt(dir, temp, 0)))
	}
	s.count.Add(1)
	return nil
}

// openOwn opens name; an ordinary user's backup has files and directories
// whose copied mode keeps out even their owner, so that mode is widened for
// the owner. rsync, which does the same, puts it right in the transfer.
func openOwn(dir *os.File, name string, flags int) (*os.File, error) {
	f, err := openAt(dir, name, flags, 0)
	if !errors.Is(err, unix.EACCES) {
		return f, err
	}
	if err := unix.Fchmodat(int(dir.Fd()), name, 0o700, 0); err != nil {
		return nil, atError("chmod", dir, name, err)
	}
	return openAt(dir, name, flags, 0)
}

func createOwn(dir *os.File, name string) (*os.File, error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL
	f, err := openAt(dir, name, flags, 0o600)
	if !errors.Is(err, unix.EACCES) {
		return f, err
	}
	if err := unix.Fchmod(int(dir.Fd()), 0o700); err != nil {
		return nil, atError("chmod", dir, "", err)
	}
	return openAt(dir, name, flags, 0o600)
}

// cloneWithMetadata makes dst, which is temp in dir, what src is, times
// included, so that rsync finds nothing to do but the link. Owner before mode
// and attributes: chown clears set-id bits and capabilities.
func cloneWithMetadata(dir *os.File, temp string, dst, src *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: src.Name(), Err: err}
	}
	if err := btrfs.CloneFile(dst, src); err != nil {
		return err
	}
	if err := unix.Fchown(int(dst.Fd()), int(st.Uid), int(st.Gid)); err != nil {
		return &os.PathError{Op: "chown", Path: dst.Name(), Err: err}
	}
	if err := copyXattrs(dst, src); err != nil {
		return err
	}
	if err := unix.Fchmod(int(dst.Fd()), st.Mode&0o7777); err != nil {
		return &os.PathError{Op: "chmod", Path: dst.Name(), Err: err}
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	err := unix.UtimesNanoAt(int(dir.Fd()), temp, times, unix.AT_SYMLINK_NOFOLLOW)
	return atError("utimens", dir, temp, err)
}

// copyXattrs copies every attribute the caller may see; ACLs and capabilities
// are attributes too.
func copyXattrs(dst, src *os.File) error {
	names, err := listXattrs(src)
	if err != nil {
		return err
	}
	value := make([]byte, xattrMax)
	for _, name := range names {
		n, err := unix.Fgetxattr(int(src.Fd()), name, value)
		if err != nil {
			return &os.PathError{Op: "getxattr " + name, Path: src.Name(), Err: err}
		}
		if err := unix.Fsetxattr(int(dst.Fd()), name, value[:n], 0); err != nil {
			return &os.PathError{Op: "setxattr " + name, Path: dst.Name(), Err: err}
		}
	}
	return nil
}

func listXattrs(f *os.File) ([]string, error) {
	size, err := unix.Flistxattr(int(f.Fd()), nil)
	if err != nil {
		return nil, &os.PathError{Op: "listxattr", Path: f.Name(), Err: err}
	}
	if size == 0 {
		return nil, nil
	}
	list := make([]byte, size)
	if size, err = unix.Flistxattr(int(f.Fd()), list); err != nil {
		return nil, &os.PathError{Op: "listxattr", Path: f.Name(), Err: err}
	}
	return strings.FieldsFunc(string(list[:size]), func(r rune) bool { return r == 0 }), nil
}
