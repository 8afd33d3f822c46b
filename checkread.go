// What Check reads beyond the state of DEST: who holds the lock, how DEST is
// mounted, and the log.

package rsbtbackup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

// readMount is the zero value where /proc does not tell.
func readMount(dir *os.File) mount {
	var st unix.Statx_t
	if err := unix.Statx(int(dir.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return mount{}
	}
	table, err := readMounts()
	i := slices.IndexFunc(table, func(m mount) bool { return m.id == st.Mnt_id })
	if err != nil || i < 0 {
		return mount{}
	}
	return table[i]
}

// runningNow returns the run that has the lock, or nil. Trying the lock would
// tell as well, but would keep out a backup that starts in that instant.
// A run in another PID namespace is not listed, and so not seen.
func (s *store) runningNow(m mount) *holder {
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(s.dir.Fd()), &st); err != nil {
		return nil
	}
	data, err := readFileAt(s.log, holderName, 4096)
	var h holder
	if err != nil || json.Unmarshal(data, &h) != nil {
		return nil
	}
	if !slices.Contains(lockOwners(string(locks), m.device, st.Ino), h.PID) {
		return nil
	}
	return &h
}

// lockOwners returns who has an exclusive flock on an inode. The list names
// the filesystem, not the subvolume, so inodes of one number in several
// subvolumes can not be told apart but by the owner. The lines are such as
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

// pendingSince is when pending was made; zero if there is none.
func (s *store) pendingSince() time.Time {
	d, err := btrfs.OpenDirAt(s.dir, s.pendingName())
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

// logState describes activity.log.
type logState struct {
	kind    entryKind
	regular bool
	size    int64
	access  error // why it can not be written to
}

func (s *store) readLogState() logState {
	st, err := statAt(s.log, logFileName)
	if errors.Is(err, fs.ErrNotExist) {
		return logState{}
	}
	if err != nil {
		return logState{kind: other, regular: true, access: err}
	}
	l := logState{kind: other, regular: st.Mode&unix.S_IFMT == unix.S_IFREG, size: st.Size}
	l.access = retry(func() error { return unix.Faccessat(int(s.log.Fd()), logFileName, unix.W_OK, unix.AT_EACCESS) })
	return l
}
