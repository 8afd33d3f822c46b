// Space: how much is free in DEST.

package store

import (
	"fmt"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
	"golang.org/x/sys/unix"
)

// Space returns the bytes an ordinary user can still write, which btrfs sets to 0 when metadata is what has run out
// (btrfs_statfs), and the size of the filesystem.
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

// Compresses reports whether new files in DEST are compressed, because of the mount or an attribute of DEST. It is for
// a forecast: unknown counts as no.
func (s *Store) Compresses() bool {
	const compressed = 0x4 // FS_COMPR_FL
	flags, err := unix.IoctlGetUint32(int(s.Dir.Fd()), unix.FS_IOC_GETFLAGS)
	return err == nil && flags&compressed != 0 || mounts.ReadMount(s.Dir).Compressed
}
