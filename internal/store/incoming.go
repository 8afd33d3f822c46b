// Incoming: backups that come from another DEST, as a whole, and not from a
// transfer of ours.

package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
)

// OpenIncoming opens the directory in which a backup is made before it is
// published. Nobody but the caller may enter it. Who has the lock of DEST works
// in it alone.
func (s *Store) OpenIncoming() (*os.File, error) {
	if err := at.Mkdir(s.Log, incomingName, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return at.OpenDir(s.Log, incomingName)
}

// sweepIncoming removes what a run died receiving.
func (s *Store) sweepIncoming() (removed []string, err error) {
	dir, err := at.OpenDir(s.Log, incomingName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := at.Names(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := btrfs.DeleteSubvolume(dir, name); err != nil {
			return removed, err
		}
		removed = append(removed, name)
	}
	return removed, nil
}

// CanBeBackup tells whether a backup can have that name, and the time it has by it, in UTC.
func CanBeBackup(name string) (time.Time, bool) { return parseName(name, time.UTC) }

// WriteIncoming writes, durably, the record of a backup that is about to be
// published, so that none ever stands without it. One that is there already is
// that of another backup: ErrExist.
func (s *Store) WriteIncoming(ctx context.Context, record facts.Record) error {
	return s.changeRecord(ctx, s.Patience(), record.Name, func(old *facts.Record) (*facts.Record, error) {
		if old != nil {
			return nil, at.Error("record", s.Dir, record.Name, fs.ErrExist)
		}
		return &record, nil
	})
}

// ForgetIncoming takes the record back of a backup that was not published.
func (s *Store) ForgetIncoming(ctx context.Context, name string) error {
	return s.forget(ctx, []string{name})
}

// PointCur lets cur name the newest complete backup there is now.
func (s *Store) PointCur(now time.Time) error {
	st, err := s.ReadState(now.Location())
	if err == nil {
		_, err = s.repairCur(st, now)
	}
	return fail.Step("point "+CurName, err)
}
