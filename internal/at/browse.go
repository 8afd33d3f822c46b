package at

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

func StatFile(f *os.File) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := Retry(func() error { return unix.Fstat(int(f.Fd()), &st) })
	return st, Error("stat", f, "", err)
}

// ProcPath is a path to what f has open, whatever its own path is by now.
func ProcPath(f *os.File) string { return ProcFD + strconv.Itoa(int(f.Fd())) }

const ProcFD = "/proc/self/fd/"

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
