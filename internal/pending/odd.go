package pending

import (
	"errors"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// PartNames removes those of paths that are names of a file with several: each must become a file of its own.
func PartNames(root *os.File, paths []string) error {
	return eachFile(root, paths, func(dir *os.File, rel string, st unix.Stat_t) error {
		if st.Nlink < 2 {
			return nil
		}
		return at.Unlink(dir, path.Base(rel), 0)
	})
}

// Empty returns those of paths that are files of size 0.
func Empty(root *os.File, paths []string) (empty []string, err error) {
	err = eachFile(root, paths, func(_ *os.File, rel string, st unix.Stat_t) error {
		if st.Size == 0 {
			empty = append(empty, rel)
		}
		return nil
	})
	return empty, err
}

// eachFile visits those of paths that are regular files. What is missing, or vanishes meanwhile, is left out.
func eachFile(root *os.File, paths []string, visit func(dir *os.File, rel string, st unix.Stat_t) error) error {
	for _, rel := range paths {
		dir, err := at.OpenBeneath(root, path.Dir(rel))
		if at.IsNoDir(err) {
			continue
		}
		if err != nil {
			return err
		}
		st, err := at.Stat(dir, path.Base(rel))
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
			err = visit(dir, rel, st)
		}
		if err := errors.Join(at.IgnoreNotExist(err), dir.Close()); err != nil {
			return err
		}
	}
	return nil
}
