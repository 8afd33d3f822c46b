package at

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
)

func ReadlinkInside(root *os.File, path string) (string, error) {
	f, err := OpenPathInside(root, path, unix.O_PATH)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return Readlink(f, "")
}

func CmpOrDot(path string) string {
	if path == "" {
		return "."
	}
	return path
}

const TempPrefix = ".new-" // a file about to be renamed over its final name

// OpenOwn opens name. A backup made by an ordinary user may have files and directories whose copied mode denies access
// even to their owner. OpenOwn then widens the mode for the owner. rsync does the same, and restores the mode in the
// transfer.
func OpenOwn(dir *os.File, name string, flags int) (*os.File, error) {
	f, err := Open(dir, name, flags, 0)
	if !errors.Is(err, unix.EACCES) {
		return f, err
	}
	if err := Chmod(dir, name, 0o700); err != nil {
		return nil, err
	}
	return Open(dir, name, flags, 0)
}

func CreateOwn(dir *os.File, name string) (*os.File, error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL
	f, err := Open(dir, name, flags, 0o600)
	if !errors.Is(err, unix.EACCES) {
		return f, err
	}
	if err := unix.Fchmod(int(dir.Fd()), 0o700); err != nil {
		return nil, Error("chmod", dir, "", err)
	}
	return Open(dir, name, flags, 0o600)
}

// OpenInside is OpenBeneath without crossing mount points: what is mounted in a backup is not part of it. It does enter
// subvolumes.
func OpenInside(dir *os.File, path string) (*os.File, error) {
	f, err := OpenResolved(dir, path, unix.O_DIRECTORY, unix.RESOLVE_NO_XDEV)
	if errors.Is(err, unix.EXDEV) {
		return nil, Error("open", dir, path, btrfs.ErrMountPoint)
	}
	return f, err
}

// OpenBeneath opens the directory at path below dir. The kernel follows no symlink on the way and does not leave dir
// (openat2, Linux 5.6).
func OpenBeneath(dir *os.File, path string) (*os.File, error) {
	return OpenResolved(dir, path, unix.O_DIRECTORY, 0)
}

func OpenResolved(dir *os.File, path string, flags, resolve uint64) (*os.File, error) {
	fd, err := Openat2(int(dir.Fd()), path, flags, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS|resolve)
	if err != nil {
		return nil, Error("open", dir, path, err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(dir.Name(), path)), nil
}

// UnlinkBeneath removes path below root; flags are those of unlinkat(2).
func UnlinkBeneath(root *os.File, path string, flags int) error {
	dir, err := OpenBeneath(root, filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return Unlink(dir, filepath.Base(path), flags)
}

var ErrNotRegular = errors.New("not a regular file")

// OpenRegular opens a file of a backup for direct reads, without following symlinks out of it.
func OpenRegular(dir *os.File, path string) (*os.File, unix.Stat_t, error) {
	f, err := OpenBelow(dir, path, unix.O_RDONLY|unix.O_DIRECT|unix.O_NONBLOCK)
	if errors.Is(err, unix.ELOOP) {
		return nil, unix.Stat_t{}, Error("open", dir, path, ErrNotRegular)
	}
	if err != nil {
		return nil, unix.Stat_t{}, err
	}
	var st unix.Stat_t
	err = Retry(func() error { return unix.Fstat(int(f.Fd()), &st) })
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = ErrNotRegular
	}
	if err != nil {
		return nil, st, errors.Join(Error("open", dir, path, err), f.Close())
	}
	return f, st, nil
}

// OpenBelow opens path below dir, without following symlinks or crossing mount points.
func OpenBelow(dir *os.File, path string, flags uint64) (*os.File, error) {
	return OpenResolved(dir, path, flags|unix.O_NOFOLLOW, unix.RESOLVE_NO_XDEV)
}
