// Reflink: filling an empty target on the filesystem of DEST with copies that
// share their blocks with the backup. It is only ever a head start for rsync:
// whatever it can not do is left out and told, and rsync then does it or says
// why not.

package rsbtbackup

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// ReflinkStats counts what was copied by sharing its blocks.
type ReflinkStats struct {
	Files       int64 `json:"files"` // regular ones, each inode once
	Directories int64 `json:"directories"`
	Symlinks    int64 `json:"symlinks"`
	Specials    int64 `json:"specials"` // devices, fifos, sockets
	HardLinks   int64 `json:"hard_links"`
	Bytes       int64 `json:"bytes"` // sizes of the files
}

func (s ReflinkStats) entries() int64 {
	return s.Files + s.Directories + s.Symlinks + s.Specials + s.HardLinks
}

// reflinkFits tells whether the target can be filled by reflink. Only root can
// set every owner, and a filter is best left to who wrote its rules.
func (r *restore) reflinkFits() bool {
	o := &r.o
	if o.NoReflink || o.DryRun || r.target.remote != nil || !r.target.empty || os.Geteuid() != 0 || len(o.Exclude) > 0 || o.Bwlimit != "" {
		return false
	}
	fits, err := shareBlocks(r.target.dir, r.view.root)
	if err != nil {
		r.log.Debug("no reflink copy", "error", err)
	}
	return fits
}

// shareBlocks tells whether both are on one btrfs, and what is made in dst
// inherits nothing (default ACLs, btrfs properties) that a copy must not have.
func shareBlocks(dst, src *os.File) (bool, error) {
	a, err := identify(dst)
	if err != nil || a.FSType != unix.BTRFS_SUPER_MAGIC {
		return false, err
	}
	b, err := identify(src)
	if err != nil || *a != *b {
		return false, err
	}
	attributes, err := listXattrs(dst)
	return len(attributes) == 0, err
}

// reflink copies the paths, or everything. whole tells that nothing is left
// for rsync. An error is one that rsync would meet as well.
func (r *restore) reflink(ctx context.Context) (whole bool, err error) {
	top, err := statFile(r.target.dir)
	if err != nil {
		return false, err
	}
	c := &cloner{
		ctx: ctx, log: r.log, target: r.target.dir, token: make(chan struct{}, walkers-1), links: map[inodeKey]*firstLink{},
		umask: readUmask(), chownAll: top.Mode&unix.S_ISGID != 0 || os.Getegid() != 0,
	}
	if r.o.Progress != nil {
		c.progress = r.reflinkProgress()
	}
	c.copy(r.view.root, r.paths)
	if n := c.stats.load(); n.entries() > 0 {
		r.report.Reflinked = &n
	}
	return !c.left.Load(), c.err
}

// readUmask asks /proc: umask(2) can only be read by changing it.
func readUmask() uint32 {
	status, err := os.ReadFile("/proc/self/status") // has it since Linux 4.7
	if err != nil {
		return 0o777
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		if text, ok := strings.CutPrefix(line, "Umask:"); ok {
			if mask, err := strconv.ParseUint(strings.TrimSpace(text), 8, 32); err == nil {
				return uint32(mask)
			}
		}
	}
	return 0o777
}

// reflinkProgress turns counts into rsync's way of telling. How much there is
// to do is known only for a whole backup, from its record.
func (r *restore) reflinkProgress() func(ReflinkStats) {
	var files, bytes int64
	if rec := r.view.snap.Record; len(r.paths) == 0 && rec != nil && rec.Stats != nil {
		files, bytes = rec.Stats.Files, rec.Stats.TotalSize
	}
	return func(n ReflinkStats) {
		done := n.entries()
		p := Progress{Bytes: n.Bytes, Transferred: n.Files, Total: max(files, done), ToCheck: max(files-done, 0), Scanning: files == 0}
		if bytes > 0 {
			p.Percent = int(min(100, n.Bytes*100/bytes))
		}
		r.o.Progress(p)
	}
}

