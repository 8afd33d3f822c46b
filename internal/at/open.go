package at

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

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

// XattrsInside is all extended attributes as one string, a value that the caller
// may not see left open; hidden says which is one. btrfs lists trusted.* to
// everybody, and denies an ordinary user the value with ENODATA (Linux 6.18).
// An O_PATH descriptor serves for what may not or must not be opened, and the
// kernel takes one for these calls by way of /proc only (Linux 6.18).
func XattrsInside(root *os.File, path string) (all string, hidden, err error) {
	f, err := OpenPathInside(root, CmpOrDot(path), unix.O_PATH)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	proc := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	list := make([]byte, 64<<10)
	n, err := unix.Listxattr(proc, list)
	if errors.Is(err, unix.EOPNOTSUPP) || n == 0 && err == nil {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, Error("listxattr", root, path, err)
	}
	names := strings.Split(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00")
	slices.Sort(names)
	var text strings.Builder
	value := make([]byte, XattrMax)
	for _, name := range names {
		n, err := unix.Getxattr(proc, name, value)
		switch {
		case errors.Is(err, unix.ENODATA), errors.Is(err, fs.ErrPermission):
			hidden = cmp.Or(hidden, Error("getxattr "+name, root, path, unix.EPERM))
			fmt.Fprintf(&text, "%q\n", name)
		case err != nil:
			return "", nil, Error("getxattr "+name, root, path, err)
		default:
			fmt.Fprintf(&text, "%q=%q\n", name, value[:n])
		}
	}
	return text.String(), hidden, nil
}

func CmpOrDot(path string) string {
	if path == "" {
		return "."
	}
	return path
}

const TempPrefix = ".new-" // a file about to be renamed over its final name

// OpenOwn opens name; an ordinary user's backup has files and directories
// whose copied mode keeps out even their owner, so that mode is widened for
// the owner. rsync, which does the same, puts it right in the transfer.
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

// OpenInside is openBeneath that enters no mount either: what is mounted in a
// backup is not part of it. It does enter subvolumes.
func OpenInside(dir *os.File, path string) (*os.File, error) {
	f, err := OpenResolved(dir, path, unix.O_DIRECTORY, unix.RESOLVE_NO_XDEV)
	if errors.Is(err, unix.EXDEV) {
		return nil, Error("open", dir, path, btrfs.ErrMountPoint)
	}
	return f, err
}

// OpenBeneath opens the directory at path below dir. The kernel follows no
// symlink on the way and does not leave dir (openat2, Linux 5.6).
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

// UnlinkBeneath removes what is at path below root; flags are those of
// unlinkat(2).
func UnlinkBeneath(root *os.File, path string, flags int) error {
	dir, err := OpenBeneath(root, filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return Unlink(dir, filepath.Base(path), flags)
}

var ErrNotRegular = errors.New("not a regular file")

// OpenRegular opens a file of a backup for direct reads, without following
// anything out of it.
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

// OpenBelow opens path below dir; no symlink and no mount point is passed.
func OpenBelow(dir *os.File, path string, flags uint64) (*os.File, error) {
	return OpenResolved(dir, path, flags|unix.O_NOFOLLOW, unix.RESOLVE_NO_XDEV)
}
