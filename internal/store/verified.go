package store

import (
	"context"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
)

// MetadataDamaged reports whether Verify found damaged metadata in the newest backup. A snapshot of it would have the
// damage too, and anything referenced by a lost block cannot even be removed: after that the kernel refuses to make a
// snapshot of the subvolume (Linux 6.18).
func MetadataDamaged(newest *facts.Snapshot) bool {
	return KnownDamaged(newest) && newest.Record.Verified.Metadata
}

// KnownDamaged reports whether Verify found damage in a backup.
func KnownDamaged(b *facts.Snapshot) bool {
	return b != nil && b.Record != nil && b.Record.Verified != nil && b.Record.Verified.Result == facts.Damaged
}

// LastClean returns the index of the newest backup found clean, or -1.
func LastClean(backups []facts.Snapshot) int {
	for i := len(backups) - 1; i >= 0; i-- {
		if r := backups[i].Record; backups[i].Unreadable == "" && r != nil && r.Verified != nil && r.Verified.Result == facts.Clean {
			return i
		}
	}
	return -1
}

// WriteVerified checks again under the lock of the records, as WritePin does: the backup may just have been deleted.
func (s *Store) WriteVerified(ctx context.Context, wait time.Duration, b facts.Snapshot, found facts.Verification) error {
	return s.note(ctx, wait, b, func(r *facts.Record) { r.Verified = &found })
}

// WriteCompared notes what a comparison with a copy has found.
func (s *Store) WriteCompared(ctx context.Context, b facts.Snapshot, found facts.Comparison) error {
	return s.note(ctx, s.PublishWait(), b, func(r *facts.Record) { r.Compared = &found })
}

func (s *Store) note(ctx context.Context, wait time.Duration, b facts.Snapshot, change func(*facts.Record)) error {
	return s.changeRecord(ctx, wait, b.Name, func(r *facts.Record) (*facts.Record, error) {
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
		change(r)
		return r, nil
	}, durable)
}

// WriteUnchanged durably notes that the source was found to equal b, with the scan for the next run.
func (s *Store) WriteUnchanged(ctx context.Context, b facts.Snapshot, when time.Time, scan *facts.Scan) error {
	return s.changeRecord(ctx, s.PublishWait(), b.Name, func(r *facts.Record) (*facts.Record, error) {
		there, err := s.has(b)
		if err != nil {
			return nil, err
		}
		if !there || r == nil {
			return nil, fail.Kindf(facts.ErrNoBackup, "%s was deleted meanwhile", b.Name)
		}
		runs := 1
		if r.Unchanged != nil {
			runs += r.Unchanged.Runs
		}
		r.Unchanged = &facts.UnchangedInfo{At: when.UTC(), Runs: runs}
		if scan != nil {
			r.Scan = scan
		}
		return r, at.FsyncDir(s.logDir) // the catalog, if there is a new one
	}, durable)
}
