// Small files and links relative to an open directory. Nothing here follows a symlink, so an entry swapped for a link
// cannot lead out of DEST.

package at

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

func Error(op string, dir *os.File, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: filepath.Join(dir.Name(), name), Err: err}
}

// Retry calls f until it is not interrupted by a signal.
func Retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

func Stat(dir *os.File, name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := Retry(func() error {
		return unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return st, Error("stat", dir, name, err)
}

func Open(dir *os.File, name string, flags int, perm uint32) (*os.File, error) {
	var fd int
	err := Retry(func() (err error) {
		fd, err = unix.Openat(int(dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, perm)
		return err
	})
	if err != nil {
		return nil, Error("open", dir, name, err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(dir.Name(), name)), nil
}

func OpenDir(dir *os.File, name string) (*os.File, error) {
	return Open(dir, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

// Names lists dir through a new descriptor, so that the offset of dir and other readers do not matter.
func Names(dir *os.File) ([]string, error) {
	d, err := OpenDir(dir, ".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// IsEmpty reports whether dir has no entry.
func IsEmpty(dir *os.File) (bool, error) {
	d, err := OpenDir(dir, ".")
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

func Readlink(dir *os.File, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	var n int
	err := Retry(func() (err error) {
		n, err = unix.Readlinkat(int(dir.Fd()), name, buf)
		return err
	})
	if err != nil {
		return "", Error("readlink", dir, name, err)
	}
	return string(buf[:n]), nil
}

func Symlink(target string, dir *os.File, name string) error {
	err := Retry(func() error { return unix.Symlinkat(target, int(dir.Fd()), name) })
	return Error("symlink", dir, name, err)
}

func Rename(dir *os.File, from, to string) error {
	err := Retry(func() error { return unix.Renameat(int(dir.Fd()), from, int(dir.Fd()), to) })
	if err != nil {
		return &os.LinkError{Op: "rename", Old: filepath.Join(dir.Name(), from), New: filepath.Join(dir.Name(), to), Err: err}
	}
	return nil
}

func Unlink(dir *os.File, name string, flags int) error {
	err := Retry(func() error { return unix.Unlinkat(int(dir.Fd()), name, flags) })
	return Error("unlink", dir, name, err)
}

func Mkdir(dir *os.File, name string, perm uint32) error {
	err := Retry(func() error { return unix.Mkdirat(int(dir.Fd()), name, perm) })
	return Error("mkdir", dir, name, err)
}

// Stamp identifies one state of a file: replacing the file changes its inode number, which btrfs uses only once, and
// writing into it changes its ctime.
type Stamp struct {
	ino   uint64
	ctime unix.Timespec
}

func StampOf(st unix.Stat_t) Stamp { return Stamp{st.Ino, st.Ctim} }

// ReadFile reads a regular file of at most limit bytes.
func ReadFile(dir *os.File, name string, limit int64) ([]byte, error) {
	data, _, err := ReadStamped(dir, name, limit)
	return data, err
}

// ReadStamped is ReadFile, and also returns which state it read.
func ReadStamped(dir *os.File, name string, limit int64) ([]byte, Stamp, error) {
	// A bare descriptor: an *os.File costs as many system calls again, and a list reads thousands of records.
	var fd int
	err := Retry(func() (err error) {
		fd, err = unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return nil, Stamp{}, Error("open", dir, name, err)
	}
	data, read, err := readRegular(fd, limit)
	return data, read, Error("read", dir, name, errors.Join(err, unix.Close(fd)))
}

func readRegular(fd int, limit int64) ([]byte, Stamp, error) {
	var st unix.Stat_t
	if err := Retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return nil, Stamp{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, Stamp{}, errors.New("not a regular file")
	}
	if st.Size > limit {
		return nil, Stamp{}, fmt.Errorf("%d bytes, more than the %d such a file can have", st.Size, limit)
	}
	buf := make([]byte, st.Size)
	for n := 0; n < len(buf); {
		var more int
		err := Retry(func() (err error) {
			more, err = unix.Read(fd, buf[n:])
			return err
		})
		if err != nil {
			return nil, Stamp{}, err
		}
		if more == 0 {
			return buf[:n], StampOf(st), nil
		}
		n += more
	}
	return buf, StampOf(st), nil
}

// WriteFile replaces name whole or not at all: a new file, mode 0600, is written beside it and renamed over it. With
// synced set the content is on the disk on return; FsyncDir brings the name there, too. Callers hold the lock that
// guards dir, so the temporary name is free, unless a run crashed.
func WriteFile(dir *os.File, name string, data []byte, synced bool) (err error) {
	temp := TempPrefix + name
	if err := Unlink(dir, temp, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := Open(dir, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, IgnoreNotExist(Unlink(dir, temp, 0)))
		}
	}()
	if err = GiveToOwner(f, dir); err != nil {
		return errors.Join(err, f.Close())
	}
	if _, err = f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if synced {
		if err = f.Sync(); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err = f.Close(); err != nil {
		return err
	}
	return Rename(dir, temp, name)
}

// GiveToOwner gives a file that root makes to the owner of the directory. Otherwise the owner of a DEST could not read
// a record that root has written.
func GiveToOwner(f, dir *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	st, err := Stat(dir, ".")
	if err != nil || st.Uid == 0 {
		return err
	}
	return Error("chown", dir, f.Name(), unix.Fchown(int(f.Fd()), int(st.Uid), int(st.Gid)))
}

func IgnoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Openat2 resolves path with the flags in resolve, such as RESOLVE_BENEATH, of linux/openat2.h (Linux 5.6). The caller
// adds the path to the error.
//
// A symlink of somebody else in a sticky directory that all may write to must not be followed by root either
// (fs.protected_symlinks). The kernel asks for that before it looks at RESOLVE_NO_SYMLINKS (namei.c, Linux 6.18), and
// answers EACCES: here it is ELOOP, as for each other symlink.
func Openat2(dirfd int, path string, flags, resolve uint64) (fd int, err error) {
	fd, err = openat2(dirfd, path, flags, resolve)
	if !errors.Is(err, unix.EACCES) || resolve&unix.RESOLVE_NO_SYMLINKS == 0 || flags&unix.O_NOFOLLOW != 0 {
		return fd, err
	}
	place, placeErr := openat2(dirfd, path, unix.O_PATH|unix.O_NOFOLLOW, resolve)
	if placeErr != nil {
		return -1, err
	}
	var st unix.Stat_t
	statErr := unix.Fstat(place, &st)
	_ = unix.Close(place) // nothing was written
	if statErr == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		err = unix.ELOOP
	}
	return -1, err
}

// openat2: on 32-bit machines the kernel opens no file of 2 GiB or more without O_LARGEFILE, which it refuses together
// with O_PATH.
func openat2(dirfd int, path string, flags, resolve uint64) (fd int, err error) {
	if flags&unix.O_PATH == 0 {
		flags |= unix.O_LARGEFILE
	}
	err = Retry(func() (err error) {
		fd, err = unix.Openat2(dirfd, path, &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: resolve})
		return err
	})
	return fd, err
}

// IsNoDir reports that the name opened without following a symlink is not a directory.
func IsNoDir(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// CheckTimes refuses an inode whose times cannot be copied with the calls used here: on 32-bit platforms fstat64
// silently truncates times after 2038 (Linux 6.18).
func CheckTimes(fd int) error {
	if strconv.IntSize == 64 {
		return nil
	}
	var sx unix.Statx_t
	if err := Retry(func() error { return unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_ATIME|unix.STATX_MTIME, &sx) }); err != nil {
		return err
	}
	if sx.Atime.Sec != int64(int32(sx.Atime.Sec)) || sx.Mtime.Sec != int64(int32(sx.Mtime.Sec)) {
		return unix.EOVERFLOW
	}
	return nil
}

// FsyncDir makes the names in dir durable. On btrfs that covers subvolumes created, renamed or snapshotted there (Linux
// 6.18).
func FsyncDir(dir *os.File) error {
	err := Retry(func() error { return unix.Fsync(int(dir.Fd())) })
	return Error("fsync", dir, "", err)
}
