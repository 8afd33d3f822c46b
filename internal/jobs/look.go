package jobs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup"
)

// look reads DEST.
func look(ctx context.Context, dest string, st State) (seen, error) {
	s := seen{checked: st.Steps[Check].OK, pruneFailed: st.Steps[Prune].failing(), steps: st.Steps}
	l, err := rsbtbackup.List(ctx, dest)
	if err != nil {
		return s, err
	}
	s.newest, s.verified = newest(l.Backups), lastVerified(l.Backups)
	return s, nil
}

// newest is when the newest complete backup was begun, or found to be still current.
func newest(backups []rsbtbackup.Snapshot) time.Time {
	for i := len(backups) - 1; i >= 0; i-- {
		if backups[i].Status == rsbtbackup.Complete {
			return backups[i].AsOf()
		}
	}
	return time.Time{}
}

func lastVerified(backups []rsbtbackup.Snapshot) time.Time {
	var last time.Time
	for _, b := range backups {
		if b.Record != nil && b.Record.Verified != nil && b.Record.Verified.At.After(last) {
			last = b.Record.Verified.At
		}
	}
	return last
}

// DiskAbsent reports whether dest, which could not be used because of err, is where its disk would be mounted. If dest,
// or the nearest directory above it that exists, is on another btrfs than /, the disk is there, and its directory is
// missing or not initialised: a job that skips this would never make a backup.
func DiskAbsent(dest string, err error) bool {
	if !errors.Is(err, rsbtbackup.ErrDest) && !errors.Is(err, rsbtbackup.ErrNotBtrfs) && !errors.Is(err, rsbtbackup.ErrNotInitialized) {
		return false
	}
	var st unix.Statfs_t
	for unix.Statfs(dest, &st) != nil && dest != filepath.Dir(dest) {
		dest = filepath.Dir(dest)
	}
	disk := diskOf(dest)
	return uint32(st.Type) != unix.BTRFS_SUPER_MAGIC || disk == "" || disk == diskOf("/")
}

// diskOf identifies the filesystem of a path, equal for all its mounts: stat returns another device number for every
// subvolume of btrfs, but the mount table has that of the filesystem. "" means unknown.
func diskOf(path string) string {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &st); err != nil || st.Mask&unix.STATX_MNT_ID == 0 {
		return "" // before Linux 5.8
	}
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	defer table.Close()
	id := fmt.Sprint(st.Mnt_id)
	for lines := bufio.NewScanner(table); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 2 && fields[0] == id {
			return fields[2]
		}
	}
	return ""
}
