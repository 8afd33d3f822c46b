// Incoming: backups that are received from another DEST.

package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
)

// OpenIncoming opens the directory in which a backup is made before it is published. Only the caller may enter it. The
// holder of the lock of DEST works in it alone.
func (s *Store) OpenIncoming() (*os.File, error) {
	if err := at.Mkdir(s.logDir, incomingName, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return at.OpenDir(s.logDir, incomingName)
}

// sweepIncoming removes what a crashed run was receiving. If something else is there, the directory is moved aside.
func (s *Store) sweepIncoming(now time.Time) (removed []string, err error) {
	dir, err := at.OpenDir(s.logDir, incomingName)
	if err != nil {
		return nil, at.IgnoreNotExist(err)
	}
	defer dir.Close()
	names, err := at.Names(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		err := btrfs.DeleteSubvolume(dir, name)
		if errors.Is(err, btrfs.ErrNotSubvolume) || errors.Is(err, unix.ENOTDIR) {
			return removed, moveAside(s.logDir, incomingName, now)
		}
		if err != nil {
			return removed, err
		}
		removed = append(removed, name)
	}
	return removed, nil
}

// CanBeBackup reports whether a backup can have that name, and returns the time in it, in UTC.
func CanBeBackup(name string) (time.Time, bool) { return parseName(name, time.UTC) }

// WriteIncoming writes the record of a backup before it is published, so that no backup exists without one. The caller
// syncs it before that. An existing record belongs to another backup: ErrExist.
func (s *Store) WriteIncoming(ctx context.Context, record facts.Record) error {
	return s.changeRecord(ctx, s.PublishWait(), record.Name, func(old *facts.Record) (*facts.Record, error) {
		if old != nil {
			return nil, at.Error("record", s.Dir, record.Name, fs.ErrExist)
		}
		return &record, nil
	}, unsynced)
}

// ForgetIncoming removes the record of a backup that was not published.
func (s *Store) ForgetIncoming(ctx context.Context, name string) error {
	return s.forget(ctx, []string{name})
}

// PointCur points cur to the newest complete backup. The disk may have failed only once to open one that was just made.
func (s *Store) PointCur(now time.Time) error {
	st, err := s.ReadState(now.Location())
	if err == nil && len(st.Broken) > 0 {
		st, err = s.ReadState(now.Location())
	}
	if err == nil {
		_, err = s.repairCur(st, now)
	}
	return fail.Step("point "+CurName, err)
}
