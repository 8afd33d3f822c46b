// Pin and Unpin: protecting a backup from every prune.

package rsbtbackup

import (
	"cmp"
	"context"
	"log/slog"
	"time"
)

// PinOptions are the options of Pin and Unpin. The zero value is usable.
type PinOptions struct {
	Note string // why; kept in the record
	// LockWait is how long to wait for another process that changes records; 0
	// is a minute.
	LockWait time.Duration
	Now      time.Time // zero is the present
	Logger   *slog.Logger
}

// Pin protects the backup ref names, as in Delete, and returns it. It does not
// wait for a running backup. Errors match ErrNoBackup, ErrAmbiguous or ErrLocked.
func Pin(ctx context.Context, dest, ref string, o PinOptions) (Snapshot, error) {
	now := o.Now
	if now.IsZero() {
		now = time.Now()
	}
	b, _, err := changePin(ctx, dest, ref, &PinInfo{At: now.UTC(), Note: o.Note}, o)
	return b, err
}

// Unpin takes the protection away again and tells whether there was one; a
// backup that is not pinned stays as it is.
func Unpin(ctx context.Context, dest, ref string, o PinOptions) (b Snapshot, was bool, err error) {
	return changePin(ctx, dest, ref, nil, o)
}

func changePin(ctx context.Context, dest, ref string, pin *PinInfo, o PinOptions) (b Snapshot, was bool, err error) {
	s, err := openStore(dest)
	if err != nil {
		return Snapshot{}, false, err
	}
	defer s.close()
	s.lockWait = o.LockWait
	st, err := s.readState(time.Local)
	if err != nil {
		return Snapshot{}, false, step("read", err)
	}
	found, err := findAll(st, []string{ref})
	if err != nil {
		return Snapshot{}, false, step("find", err)
	}
	b = found[0]
	was = b.Record != nil && b.Record.Pin != nil
	if pin == nil && !was && b.RecordError == "" {
		return b, false, nil
	}
	// The log first: it refuses a DEST of somebody else, who could not read a
	// record we write there.
	sink, log, err := s.openLog(o.Logger)
	if err != nil {
		return b, was, err
	}
	defer closeLog(sink, o.Logger)
	if b.Record, err = s.writePin(ctx, b, pin); err != nil {
		return b, was, step("pin", err)
	}
	if b.Record.Pin != nil {
		log.Info("pinned", "backup", b.Name, "note", b.Record.Pin.Note)
	} else {
		log.Info("unpinned", "backup", b.Name)
	}
	return b, was, nil
}

// writePin looks again under the lock: the backup may just have been deleted.
//
// Whatever was deleted must be so durably before the record is: fsync in the
// records makes every record removed there stay away, and a deletion that was
// undone by a power cut alone would leave a backup of which nobody knows that
// it is incomplete. On btrfs fsync of a directory that lost a subvolume in the
// open transaction commits all of it (Linux 6.18).
func (s *store) writePin(ctx context.Context, b Snapshot, pin *PinInfo) (*Record, error) {
	var written *Record
	err := s.changeRecord(ctx, cmp.Or(s.lockWait, recordsWait), b.Name, func(r *Record) (*Record, error) {
		if err := fsyncDir(s.dir); err != nil {
			return nil, err
		}
		there, err := s.has(b)
		if err != nil {
			return nil, err
		}
		if !there {
			return nil, failf(ErrNoBackup, "%s was deleted meanwhile", b.Name)
		}
		if r == nil {
			r = &Record{Version: 1, Name: b.Name, Status: Complete}
		}
		r.Pin = pin
		written = r
		return r, nil
	})
	return written, err
}
