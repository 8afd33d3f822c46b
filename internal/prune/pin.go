// Pin and Unpin: protecting a backup from every prune.

package prune

import (
	"context"
	"log/slog"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// PinOptions are those of rsbtbackup.PinOptions, where each field has its comment.
type PinOptions struct {
	Note     string
	LockWait time.Duration
	Now      time.Time
	Logger   *slog.Logger
}

// Pin protects the backup ref names, as in Delete, and returns it. It does not wait for a running backup. Errors match
// ErrNoBackup, ErrAmbiguous or ErrLocked.
func Pin(ctx context.Context, dest, ref string, o PinOptions) (facts.Snapshot, error) {
	b, _, err := changePin(ctx, dest, ref, &facts.PinInfo{At: store.Now(o.Now).UTC(), Note: o.Note}, o)
	return b, err
}

// Unpin removes the protection and reports whether there was one. A backup that is not pinned is not changed.
func Unpin(ctx context.Context, dest, ref string, o PinOptions) (b facts.Snapshot, was bool, err error) {
	return changePin(ctx, dest, ref, nil, o)
}

func changePin(ctx context.Context, dest, ref string, pin *facts.PinInfo, o PinOptions) (b facts.Snapshot, was bool, err error) {
	s, err := store.Open(dest)
	if err != nil {
		return facts.Snapshot{}, false, err
	}
	defer s.Close()
	s.LockWait = o.LockWait
	st, err := s.ReadState(time.Local)
	if err != nil {
		return facts.Snapshot{}, false, fail.Step("read", err)
	}
	found, err := findAll(st, []string{ref})
	if err != nil {
		return facts.Snapshot{}, false, fail.Step("find", err)
	}
	b = found[0]
	was = b.Record != nil && b.Record.Pin != nil
	if pin == nil && !was && b.RecordError == "" {
		return b, false, nil
	}
	// The log first: it refuses a DEST that belongs to another user, who could not read a record written by this one.
	sink, log, err := s.OpenLog(o.Logger)
	if err != nil {
		return b, was, err
	}
	defer store.CloseLog(sink, o.Logger)
	if b.Record, err = s.WritePin(ctx, b, pin); err != nil {
		return b, was, fail.Step("pin", err)
	}
	if b.Record.Pin != nil {
		log.Info("pinned", "backup", b.Name, "note", b.Record.Pin.Note)
	} else {
		log.Info("unpinned", "backup", b.Name)
	}
	return b, was, nil
}
