package pending

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// TakeBack gives files the content that they have in the backup base in dest, and returns those that it lacks. Their
// time is now, not that of the source, so the next run copies them.
func TakeBack(dest *os.File, base string, pending *os.File, paths []string) (left []string) {
	for _, path := range paths {
		if takeBack(dest, filepath.Join(base, path), pending, path) != nil {
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
	if err := unix.Ftruncate(int(to.Fd()), st.Size); err != nil {
		return err
	}
	return btrfs.CloneFile(to, from)
}
