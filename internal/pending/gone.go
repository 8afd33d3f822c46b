package pending

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// RemoveGone removes files and directories below root, and returns how many. Directories that are not empty then are
// kept. Their parents keep the times that rsync has set.
func RemoveGone(ctx context.Context, root *os.File, paths []string) (removed int64, err error) {
	paths = slices.Clone(paths)
	slices.Sort(paths)
	for _, path := range slices.Backward(paths) { // the entries of a directory come before it
		if ctx.Err() != nil {
			return removed, context.Cause(ctx)
		}
		gone, err := removeKeepingTimes(root, path)
		if err != nil {
			return removed, err
		}
		if gone {
			removed++
		}
	}
	return removed, nil
}

func removeKeepingTimes(root *os.File, path string) (removed bool, err error) {
	dir, err := at.OpenBeneath(root, filepath.Dir(path))
	if at.IsNoDir(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer dir.Close()
	was, err := at.StatFile(dir)
	if err != nil {
		return false, err
	}
	name := filepath.Base(path)
	err = at.Unlink(dir, name, 0)
	if errors.Is(err, unix.EISDIR) {
		err = at.Unlink(dir, name, unix.AT_REMOVEDIR)
	}
	switch {
	case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, fs.ErrNotExist), os.Geteuid() != 0 && errors.Is(err, fs.ErrPermission):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, restoreTimes(dir, &was)
}