// cloner is one copy under way.
type cloner struct {
	ctx    context.Context
	log    *slog.Logger
	target *os.File
	token  chan struct{} // one for each further goroutine
	group  sync.WaitGroup
	stats  reflinkCounters
	left   atomic.Bool // something was left out
	// umask of the process, all ones where it can not be read.
	umask uint32
	// chownAll: what is made in the target may get another group than 0, that of
	// the target (set-group-id) or ours.
	chownAll bool

	mu       sync.Mutex // of what follows
	err      error      // that ended the copy
	progress func(ReflinkStats)

	linkMu sync.Mutex // held while a file with several names is copied
	links  map[inodeKey]*firstLink
}

type reflinkCounters struct {
	files, directories, symlinks, specials, hardLinks, bytes atomic.Int64
}

func (n *reflinkCounters) load() ReflinkStats {
	return ReflinkStats{
		Files: n.files.Load(), Directories: n.directories.Load(), Symlinks: n.symlinks.Load(),
		Specials: n.specials.Load(), HardLinks: n.hardLinks.Load(), Bytes: n.bytes.Load(),
	}
}

type inodeKey struct{ dev, ino uint64 }

// firstLink is the copy of an inode of which more names will come.
type firstLink struct {
	path string // below the target
	more uint64
}

// clonedDir is a directory being copied. Its attributes are set when
// everything in it is there, since each new entry changes its time.
type clonedDir struct {
	src, dst *os.File
	up       *clonedDir // nil: the target itself
	path     string     // below the target
	keep     bool       // has attributes of its own: the target, when only paths are copied
	open     atomic.Int32
}

const reflinkProgressEvery = 256 // entries

// copy goes through what is below root, and returns when all of it is done.
func (c *cloner) copy(root *os.File, paths []string) {
	top := &clonedDir{keep: len(paths) > 0}
	top.open.Store(1)
	var err error
	if top.src, err = openDirAt(root, "."); err == nil {
		if top.dst, err = openDirAt(c.target, "."); err != nil {
			err = errors.Join(err, top.src.Close())
		}
	}
	if err != nil {
		c.leave(err)
		return
	}
	if len(paths) == 0 {
		c.read(top)
		c.group.Wait()
		return
	}
	above := map[string]*clonedDir{".": top}
	for _, path := range paths {
		if c.stopped() {
			break
		}
		if dir := c.parent(above, filepath.Dir(path)); dir != nil {
			c.take(dir, filepath.Base(path))
		}
	}
	for _, dir := range above {
		c.done(dir)
	}
	c.group.Wait()
}

// parent returns the copy of a directory on the way to a path.
func (c *cloner) parent(above map[string]*clonedDir, path string) *clonedDir {
	if dir, ok := above[path]; ok {
		return dir
	}
	up := c.parent(above, filepath.Dir(path))
	if up == nil {
		return nil
	}
	dir, err := c.makeDir(up, filepath.Base(path))
	if err != nil {
		c.leave(err)
		return nil
	}
	above[path] = dir
	return dir
}

// leave is for what rsync will have to look at. A full disk, and a caller who
// has had enough, end the copy.
func (c *cloner) leave(err error) {
	calledOff := c.ctx.Err() != nil
	if calledOff {
		err = context.Cause(c.ctx) // whatever failed since
	}
	if calledOff || isFull(err) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.err == nil {
			c.err = err
		}
		return
	}
	if !c.left.Swap(true) {
		c.log.Debug("left to rsync", "error", err)
	}
}

