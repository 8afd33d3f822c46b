// The reserve: a little allocated space, for what must be written when the disk is full: why the run failed, and that
// the next run can continue.

package store

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

const (
	reserveSize  = 1 << 20
	reserveLeast = 64 << 10
	reservePiece = 32 << 10
	reserveBlock = 4 << 10
)

// KeepReserve allocates the reserve for this run, unless it exists, or as much of it as there is space for. Errors are
// ignored: without a reserve a full disk only loses more.
func (s *Store) KeepReserve() {
	st, err := at.Stat(s.logDir, reserveName)
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Blocks*512 >= reserveLeast {
		return
	}
	if err := at.IgnoreNotExist(at.Unlink(s.logDir, reserveName, 0)); err != nil {
		return
	}
	f, err := at.Open(s.logDir, reserveName, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	if at.GiveToOwner(f, s.logDir) != nil || !allocate(f) {
		_ = at.Unlink(s.logDir, reserveName, 0)
	}
}

// allocate gives f the size of the reserve, or what is left of the disk. It asks for pieces, as the kernel allocates
// all or nothing.
func allocate(f *os.File) bool {
	size := int64(0)
	for _, piece := range []int64{reserveSize, reservePiece, reserveBlock} {
		for size+piece <= reserveSize {
			if at.Retry(func() error { return unix.Fallocate(int(f.Fd()), 0, size, piece) }) != nil {
				break
			}
			size += piece
		}
	}
	return size >= reserveLeast
}

// EndReserve removes the reserve at the end of the run, after the log. A run that found the disk full keeps it for the
// next one, as another program could use its space before that.
func (s *Store) EndReserve(full bool) {
	if full {
		s.KeepReserve()
		return
	}
	_ = at.Unlink(s.logDir, reserveName, 0)
}

// UseReserve frees the reserve with a commit. It is false if there was none. It syncs another descriptor than Flush,
// which must get the report of lost data.
func (s *Store) UseReserve() bool {
	err := at.Unlink(s.logDir, reserveName, 0)
	if errors.Is(err, fs.ErrNotExist) || err != nil {
		return false
	}
	return btrfs.SyncFS(s.logDir) == nil
}
