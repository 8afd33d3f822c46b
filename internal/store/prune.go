package store

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// Space returns the bytes an ordinary user can still write, which btrfs sets
// to 0 when metadata is what has run out (btrfs_statfs), and the size of the
// filesystem.
func (s *Store) Space() (free, total uint64, err error) {
	fs, err := s.Statfs()
	return fs.Bavail * uint64(fs.Bsize), fs.Blocks * uint64(fs.Bsize), err
}

func (s *Store) Statfs() (fs unix.Statfs_t, err error) {
	if err := at.Retry(func() error { return unix.Fstatfs(int(s.Dir.Fd()), &fs) }); err != nil {
		return unix.Statfs_t{}, fmt.Errorf("statfs %s: %w", s.Path, err)
	}
	return fs, nil
}
