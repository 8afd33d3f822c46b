package scan

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// reader reads directories below a root. It is for one goroutine.
type reader struct {
	root    *os.File
	options Options
	rootDev uint64
	boot    string
	known   []filesystem // those seen by this reader
	buf     []byte
	names   []string
	last    unix.Statx_t // of what was looked at last
}

const (
	statMask  = unix.STATX_BASIC_STATS | unix.STATX_BTIME
	statFlags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
)

func newReader(root *os.File, o Options, rootDev uint64) *reader {
	return &reader{root: root, options: o, rootDev: rootDev, boot: bootID(), buf: make([]byte, 64<<10)}
}

// read reads the directory at path. seen is what its parent's reading knew of it: one that is another by now counts as
// unread. Whatever else cannot be read is an error.
func (r *reader) read(path string, seen Entry) (Dir, error) {
	fd, err := openBeneath(r.root, path, unix.O_RDONLY)
	if err != nil {
		if isGone(err) {
			return Dir{Path: path, Unread: true}, nil
		}
		return Dir{}, pathError("open", r.shown(path), err)
	}
	d, err := r.readOpen(fd, path, seen)
	if closed := unix.Close(fd); err == nil {
		err = pathError("close", r.shown(path), closed)
	}
	if err == nil && r.options.SeeDir != nil && !d.Unread {
		r.options.SeeDir(path)
	}
	return d, err
}

func (r *reader) shown(path string) string { return filepath.Join(r.root.Name(), path) }

func (r *reader) readOpen(fd int, path string, seen Entry) (Dir, error) {
	self, device, err := r.stat(fd, "", unix.AT_EMPTY_PATH)
	if err != nil {
		return Dir{}, pathError("stat", r.shown(path), err)
	}
	fs, err := r.filesystem(fd, path, device)
	if err != nil {
		return Dir{}, pathError("statfs", r.shown(path), err)
	}
	if self.Inode != seen.Inode || self.Birth != seen.Birth || fs.identity != seen.FS {
		return Dir{Path: path, Unread: true}, nil
	}
	if err := r.readNames(fd); err != nil {
		return Dir{}, pathError("read directory", r.shown(path), err)
	}
	d := Dir{Path: path, Entries: make([]Entry, 0, len(r.names))}
	for _, name := range r.names {
		e, keep, err := r.entry(fd, fs, path, name)
		if err != nil {
			return Dir{}, pathError("stat", r.shown(join(path, name)), err)
		}
		if keep {
			d.Entries = append(d.Entries, e)
		}
	}
	return d, nil
}

// readNames leaves the names of a directory in r.names, sorted.
func (r *reader) readNames(fd int) error {
	r.names = r.names[:0]
	for {
		var n int
		err := at.Retry(func() (err error) { n, err = unix.Getdents(fd, r.buf); return err })
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		r.names = appendNames(r.names, r.buf[:n])
	}
	slices.Sort(r.names)
	r.names = slices.Compact(r.names) // a directory that is being changed may give a name twice
	return nil
}

// appendNames takes the names out of an array of struct linux_dirent64.
func appendNames(names []string, buf []byte) []string {
	const lengthAt, nameAt = 16, 19
	for len(buf) > nameAt {
		length := int(binary.NativeEndian.Uint16(buf[lengthAt:]))
		if length <= nameAt || length > len(buf) {
			break
		}
		name := buf[nameAt:length]
		for i, b := range name {
			if b == 0 {
				name = name[:i]
				break
			}
		}
		if s := string(name); s != "." && s != ".." {
			names = append(names, s)
		}
		buf = buf[length:]
	}
	return names
}

