// The reflink copy of one entry: a file, a further name of one, a symlink or a special file, with its attributes.

package reflink

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
)

// file uses bare descriptors: for very many small files an os.File would need more system calls than the copy itself.
func (c *cloner) file(dir *clonedDir, name string) error {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	src, err := bareOpen(dir.src, name, flags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	var st unix.Stat_t
	if err := at.Retry(func() error { return unix.Fstat(src, &st) }); err != nil {
		return at.Error("stat", dir.src, name, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return at.Error("copy", dir.src, name, unix.EINVAL)
	}
	if err := at.CheckTimes(src); err != nil {
		return at.Error("stat", dir.src, name, err)
	}
	return c.once(dir, name, st, func() error { return c.cloneFile(dir, name, src, st) })
}

func bareOpen(dir *os.File, name string, flags int, perm uint32) (fd int, err error) {
	err = at.Retry(func() (err error) {
		fd, err = unix.Openat(int(dir.Fd()), name, flags, perm)
		return err
	})
	return fd, at.Error("open", dir, name, err)
}

// cloneFile makes a whole file or none. A file without checksums cannot share data with one that has them (EINVAL):
// rsync copies such a file. The file is created with its final mode if the umask and ACLs do not change it, and belongs
// to root until its owner is set.
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
	// The descriptor is closed even if close fails.
	if err = errors.Join(err, at.Error("close", dir.dst, name, unix.Close(dst))); err != nil {
		return errors.Join(err, at.IgnoreNotExist(at.Unlink(dir.dst, name, 0)))
	}
	c.stats.bytes.Add(st.Size)
	c.count(&c.stats.files)
	return nil
}

// fill copies data and attributes to a new file; for the order see CopyAttributes.
func (c *cloner) fill(dir *clonedDir, name string, dst, src int, st unix.Stat_t, perm uint32) error {
	if st.Size > 0 {
		if err := at.Retry(func() error { return unix.IoctlFileClone(dst, src) }); err != nil {
			return at.Error("FICLONE", dir.dst, name, err)
		}
	}
	if c.chownAll || st.Uid != 0 || st.Gid != 0 {
		if err := at.Retry(func() error { return unix.Fchown(dst, int(st.Uid), int(st.Gid)) }); err != nil {
			return at.Error("chown", dir.dst, name, err)
		}
	}
	attributes, err := at.Xattrs(src).CopyTo(at.Xattrs(dst))
	if err != nil {
		return at.Error("copy attributes", dir.dst, name, err)
	}
	if attributes > 0 || perm != st.Mode&0o7777 {
		if err := at.Retry(func() error { return unix.Fchmod(dst, st.Mode&0o7777) }); err != nil {
			return at.Error("chmod", dir.dst, name, err)
		}
	}
	return setTimes(dir.dst, name, st)
}

func setTimes(dir *os.File, name string, st unix.Stat_t) error {
	times := []unix.Timespec{st.Atim, st.Mtim}
	err := at.Retry(func() error {
		return unix.UtimesNanoAt(int(dir.Fd()), name, times, unix.AT_SYMLINK_NOFOLLOW)
	})
	return at.Error("utimens", dir, name, err)
}

// once copies an inode, or makes another name for its copy. Only inodes with further names to come need memory.
func (c *cloner) once(dir *clonedDir, name string, st unix.Stat_t, make func() error) error {
	if st.Nlink < 2 {
		return make()
	}
	c.linkMu.Lock()
	defer c.linkMu.Unlock()
	key := mounts.InodeOf(&st)
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

// link follows no symlink in the path of the first name.
func (c *cloner) link(path string, dir *os.File, name string) error {
	parent, err := at.OpenBeneath(c.target, filepath.Dir(path))
	if err != nil {
		return err
	}
	defer parent.Close()
	old, err := at.Open(parent, filepath.Base(path), unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer old.Close()
	err = at.Retry(func() error {
		return unix.Linkat(unix.AT_FDCWD, at.ProcPath(old), int(dir.Fd()), name, unix.AT_SYMLINK_FOLLOW)
	})
	if err != nil {
		return &os.LinkError{Op: "link", Old: old.Name(), New: filepath.Join(dir.Name(), name), Err: err}
	}
	return nil
}

// special copies a symlink, device, fifo or socket. It is opened with O_PATH, which has no side effects.
func (c *cloner) special(dir *clonedDir, name string) error {
	src, err := at.Open(dir.src, name, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	st, err := at.StatFile(src)
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
		text, err := at.Readlink(src, "")
		if err == nil {
			err = at.Symlink(text, dir, name)
		}
		if err != nil {
			return err
		}
	case unix.S_IFBLK, unix.S_IFCHR, unix.S_IFIFO, unix.S_IFSOCK:
		err := at.Retry(func() error {
			return unix.Mknodat(int(dir.Fd()), name, st.Mode&unix.S_IFMT|0o600, int(st.Rdev))
		})
		if err != nil {
			return at.Error("mknod", dir, name, err)
		}
	default:
		return at.Error("copy", dir, name, unix.EINVAL)
	}
	dst, err := at.Open(dir, name, unix.O_PATH, 0)
	if err == nil {
		if err = checkNew(dst, st.Mode); err == nil {
			err = CopyAttributes(dir, name, dst, src)
		}
		err = errors.Join(err, dst.Close())
	}
	if err != nil {
		return errors.Join(err, at.IgnoreNotExist(at.Unlink(dir, name, 0)))
	}
	return nil
}

// checkNew makes sure that f is the file just created under its name: a user who may write to the directory can replace
// it, and we must not change owner and mode of another file.
func checkNew(f *os.File, mode uint32) error {
	st, err := at.StatFile(f)
	if err != nil {
		return err
	}
	linked := mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink != 1
	if (st.Mode^mode)&unix.S_IFMT != 0 || st.Uid != uint32(os.Geteuid()) || linked {
		return at.Error("copy", f, "", unix.EEXIST)
	}
	return nil
}

// CopyAttributes copies the attributes of src to dst, which is name in dir. Owner before mode and attributes: chown
// clears set-id bits and capabilities. Both may have been opened with O_PATH; the paths in /proc lead to the open file
// itself, even if it is a symlink.
func CopyAttributes(dir *os.File, name string, dst, src *os.File) error {
	st, err := at.StatFile(src)
	if err == nil {
		err = at.Error("stat", src, "", at.CheckTimes(int(src.Fd())))
	}
	if err != nil {
		return err
	}
	err = at.Retry(func() error {
		return unix.Fchownat(int(dst.Fd()), "", int(st.Uid), int(st.Gid), unix.AT_EMPTY_PATH)
	})
	if err != nil {
		return at.Error("chown", dst, "", err)
	}
	if err := at.CopyXattrs(dst, src); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(at.ProcPath(dst), st.Mode&0o7777); err != nil {
			return at.Error("chmod", dst, "", err)
		}
	}
	return setTimes(dir, name, st)
}
