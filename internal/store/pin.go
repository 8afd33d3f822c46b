package store

import (
	"cmp"
	"context"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
)

// WritePin checks again under the lock that the backup exists: it may just have been deleted.
//
// A deletion must be durable before the removal of its record is: fsync of a record makes all removals in that
// directory durable, and if a power cut then undid the deletion, an incomplete backup would be left without its record.
// On btrfs fsync of a directory that lost a subvolume in the open transaction commits all of it (Linux 6.18).
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