func (c *cloner) stopped() bool {
	if c.ctx.Err() != nil {
		c.leave(context.Cause(c.ctx))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

// read copies what is in dir.
func (c *cloner) read(dir *clonedDir) {
	defer c.done(dir)
	for !c.stopped() {
		entries, err := dir.src.ReadDir(readBatch)
		for _, e := range entries {
			if e.IsDir() {
				c.enter(dir, e.Name())
			} else {
				c.takeOther(dir, e.Name(), e.Type().IsRegular())
			}
			if c.stopped() {
				return
			}
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			c.leave(err)
			return
		}
	}
}

// take copies one entry of which nothing is known.
func (c *cloner) take(dir *clonedDir, name string) {
	st, err := statAt(dir.src, name)
	switch {
	case err != nil:
		c.leave(err)
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		c.enter(dir, name)
	default:
		c.takeOther(dir, name, st.Mode&unix.S_IFMT == unix.S_IFREG)
	}
}

// enter hands a directory to an idle goroutine or reads it itself.
func (c *cloner) enter(dir *clonedDir, name string) {
	sub, err := c.makeDir(dir, name)
	if err != nil {
		c.leave(err)
		return
	}
	select {
	case c.token <- struct{}{}:
		c.group.Go(func() {
			c.read(sub)
			<-c.token
		})
	default:
		c.read(sub)
	}
}

// makeDir makes a directory, closed to others until it is complete.
func (c *cloner) makeDir(up *clonedDir, name string) (*clonedDir, error) {
	dir := &clonedDir{up: up, path: filepath.Join(up.path, name)}
	dir.open.Store(1)
	var err error
	if dir.src, err = openDirAt(up.src, name); err != nil {
		return nil, err
	}
	if err = mkdirAt(up.dst, name, 0o700); err == nil {
		dir.dst, err = openDirAt(up.dst, name)
	}
	if err != nil {
		return nil, errors.Join(err, dir.src.Close())
	}
	if err = checkNew(dir.dst, unix.S_IFDIR); err != nil {
		return nil, errors.Join(err, dir.src.Close(), dir.dst.Close())
	}
	up.open.Add(1)
	return dir, nil
}

// done is called once for each directory and once for each of its children.
func (c *cloner) done(dir *clonedDir) {
	for ; dir != nil && dir.open.Add(-1) == 0; dir = dir.up {
		var err error
		if !dir.keep {
			err = copyAttributes(dir.dst, ".", dir.dst, dir.src)
		}
		if err = errors.Join(err, dir.src.Close(), dir.dst.Close()); err != nil {
			c.leave(err)
		}
		if !dir.keep {
			c.count(&c.stats.directories)
		}
	}
}

func (c *cloner) count(n *atomic.Int64) {
	n.Add(1)
	if c.progress == nil {
		return
	}
	if s := c.stats.load(); s.entries()%reflinkProgressEvery == 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.progress(s)
	}
}

// takeOther copies what is not a directory.
func (c *cloner) takeOther(dir *clonedDir, name string, regular bool) {
	var err error
	if regular {
		err = c.file(dir, name)
	} else {
		err = c.special(dir, name)
	}
	if err != nil {
		c.leave(err)
	}
}

// file works on bare descriptors: for each of very many small files an os.File
// would cost more calls than the copy itself.
func (c *cloner) file(dir *clonedDir, name string) error {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	src, err := bareOpen(dir.src, name, flags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(src, &st) }); err != nil {
		return atError("stat", dir.src, name, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return atError("copy", dir.src, name, unix.EINVAL)
	}
	if err := checkTimes(src); err != nil {
		return atError("stat", dir.src, name, err)
	}
	return c.once(dir, name, st, func() error { return c.cloneFile(dir, name, src, st) })
}

func bareOpen(dir *os.File, name string, flags int, perm uint32) (fd int, err error) {
	err = retry(func() (err error) {
		fd, err = unix.Openat(int(dir.Fd()), name, flags, perm)
		return err
	})
	return fd, atError("open", dir, name, err)
}

// cloneFile leaves a whole file or none. Data without checksums can not be
// shared with a file that has some, or the other way round (EINVAL): rsync
// copies that. A file is made with its final mode where that is known to
// stick, and owned by root until it has another owner.
func (c *cloner) cloneFile(dir *clonedDir, name string, src int, st unix.Stat_t) error {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	perm := uint32(0o600)
	if plain := st.Mode & 0o7777; plain&^0o777 == 0 && plain&c.umask == 0 {
		perm = plain
	}
	dst, err := bareOpen(dir.dst, name, flags, perm)
	if err != nil {
		return err
	}
	err = c.fill(dir, name, dst, src, st, perm)
	// The descriptor is gone whatever close says.
	if err = errors.Join(err, atError("close", dir.dst, name, unix.Close(dst))); err != nil {
		return errors.Join(err, ignoreNotExist(unlinkAt(dir.dst, name, 0)))
	}
	c.stats.bytes.Add(st.Size)
	c.count(&c.stats.files)
	return nil
}

// fill gives a new file its data and attributes; for the order see
// copyAttributes.
func (c *cloner) fill(dir *clonedDir, name string, dst, src int, st unix.Stat_t, perm uint32) error {
	if st.Size > 0 {
		if err := retry(func() error { return unix.IoctlFileClone(dst, src) }); err != nil {
			return atError("FICLONE", dir.dst, name, err)
		}
	}
	if c.chownAll || st.Uid != 0 || st.Gid != 0 {
		if err := retry(func() error { return unix.Fchown(dst, int(st.Uid), int(st.Gid)) }); err != nil {
			return atError("chown", dir.dst, name, err)
		}
	}
	size, err := unix.Flistxattr(src, nil)
	if err != nil {
		return atError("listxattr", dir.src, name, err)
	}
	if size > 0 {
		if err := copyXattrsByPath(barePath(dst), barePath(src)); err != nil {
			return atError("copy attributes", dir.dst, name, err)
		}
	}
	if size > 0 || perm != st.Mode&0o7777 {
		if err := retry(func() error { return unix.Fchmod(dst, st.Mode&0o7777) }); err != nil {
			return atError("chmod", dir.dst, name, err)
		}
	}
	return setTimes(dir.dst, name, st)
}

func setTimes(dir *os.File, name string, st unix.Stat_t) error {
	times := []unix.Timespec{st.Atim, st.Mtim}
	err := retry(func() error {
		return unix.UtimesNanoAt(int(dir.Fd()), name, times, unix.AT_SYMLINK_NOFOLLOW)
	})
	return atError("utimens", dir, name, err)
}

// once makes the copy of an inode, or another name for it. Memory is needed
// only for inodes that have names still to come.
func (c *cloner) once(dir *clonedDir, name string, st unix.Stat_t, make func() error) error {
	if st.Nlink < 2 {
		return make()
	}
	c.linkMu.Lock()
	defer c.linkMu.Unlock()
	key := inodeKey{uint64(st.Dev), st.Ino}
	first, ok := c.links[key]
	if !ok {
		if err := make(); err != nil {
			return err
		}
		c.links[key] = &firstLink{filepath.Join(dir.path, name), uint64(st.Nlink) - 1}
		return nil
	}
	if err := c.link(first.path, dir.dst, name); err != nil {
		return err
	}
	if first.more--; first.more == 0 {
		delete(c.links, key)
	}
	c.count(&c.stats.hardLinks)
	return nil
}

// link follows no symlink on the way to the first name.
func (c *cloner) link(path string, dir *os.File, name string) error {
	parent, err := openBeneath(c.target, filepath.Dir(path))
	if err != nil {
		return err
	}
	defer parent.Close()
	old, err := openAt(parent, filepath.Base(path), unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer old.Close()
	err = retry(func() error {
		return unix.Linkat(unix.AT_FDCWD, procPath(old), int(dir.Fd()), name, unix.AT_SYMLINK_FOLLOW)
	})
	if err != nil {
		return &os.LinkError{Op: "link", Old: old.Name(), New: filepath.Join(dir.Name(), name), Err: err}
	}
	return nil
}

// special copies a symlink, device, fifo or socket. It is opened with O_PATH,
// which does nothing to it.
func (c *cloner) special(dir *clonedDir, name string) error {
	src, err := openAt(dir.src, name, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	st, err := statFile(src)
	if err != nil {
		return err
	}
	return c.once(dir, name, st, func() error {
		if err := c.makeSpecial(dir.dst, name, src, st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			c.count(&c.stats.symlinks)
		} else {
			c.count(&c.stats.specials)
		}
		return nil
	})
}

func (c *cloner) makeSpecial(dir *os.File, name string, src *os.File, st unix.Stat_t) error {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		text, err := readlinkAt(src, "")
		if err == nil {
			err = symlinkAt(text, dir, name)
		}
		if err != nil {
			return err
		}
	case unix.S_IFBLK, unix.S_IFCHR, unix.S_IFIFO, unix.S_IFSOCK:
		err := retry(func() error {
			return unix.Mknodat(int(dir.Fd()), name, st.Mode&unix.S_IFMT|0o600, int(st.Rdev))
		})
		if err != nil {
			return atError("mknod", dir, name, err)
		}
	default:
		return atError("copy", dir, name, unix.EINVAL)
	}
	dst, err := openAt(dir, name, unix.O_PATH, 0)
	if err == nil {
		if err = checkNew(dst, st.Mode); err == nil {
			err = copyAttributes(dir, name, dst, src)
		}
		err = errors.Join(err, dst.Close())
	}
	if err != nil {
		return errors.Join(err, ignoreNotExist(unlinkAt(dir, name, 0)))
	}
	return nil
}

// checkNew makes sure that f is what has just been made under its name: who
// may write to the directory can put something else there, and must not have
// us change its owner and mode.
func checkNew(f *os.File, mode uint32) error {
	st, err := statFile(f)
	if err != nil {
		return err
	}
	linked := mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink != 1
	if (st.Mode^mode)&unix.S_IFMT != 0 || st.Uid != uint32(os.Geteuid()) || linked {
		return atError("copy", f, "", unix.EEXIST)
	}
	return nil
}

// copyAttributes gives dst, which is name in dir, what src has. Owner before
// mode and attributes: chown clears set-id bits and capabilities. Both may
// have been opened with O_PATH; the paths in /proc lead to just what is open,
// a symlink included.
func copyAttributes(dir *os.File, name string, dst, src *os.File) error {
	st, err := statFile(src)
	if err == nil {
		err = atError("stat", src, "", checkTimes(int(src.Fd())))
	}
	if err != nil {
		return err
	}
	err = retry(func() error {
		return unix.Fchownat(int(dst.Fd()), "", int(st.Uid), int(st.Gid), unix.AT_EMPTY_PATH)
	})
	if err != nil {
		return atError("chown", dst, "", err)
	}
	if err := copyXattrsByPath(procPath(dst), procPath(src)); err != nil {
		return atError("copy attributes", dst, "", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(procPath(dst), st.Mode&0o7777); err != nil {
			return atError("chmod", dst, "", err)
		}
	}
	return setTimes(dir, name, st)
}

// copyXattrsByPath is copyXattrs for what may have been opened with O_PATH:
// dst and src are paths in /proc.
func copyXattrsByPath(dst, src string) error {
	size, err := unix.Listxattr(src, nil)
	if err != nil || size == 0 {
		return err
	}
	list := make([]byte, size)
	if size, err = unix.Listxattr(src, list); err != nil {
		return err
	}
	value := make([]byte, xattrMax)
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list[:size]), "\x00"), "\x00") {
		n, err := unix.Getxattr(src, name, value)
		if err != nil {
			return err
		}
		if err := unix.Setxattr(dst, name, value[:n], 0); err != nil {
			return err
		}
	}
	return nil
}

func barePath(fd int) string { return procFD + strconv.Itoa(fd) }
