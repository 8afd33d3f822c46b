// The reserve: a little allocated space, for what must be written when the disk is full: why the run failed, and that
// the next run can continue.

package store

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

const reserveSize = 1 << 20

// KeepReserve allocates the reserve for one run, unless it exists; closing the log ends it. Errors are ignored: without
// a reserve a full disk only loses more.
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

// dropReserve removes the reserve at the end of the run.
func (s *Store) dropReserve() { _ = at.Unlink(s.Log, reserveName, 0) }

// UseReserve frees the reserve with a commit. It is false if there was none. It syncs another descriptor than Flush,
// which must get the report of lost data.
func (s *Store) UseReserve() bool {
	err := at.Unlink(s.Log, reserveName, 0)
	if errors.Is(err, fs.ErrNotExist) || err != nil {
		return false
	}
	return btrfs.SyncFS(s.Log) == nil
}
