package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
)

// RunningNow returns the run that has the lock, or nil. Trying to lock would find out too, but could make a backup fail
// that starts in that instant. A run in another PID namespace is not listed, and so not found.
func (s *Store) RunningNow(m mounts.Mount) *Holder {
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(s.Dir.Fd()), &st); err != nil {
		return nil
	}
	var h Holder
	if !s.ReadNote(holderName, &h) {
		return nil
	}
	if !slices.Contains(lockOwners(string(locks), m.Device, st.Ino), h.PID) {
		return nil
	}
	return &h
}

// lockOwners returns the processes with an exclusive flock on an inode. The list names the filesystem, not the
// subvolume, so equal inode numbers in several subvolumes can be distinguished only by owner. The lines look like
//
//	1: FLOCK  ADVISORY  WRITE 16378 00:6a:259 0 EOF
func lockOwners(locks, device string, inode uint64) []int {
	major, minor, _ := strings.Cut(device, ":")
	ma, _ := strconv.ParseUint(major, 10, 32)
	mi, _ := strconv.ParseUint(minor, 10, 32)
	want := fmt.Sprintf("%02x:%02x:%d", ma, mi, inode)
	var pids []int
	for line := range strings.Lines(locks) {
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "FLOCK" || f[3] != "WRITE" || f[5] != want {
			continue
		}
		if pid, err := strconv.Atoi(f[4]); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// PendingSince is when pending was made; zero if there is none.
func (s *Store) PendingSince() time.Time {
	d, err := btrfs.OpenDirAt(s.Dir, s.PendingName())
	if err != nil {
		return time.Time{}
	}
	defer d.Close()
	info, err := btrfs.SubvolumeInfo(d)
	if err != nil {
		return time.Time{}
	}
	return info.OTime
}

// LogState describes activity.log.
type LogState struct {
	Kind    EntryKind
	Regular bool
	Size    int64
	Access  error // why it cannot be written to
}

func (s *Store) ReadLogState() LogState {
	if s.logLost != nil {
		return LogState{Kind: Other, Regular: true, Access: s.logLost}
	}
	st, err := at.Stat(s.logDir, LogFileName)
	if errors.Is(err, fs.ErrNotExist) {
		return LogState{}
	}
	if err != nil {
		return LogState{Kind: Other, Regular: true, Access: err}
	}
	l := LogState{Kind: Other, Regular: st.Mode&unix.S_IFMT == unix.S_IFREG, Size: st.Size}
	l.Access = at.Retry(func() error { return unix.Faccessat(int(s.logDir.Fd()), LogFileName, unix.W_OK, unix.AT_EACCESS) })
	return l
}
