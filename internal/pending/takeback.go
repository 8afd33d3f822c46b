package pending

import (
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// TakeBack gives files the content that they have in the backup base in dest, and returns those that it lacks. Their
// time is a day before that of the base, so that the next run copies them.
func TakeBack(dest *os.File, base string, pending *os.File, paths []string, log *slog.Logger) (left []string) {
	for _, path := range paths {
		if err := takeBack(dest, filepath.Join(base, path), pending, path); err != nil {
			log.Warn("a file that was read only in part cannot get back its content", "path", path, "error", err)
			left = append(left, path)
		}
	}
	return left
}

func takeBack(dest *os.File, old string, pending *os.File, path string) error {
	from, st, err := at.OpenRegular(dest, old)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := at.OpenBelow(pending, path, unix.O_RDWR)
	if err != nil {
		return err
	}
	defer to.Close()
	// The kernel clones no whole file onto a longer one if its length is not one of blocks (EINVAL).
	if err := unix.Ftruncate(int(to.Fd()), st.Size); err != nil {
		return at.Error("ftruncate", pending, path, err)
	}
	if err := btrfs.CloneFile(to, from); err != nil {
		return err
	}
	mtime := unix.NsecToTimespec(st.Mtim.Nano())
	mtime.Sec -= day
	return setTimes(to, []unix.Timespec{mtime, mtime})
}
