// The reserve: a little space that a full disk does not take, for what has to be
// written when it is full: why the run failed, and that the next one can go on.

package store

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

const reserveSize = 1 << 20

// KeepReserve allocates the reserve for one run, which ends with its log, unless it is there. Where there is no room for
// it, it is too late; whatever else fails costs no more than without it.
func (s *Store) KeepReserve() {
	st, err := at.Stat(s.Log, reserveName)
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Blocks*512 >= reserveSize {
		return
	}
	if err := at.IgnoreNotExist(at.Unlink(s.Log, reserveName, 0)); err != nil {
		return
	}
	f, err := at.Open(s.Log, reserveName, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	err = at.GiveToOwner(f, s.Log)
	if err == nil {
		err = at.Retry(func() error { return unix.Fallocate(int(f.Fd()), 0, 0, reserveSize) })
	}
	if err != nil {
		_ = at.Unlink(s.Log, reserveName, 0)
	}
}

// dropReserve ends it with the run.
func (s *Store) dropReserve() { _ = at.Unlink(s.Log, reserveName, 0) }

// UseReserve gives the reserve back to the disk, which has it with the next commit.
// It is false if there was none. The descriptor that is synced is not that of
// Flush, which is to hear of lost data itself.
func (s *Store) UseReserve() bool {
	err := at.Unlink(s.Log, reserveName, 0)
	if errors.Is(err, fs.ErrNotExist) || err != nil {
		return false
	}
	return btrfs.SyncFS(s.Log) == nil
}
