package store

import (
	"cmp"
	"context"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
)

// WritePin looks again under the lock: the backup may just have been deleted.
//
// Whatever was deleted must be so durably before the record is: fsync in the
// records makes every record removed there stay away, and a deletion that was
// undone by a power cut alone would leave a backup of which nobody knows that
// it is incomplete. On btrfs fsync of a directory that lost a subvolume in the
// open transaction commits all of it (Linux 6.18).
func (s *Store) WritePin(ctx context.Context, b facts.Snapshot, pin *facts.PinInfo) (*facts.Record, error) {
	var written *facts.Record
	err := s.changeRecord(ctx, cmp.Or(s.LockWait, recordsWait), b.Name, func(r *facts.Record) (*facts.Record, error) {
		if err := at.FsyncDir(s.Dir); err != nil {
			return nil, err
		}
		there, err := s.has(b)
		if err != nil {
			return nil, err
		}
		if !there {
			return nil, fail.Kindf(facts.ErrNoBackup, "%s was deleted meanwhile", b.Name)
		}
		if r == nil {
			r = &facts.Record{Version: 1, Name: b.Name, Status: facts.Complete}
		}
		r.Pin = pin
		written = r
		return r, nil
	})
	return written, err
}
