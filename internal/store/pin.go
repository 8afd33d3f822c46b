package store

import (
	"cmp"
	"context"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

// WritePin checks again under the lock that the backup exists: it may just have been deleted.
//
// A deletion must be durable before the removal of its record is: fsync of a record makes all removals in that
// directory durable, and if a power cut then undid the deletion, an incomplete backup would be left without its record.
// On btrfs fsync of a directory that lost a subvolume in the open transaction commits all of it (Linux 6.18).
func (s *Store) WritePin(ctx context.Context, b facts.Snapshot, pin *facts.PinInfo) (*facts.Record, error) {
	var written *facts.Record
	err := s.note(ctx, cmp.Or(s.LockWait, recordsWait), b, func(r *facts.Record) {
		r.Pin = pin
		written = r
	})
	return written, err
}

// WriteNews adds to the record of a copy what became known of its backup later: a pin, if it has none, and what Verify
// has found over there. Nothing is taken away.
func (s *Store) WriteNews(ctx context.Context, b facts.Snapshot, pin *facts.PinInfo, verified *facts.Verification) error {
	return s.note(ctx, s.PublishWait(), b, func(r *facts.Record) {
		if r.Copied == nil {
			return
		}
		if pin != nil {
			r.Copied.PinnedAt = pin.At
			if r.Pin == nil {
				r.Pin = pin
			}
		}
		if verified != nil {
			r.Copied.Verified = verified
		}
	})
}