// entry is false for what has vanished, and for what is to be left alone.
func (r *reader) entry(fd int, fs filesystem, dir, name string) (Entry, bool, error) {
	if r.options.leavesOut(dir, name) {
		return Entry{}, false, nil
	}
	e, device, err := r.stat(fd, name, 0)
	if err == unix.ENOENT {
		return e, false, nil // so the directory has changed, and with it its ctime
	}
	if err != nil {
		return e, false, err
	}
	e.Closed = e.isDir() && r.options.OneFileSystem && device != r.rootDev
	if device != fs.device && !e.Closed {
		if fs, err = r.filesystemOf(fd, join(dir, name), e, device); isGone(err) {
			return e, false, nil
		}
		if err != nil {
			return e, false, err
		}
	}
	if r.options.See != nil && !e.isOpen() {
		r.options.See(fd, join(dir, name), &r.last)
	}
	e.FS = fs.identity // of what is not entered, that of the directory it is in
	if e.isSymlink() {
		e.Target, err = hashLink(fd, name)
		if err == unix.ENOENT || err == unix.EINVAL {
			return e, false, nil // another one now
		}
	}
	return e, true, err
}

func (r *reader) stat(fd int, name string, flags int) (Entry, uint64, error) {
	st := &r.last
	err := at.Retry(func() error { return unix.Statx(fd, name, statFlags|flags, statMask, st) })
	if err != nil {
		return Entry{}, 0, err
	}
	return newEntry(name, st), unix.Mkdev(st.Dev_major, st.Dev_minor), nil
}

func newEntry(name string, st *unix.Statx_t) Entry {
	e := Entry{
		Name: name, Inode: st.Ino, Change: newTime(st.Ctime), Modify: newTime(st.Mtime), Size: st.Size,
		Mode: uint32(st.Mode), UID: st.Uid, GID: st.Gid, Links: st.Nlink,
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		e.Birth = newTime(st.Btime)
	}
	if kind := e.kind(); kind == unix.S_IFBLK || kind == unix.S_IFCHR {
		e.Device = unix.Mkdev(st.Rdev_major, st.Rdev_minor)
	}
	return e
}

func newTime(t unix.StatxTimestamp) Time { return Time{Sec: t.Sec, Nsec: t.Nsec} }

// filesystem is that of the open directory fd.
func (r *reader) filesystem(fd int, path string, device uint64) (filesystem, error) {
	return r.identify(path, device, func() (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) })
}

// filesystemOf is that of an entry of the directory fd, which is on another one. Of a file that is mounted it is not
// known: that would have to be opened.
func (r *reader) filesystemOf(fd int, path string, e Entry, device uint64) (filesystem, error) {
	if !e.isDir() {
		return filesystem{device: device, identity: untrusted}, nil
	}
	return r.identify(path, device, func() (int, error) {
		return unix.Openat(fd, e.Name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
}

func (r *reader) identify(path string, device uint64, open func() (int, error)) (filesystem, error) {
	for _, fs := range r.known {
		if fs.device == device {
			return fs, nil
		}
	}
	var fd int
	if err := at.Retry(func() (err error) { fd, err = open(); return err }); err != nil {
		return filesystem{}, err
	}
	dir := os.NewFile(uintptr(fd), r.shown(path))
	fs, err := identify(dir, device, r.boot, r.options.Origins)
	if err == nil {
		err = r.options.Generations.meet(dir, path, fs.identity, r.options.Origins)
	}
	if err := errors.Join(err, dir.Close()); err != nil {
		return filesystem{}, err
	}
	r.known = append(r.known, fs)
	return fs, nil
}

// meet comes by the filesystem that the directory at path is on.
func (r *reader) meet(path string) error {
	fd, err := openBeneath(r.root, path, unix.O_RDONLY)
	if err != nil {
		return pathError("open", r.shown(path), err)
	}
	_, device, err := r.stat(fd, "", unix.AT_EMPTY_PATH)
	if err == nil {
		_, err = r.filesystem(fd, path, device)
	}
	return errors.Join(err, unix.Close(fd))
}

func hashLink(fd int, name string) (uint64, error) {
	buf := make([]byte, unix.PathMax)
	var n int
	err := at.Retry(func() (err error) { n, err = unix.Readlinkat(fd, name, buf); return err })
	hash := fnv.New64a()
	_, _ = hash.Write(buf[:max(0, n)]) // never fails
	return hash.Sum64(), err
}

// leavesOut reports whether the walk knows nothing of an entry, as if it were not there.
func (o Options) leavesOut(dir, name string) bool {
	return len(o.Skip) > 0 && slices.Contains(o.Skip, join(dir, name))
}
