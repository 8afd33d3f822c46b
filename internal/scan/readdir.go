package scan

import (
	"cmp"
	"errors"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

// reader reads directories below a root, for one goroutine.
type reader struct {
	root    *os.File
	options Options
	rootDev uint64
	boot    string
	known   []filesystem // those seen by this reader
	buf     []byte
	text    []byte // all names of a directory
	names   []nameAt
	order   []int           // indexes of names, by inode
	entries []catalog.Entry // of names, if they are not examined in their order
	coder   catalog.Coder
	last    unix.Statx_t // of the entry that was examined last
}

// nameAt is a name in a directory.
type nameAt struct {
	name  string
	inode uint64
	end   int // of the name in reader.text
}

const (
	// mostlyInTurn: if at most one name in so many has a lower inode than the name before it, names are examined in
	// their order.
	mostlyInTurn = 8

	statMask  = unix.STATX_BASIC_STATS | unix.STATX_BTIME
	statFlags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
)

func newReader(root *os.File, o Options, rootDev uint64) *reader {
	return &reader{root: root, options: o, rootDev: rootDev, boot: bootID(), buf: make([]byte, 64<<10)}
}

// read reads the directory at path. seen is its entry in its parent: if there is another directory now, it counts as
// unread. Everything else that cannot be read is an error.
func (r *reader) read(path string, seen catalog.Entry) (catalog.Listing, error) {
	fd, err := openBeneath(r.root, path, unix.O_RDONLY)
	if err != nil {
		if isGone(err) || r.isDenied(err) {
			return catalog.Listing{Path: path, Unread: true}, nil
		}
		return catalog.Listing{}, pathError("open", r.shown(path), err)
	}
	l, err := r.readOpen(fd, path, seen)
	if closed := unix.Close(fd); err == nil {
		err = pathError("close", r.shown(path), closed)
	}
	if err == nil && r.options.SeeDir != nil && !l.Unread {
		r.options.SeeDir(path)
	}
	return l, err
}

func (r *reader) shown(path string) string { return filepath.Join(r.root.Name(), path) }

func (r *reader) readOpen(fd int, path string, seen catalog.Entry) (catalog.Listing, error) {
	fs, is, err := r.isStill(fd, path, seen)
	if err != nil || !is {
		return catalog.Listing{Path: path, Unread: true}, err
	}
	if err := r.readNames(fd); err != nil {
		return catalog.Listing{}, pathError("read directory", r.shown(path), err)
	}
	r.coder.Begin(seen.Base())
	err = r.lookAtAll(fd, fs, path)
	l := r.coder.End(path)
	if len(r.names) > aheadEntries { // others are rarely that large
		r.text, r.names, r.order, r.entries, r.coder = nil, nil, nil, nil, catalog.Coder{}
	}
	return l, err
}

// look replaces read for a directory whose names are those of old, its state in the catalog. Only newer inodes are
// examined; the other entries are taken from old.
func (r *reader) look(old catalog.Dir, seen catalog.Entry, newer func(catalog.Entry) bool) (l catalog.Listing, looked int, err error) {
	fd, err := openBeneath(r.root, old.Path, unix.O_RDONLY)
	if isGone(err) {
		return catalog.Listing{Path: old.Path, Unread: true}, 0, nil
	}
	if err != nil {
		return l, 0, pathError("open", r.shown(old.Path), err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	fs, is, err := r.isStill(fd, old.Path, seen)
	if err != nil || !is {
		return catalog.Listing{Path: old.Path, Unread: true}, 0, err
	}
	r.coder.Begin(seen.Base())
	for _, e := range old.Entries {
		keep := true
		if newer(e) {
			looked++
			name := e.Name
			if e, keep, err = r.entry(fd, fs, old.Path, name); err != nil {
				return l, looked, pathError("stat", r.shown(catalog.Join(old.Path, name)), err)
			}
		}
		if keep {
			r.coder.Add(&e)
		}
	}
	l = r.coder.End(old.Path)
	if l.Count > aheadEntries {
		r.coder = catalog.Coder{}
	}
	return l, looked, nil
}

// isStill reports whether the open directory at path is the one that was seen.
func (r *reader) isStill(fd int, path string, seen catalog.Entry) (fs filesystem, is bool, err error) {
	self, device, err := r.stat(fd, "", unix.AT_EMPTY_PATH)
	if err != nil {
		return fs, false, pathError("stat", r.shown(path), err)
	}
	if fs, err = r.filesystem(fd, path, device); err != nil {
		return fs, false, pathError("statfs", r.shown(path), err)
	}
	return fs, self.Inode == seen.Inode && self.Birth == seen.Birth && fs.identity == seen.FS, nil
}

// lookAtAll encodes the entries of r.names. It examines them in the order of their inodes, which is that on the disk,
// unless the order of the names is almost the same.
func (r *reader) lookAtAll(fd int, fs filesystem, path string) error {
	r.order = r.order[:0]
	back := 0
	for i := range r.names {
		r.order = append(r.order, i)
		if i > 0 && r.names[i].inode < r.names[i-1].inode {
			back++
		}
	}
	inTurn := back <= len(r.names)/mostlyInTurn
	r.entries = r.entries[:0]
	if !inTurn {
		slices.SortFunc(r.order, func(a, b int) int { return cmp.Compare(r.names[a].inode, r.names[b].inode) })
		r.entries = slices.Grow(r.entries, len(r.names))[:len(r.names)]
	}
	for _, i := range r.order {
		e, keep, err := r.entry(fd, fs, path, r.names[i].name)
		switch {
		case err != nil:
			return pathError("stat", r.shown(catalog.Join(path, r.names[i].name)), err)
		case !inTurn && keep:
			r.entries[i] = e
		case !inTurn:
			r.entries[i] = catalog.Entry{}
		case keep:
			r.coder.Add(&e)
		}
	}
	for i := range r.entries {
		if e := &r.entries[i]; e.Name != "" {
			r.coder.Add(e)
		}
	}
	return nil
}

// entry returns false for an entry that has vanished, and for one that is skipped.
func (r *reader) entry(fd int, fs filesystem, dir, name string) (catalog.Entry, bool, error) {
	if r.options.leavesOut(dir, name) {
		return catalog.Entry{}, false, nil
	}
	e, device, err := r.stat(fd, name, 0)
	if err == unix.ENOENT || r.isDenied(err) {
		return e, false, nil // if it is gone, the directory has a new ctime
	}
	if err != nil {
		return e, false, err
	}
	e.Closed = e.IsDir() && r.options.OneFileSystem && device != r.rootDev
	if device != fs.device && !e.Closed {
		if fs, err = r.filesystemOf(fd, catalog.Join(dir, name), e, device); isGone(err) || r.isDenied(err) {
			return e, false, nil
		}
		if err != nil {
			return e, false, err
		}
	}
	if r.options.See != nil && !e.IsOpen() {
		r.options.See(fd, catalog.Join(dir, name), &r.last)
	}
	e.FS = fs.identity // an entry that is not entered has that of its directory
	if e.IsSymlink() {
		e.Target, err = hashLink(fd, name, r.buf[:unix.PathMax])
		if err == unix.ENOENT || err == unix.EINVAL {
			return e, false, nil // it was replaced
		}
	}
	return e, true, err
}

// isDenied reports, and notes, that something may not be read, by an ordinary user or, in a FUSE mount, by root. rsync
// reports it, too.
func (r *reader) isDenied(err error) bool {
	if r.options.denied == nil || !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) {
		return false
	}
	r.options.denied.Store(true)
	return true
}

func (r *reader) stat(fd int, name string, flags int) (catalog.Entry, uint64, error) {
	st := &r.last
	err := at.Retry(func() error { return unix.Statx(fd, name, statFlags|flags, statMask, st) })
	if err != nil {
		return catalog.Entry{}, 0, err
	}
	return newEntry(name, st), unix.Mkdev(st.Dev_major, st.Dev_minor), nil
}

func newEntry(name string, st *unix.Statx_t) catalog.Entry {
	e := catalog.Entry{
		Name: name, Inode: st.Ino, Change: newTime(st.Ctime), Modify: newTime(st.Mtime), Size: st.Size,
		Mode: uint32(st.Mode), UID: st.Uid, GID: st.Gid, Links: st.Nlink,
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		e.Birth = newTime(st.Btime)
	}
	if kind := e.Kind(); kind == unix.S_IFBLK || kind == unix.S_IFCHR {
		e.Device = unix.Mkdev(st.Rdev_major, st.Rdev_minor)
	}
	return e
}

func newTime(t unix.StatxTimestamp) catalog.Time { return catalog.Time{Sec: t.Sec, Nsec: t.Nsec} }

// filesystem is that of the open directory fd.
func (r *reader) filesystem(fd int, path string, device uint64) (filesystem, error) {
	return r.identify(path, device, func() (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) })
}

// filesystemOf is that of an entry of the directory fd that is on another filesystem. For a file that is mounted it is
// unknown, because the file would have to be opened.
func (r *reader) filesystemOf(fd int, path string, e catalog.Entry, device uint64) (filesystem, error) {
	if !e.IsDir() {
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
		r.options.nested.meet(path, fs)
		err = r.options.Generations.meet(dir, path, fs.identity, r.options.Origins)
	}
	if err := errors.Join(err, dir.Close()); err != nil {
		return filesystem{}, err
	}
	r.known = append(r.known, fs)
	return fs, nil
}

// meet reports the filesystem of the directory at path to the generations.
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

func hashLink(fd int, name string, buf []byte) (uint64, error) {
	var n int
	err := at.Retry(func() (err error) { n, err = unix.Readlinkat(fd, name, buf); return err })
	hash := fnv.New64a()
	_, _ = hash.Write(buf[:max(0, n)]) // never fails
	return hash.Sum64(), err
}

// leavesOut reports whether the walk skips an entry as if it did not exist.
func (o Options) leavesOut(dir, name string) bool {
	return len(o.Skip) > 0 && slices.Contains(o.Skip, catalog.Join(dir, name))
}
