// Oddities: wrong information about files on filesystems implemented implemented by another program (FUSE, 9p, network,
// overlay).

package source

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
)

// maxEmpty limits how many files of size 0 are remembered.
const maxEmpty = 10_000

// Oddities collects oddities while a source is walked, from several goroutines. The zero value is ready to use.
type Oddities struct {
	mu    sync.Mutex
	trust map[uint64]trust // by device
	links map[numbered][]string
	more  map[numbered]uint64 // the link count of such a file
	empty []string
}

// numbered identifies a file, where inode numbers are reliable.
type numbered struct{ dev, ino uint64 }

// trust says how far the information of a filesystem is reliable.
type trust int

const (
	trusted trust = iota
	shown         // implemented by another program
	pseudo        // sizes are always 0
)

// Look adds one file in the open directory dir; path is relative to the source.
func (o *Oddities) Look(dir int, path string, st *unix.Stat_t) {
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink < 2 && st.Size > 0 {
		return
	}
	kind := o.kind(dir, uint64(st.Dev))
	if kind == trusted {
		return
	}
	odd := st.Size == 0 && (kind == pseudo || hasContent(dir, filepath.Base(path)))
	o.mu.Lock()
	defer o.mu.Unlock()
	if odd && len(o.empty) < maxEmpty {
		o.empty = append(o.empty, path)
	}
	if st.Nlink > 1 {
		if o.links == nil {
			o.links, o.more = map[numbered][]string{}, map[numbered]uint64{}
		}
		id := numbered{uint64(st.Dev), st.Ino}
		o.links[id] = append(o.links[id], path)
		o.more[id] = max(o.more[id], uint64(st.Nlink))
	}
}

func (o *Oddities) kind(dir int, dev uint64) trust {
	o.mu.Lock()
	defer o.mu.Unlock()
	kind, known := o.trust[dev]
	if known {
		return kind
	}
	if o.trust == nil {
		o.trust = map[uint64]trust{}
	}
	var fs unix.Statfs_t
	if at.Retry(func() error { return unix.Fstatfs(dir, &fs) }) == nil {
		kind = trustOf(int64(uint32(fs.Type)))
		o.trust[dev] = kind
	}
	return kind
}

func trustOf(fsType int64) trust {
	switch fsType {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEBUGFS_MAGIC,
		unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC:
		return pseudo
	case unix.FUSE_SUPER_MAGIC, unix.V9FS_MAGIC, unix.NFS_SUPER_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.CEPH_SUPER_MAGIC:
		return shown
	}
	return trusted // implemented by the kernel
}

// hasContent tries to read a byte of a file of size 0.
func hasContent(dir int, name string) bool {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd) //nolint:errcheck // it was only read
	n, _ := unix.Read(fd, make([]byte, 1))
	return n > 0
}

// Empty returns the files of size 0 that have content: rsync copies none of it.
func (o *Oddities) Empty() []string {
	slices.Sort(o.empty)
	return o.empty
}

// Apart returns the sorted names that share an inode number but are not one file: there are more names than the link
// count, or size, time, time of birth or content differ. Names that are one inode for the kernel are not read.
func (o *Oddities) Apart(ctx context.Context, root *os.File) ([]string, error) {
	var apart []string
	for id, paths := range o.links {
		if len(paths) < 2 {
			continue
		}
		same, err := allSame(ctx, root, paths, o.more[id])
		if err != nil {
			return nil, err
		}
		if !same {
			apart = append(apart, paths...)
		}
	}
	slices.Sort(apart)
	return apart, nil
}

func allSame(ctx context.Context, root *os.File, paths []string, links uint64) (bool, error) {
	first, err := openNamed(root, paths[0])
	if err != nil {
		return true, nil // gone meanwhile, or rsync reports it
	}
	defer first.close()
	oneFile := true
	for _, path := range paths[1:] {
		same, node, err := first.sameAs(ctx, root, path)
		if err != nil || !same {
			return same, err
		}
		oneFile = oneFile && node
	}
	return oneFile || uint64(len(paths)) <= links, nil
}

// named is an open file with what identifies it.
type named struct {
	file   *os.File
	stat   unix.Statx_t
	handle []byte // empty if the filesystem has none
}

func openNamed(root *os.File, path string) (named, error) {
	dir, err := at.OpenBeneath(root, filepath.Dir(path))
	if err != nil {
		return named{}, err
	}
	defer dir.Close()
	f, err := at.Open(dir, filepath.Base(path), unix.O_RDONLY, 0)
	if err != nil {
		return named{}, err
	}
	n := named{file: f}
	err = at.Retry(func() error {
		return unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_STATX_FORCE_SYNC, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &n.stat)
	})
	if err != nil {
		return named{}, errors.Join(err, f.Close())
	}
	if h, _, err := unix.NameToHandleAt(int(f.Fd()), "", unix.AT_EMPTY_PATH); err == nil {
		n.handle = h.Bytes()
	}
	return n, nil
}

func (n named) close() { _ = n.file.Close() } // it was only read

// sameAs compares with another name. node reports that the kernel has one inode for both.
func (n named) sameAs(ctx context.Context, root *os.File, path string) (same, node bool, err error) {
	other, err := openNamed(root, path)
	if err != nil {
		return true, true, nil // as above
	}
	defer other.close()
	if len(n.handle) > 0 && bytes.Equal(n.handle, other.handle) {
		return true, true, nil
	}
	a, b := n.stat, other.stat
	if a.Size != b.Size || a.Mtime != b.Mtime || a.Mask&b.Mask&unix.STATX_BTIME != 0 && a.Btime != b.Btime {
		return false, false, nil
	}
	same, err = sameContent(ctx, n.file, other.file)
	return same, false, err
}

func sameContent(ctx context.Context, a, b *os.File) (bool, error) {
	bufA, bufB := make([]byte, 256<<10), make([]byte, 256<<10)
	for offset := int64(0); ; {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		n, errA := a.ReadAt(bufA, offset)
		m, errB := b.ReadAt(bufB, offset)
		if n != m || !bytes.Equal(bufA[:n], bufB[:m]) {
			return false, nil
		}
		if errA != nil || errB != nil {
			return errors.Is(errA, io.EOF) && errors.Is(errB, io.EOF), nil
		}
		offset += int64(n)
	}
}

// ShownByOthers reports whether the source, or a mount below it, is a filesystem whose information about files may be
// wrong: then each run looks at all files.
func (s *Source) ShownByOthers() bool {
	return s.Identity != nil && trustOf(s.Identity.FSType) == shown ||
		slices.ContainsFunc(s.Mounts, func(m facts.SourceMount) bool { return trustOf(m.FSType) == shown || mounts.IsShown(m) })
}
