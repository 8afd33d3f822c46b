package at

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// StatFile is fstat(2).
func StatFile(f *os.File) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := Retry(func() error { return unix.Fstat(int(f.Fd()), &st) })
	return st, Error("stat", f, "", err)
}

// ProcPath is a path to the open file f that stays valid when f is renamed.
func ProcPath(f *os.File) string { return ProcFD + strconv.Itoa(int(f.Fd())) }

// Reopen opens a file for reading of which place, opened with O_PATH, has shown what it is. It does not wait for a
// fifo.
func Reopen(place *os.File) (*os.File, error) {
	var fd int
	err := Retry(func() (err error) {
		fd, err = unix.Open(ProcPath(place), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return nil, Error("open", place, "", err)
	}
	return os.NewFile(uintptr(fd), place.Name()), nil
}

// ProcFD followed by the number of a descriptor is a path to the file that it has open.
const ProcFD = "/proc/self/fd/"

// KindOf names the kind of a file by its mode.
func KindOf(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "file"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "symlink"
	case unix.S_IFIFO:
		return "fifo"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFBLK:
		return "block device"
	}
	return "character device"
}

// Chmod changes the mode of a file that perhaps cannot be opened, without following a symlink: with fchmodat2 (Linux
// 6.6), before that through /proc.
func Chmod(dir *os.File, name string, mode uint32) error {
	err := unix.Fchmodat(int(dir.Fd()), name, mode, unix.AT_SYMLINK_NOFOLLOW)
	if err != unix.EOPNOTSUPP && err != unix.ENOSYS {
		return Error("chmod", dir, name, err)
	}
	f, err := Open(dir, name, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	return errors.Join(unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), mode), f.Close())
}
