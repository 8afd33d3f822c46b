// Small files and links relative to an open directory. Nothing here follows a
// symlink, so an entry swapped for a link can not lead out of DEST.

package rsbtbackup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

func atError(op string, dir *os.File, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: filepath.Join(dir.Name(), name), Err: err}
}

// retry calls f until it is not interrupted by a signal.
func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

func statAt(dir *os.File, name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := retry(func() error {
		return unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return st, atError("stat", dir, name, err)
}

func openAt(dir *os.File, name string, flags int, perm uint32) (*os.File, error) {
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Openat(int(dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, perm)
		return err
	})
	if err != nil {
		return nil, atError("open", dir, name, err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(dir.Name(), name)), nil
}

func openDirAt(dir *os.File, name string) (*os.File, error) {
	return openAt(dir, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

// readNames lists dir through a descriptor of its own, so that neither the
// offset of dir nor a reader beside us matters.
func readNames(dir *os.File) ([]string, error) {
	d, err := openDirAt(dir, ".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// isEmptyDir tells whether dir has no entry at all.
func isEmptyDir(dir *os.File) (bool, error) {
	d, err := openDirAt(dir, ".")
	if err != nil {
		return false, err
	}
	defer d.Close()
	_, err = d.Readdirnames(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

func readlinkAt(dir *os.File, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	var n int
	err := retry(func() (err error) {
		n, err = unix.Readlinkat(int(dir.Fd()), name, buf)
		return err
	})
	if err != nil {
		return "", atError("readlink", dir, name, err)
	}
	return string(buf[:n]), nil
}

func symlinkAt(target string, dir *os.File, name string) error {
	err := retry(func() error { return unix.Symlinkat(target, int(dir.Fd()), name) })
	return atError("symlink", dir, name, err)
}

func renameAt(dir *os.File, from, to string) error {
	err := retry(func() error { return unix.Renameat(int(dir.Fd()), from, int(dir.Fd()), to) })
	if err != nil {
		return &os.LinkError{Op: "rename", Old: filepath.Join(dir.Name(), from), New: filepath.Join(dir.Name(), to), Err: err}
	}
	return nil
}

func unlinkAt(dir *os.File, name string, flags int) error {
	err := retry(func() error { return unix.Unlinkat(int(dir.Fd()), name, flags) })
	return atError("unlink", dir, name, err)
}

func mkdirAt(dir *os.File, name string, perm uint32) error {
	err := retry(func() error { return unix.Mkdirat(int(dir.Fd()), name, perm) })
	return atError("mkdir", dir, name, err)
}

// stamp tells one state of a file from every other: whoever replaces the file
// changes its inode number, which btrfs uses once, and whoever writes into it
// its ctime.
type stamp struct {
	ino   uint64
	ctime unix.Timespec
}

func stampOf(st unix.Stat_t) stamp { return stamp{st.Ino, st.Ctim} }

// readFileAt reads a regular file of at most limit bytes.
func readFileAt(dir *os.File, name string, limit int64) ([]byte, error) {
	data, _, err := readStampedAt(dir, name, limit)
	return data, err
}

// readStampedAt is readFileAt that also tells which state it read.
func readStampedAt(dir *os.File, name string, limit int64) ([]byte, stamp, error) {
	// A bare descriptor: an *os.File costs as many system calls again, and a
	// list reads thousands of records.
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return nil, stamp{}, atError("open", dir, name, err)
	}
	data, read, err := readRegular(fd, limit)
	return data, read, atError("read", dir, name, errors.Join(err, unix.Close(fd)))
}

func readRegular(fd int, limit int64) ([]byte, stamp, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return nil, stamp{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, stamp{}, errors.New("not a regular file")
	}
	if st.Size > limit {
		return nil, stamp{}, fmt.Errorf("%d bytes, more than the %d such a file can have", st.Size, limit)
	}
	buf := make([]byte, st.Size)
	for n := 0; n < len(buf); {
		var more int
		err := retry(func() (err error) {
			more, err = unix.Read(fd, buf[n:])
			return err
		})
		if err != nil {
			return nil, stamp{}, err
		}
		if more == 0 {
			return buf[:n], stampOf(st), nil
		}
		n += more
	}
	return buf, stampOf(st), nil
}

// writeFileAt replaces name whole or not at all: a new file, mode 0600, is
// written beside it and renamed over it. With durable set the content and the
// name survive a power cut on return. Callers hold the lock that guards dir,
// so the temporary name is free but for a run that died.
func writeFileAt(dir *os.File, name string, data []byte, durable bool) (err error) {
	temp := tempPrefix + name
	if err := unlinkAt(dir, temp, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := openAt(dir, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreNotExist(unlinkAt(dir, temp, 0)))
		}
	}()
	if err = giveToOwner(f, dir); err != nil {
		return errors.Join(err, f.Close())
	}
	if _, err = f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if durable {
		if err = f.Sync(); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = renameAt(dir, temp, name); err != nil {
		return err
	}
	if durable {
		return fsyncDir(dir)
	}
	return nil
}

// giveToOwner lets a file root makes in somebody's directory belong to them:
// else the owner of a DEST could not read a record root has touched.
func giveToOwner(f, dir *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	st, err := statAt(dir, ".")
	if err != nil || st.Uid == 0 {
		return err
	}
	return atError("chown", dir, f.Name(), unix.Fchown(int(f.Fd()), int(st.Uid), int(st.Gid)))
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// openat2 resolves path as resolve demands, RESOLVE_BENEATH and the like of
// linux/openat2.h (Linux 5.6). The caller names the path in the error.
func openat2(dirfd int, path string, flags, resolve uint64) (fd int, err error) {
	err = retry(func() (err error) {
		fd, err = unix.Openat2(dirfd, path, &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: resolve})
		return err
	})
	return fd, err
}

// isNoDir: there is no directory under the name that was opened without
// following a symlink.
func isNoDir(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// checkTimes refuses an inode whose times the calls used here can not carry to
// another: on 32-bit platforms, fstat64 cuts off what is beyond 2038, and says
// nothing (Linux 6.18).
func checkTimes(fd int) error {
	if strconv.IntSize == 64 {
		return nil
	}
	var sx unix.Statx_t
	if err := retry(func() error { return unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_ATIME|unix.STATX_MTIME, &sx) }); err != nil {
		return err
	}
	if sx.Atime.Sec != int64(int32(sx.Atime.Sec)) || sx.Mtime.Sec != int64(int32(sx.Mtime.Sec)) {
		return unix.EOVERFLOW
	}
	return nil
}

// fsyncDir makes the names in dir durable. On btrfs that covers subvolumes
// created, renamed or snapshotted there (Linux 6.18).
func fsyncDir(dir *os.File) error {
	err := retry(func() error { return unix.Fsync(int(dir.Fd())) })
	return atError("fsync", dir, "", err)
}
