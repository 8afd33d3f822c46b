package at

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Chmod changes the mode of what may not be possible to open: fchmodat2
// (Linux 6.6) follows no symlink, before that /proc stands in for it.
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
