// The lock: flock on the descriptor of DEST. There is no lock file that could go stale. rsync inherits the descriptor,
// so no other run starts while a child of a crashed run lives.

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
)

const lockPoll = 100 * time.Millisecond

// Holder describes the run that has the lock, for the message to other runs; nothing depends on it.
type Holder struct {
	PID   int       `json:"pid"`
	Verb  string    `json:"verb"`
	Since time.Time `json:"since"`
}

// lock takes the exclusive lock, waiting at most wait for it.
func (s *Store) lock(ctx context.Context, verb string, wait time.Duration) error {
	locked, err := flockWithin(ctx, s.Dir, wait)
	if err != nil {
		return err
	}
	if !locked {
		return fail.Kindf(facts.ErrLocked, "%s is locked by %s", s.Path, s.readHolder())
	}
	s.writeHolder(verb)
	return nil
}

// flockWithin takes the exclusive lock on f, or is false if another process keeps it during all of wait. It polls,
// because flock(2) cannot be cancelled by ctx.
func flockWithin(ctx context.Context, f *os.File, wait time.Duration) (locked bool, err error) {
	deadline := time.Now().Add(wait)
	for {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err == nil, err
		}
		left := time.Until(deadline)
		if left <= 0 {
			return false, nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(left, lockPoll)):
		}
	}
}

// writeHolder ignores errors: a full disk must not prevent the verb that frees space.
func (s *Store) writeHolder(verb string) {
	if s.WriteNote(holderName, Holder{PID: os.Getpid(), Verb: verb, Since: time.Now().UTC()}) != nil {
		_ = at.Unlink(s.logDir, holderName, 0) // no holder is better than a wrong one
	}
}

func (s *Store) readHolder() string {
	var h Holder
	if !s.ReadNote(holderName, &h) || h.PID == 0 {
		return "another run"
	}
	return h.describe(unix.Kill(h.PID, 0) != unix.ESRCH)
}

// describe distinguishes an active run from one that was killed and whose rsync, which has inherited the lock, has not
// ended yet.
func (h Holder) describe(alive bool) string {
	since := h.Since.Local().Format(time.DateTime)
	if alive {
		return fmt.Sprintf("another run (%s, pid %d, since %s)", h.Verb, h.PID, since)
	}
	return fmt.Sprintf("another run, maybe the rsync of one that was killed (%s, since %s; its pid %d is gone)", h.Verb, since, h.PID)
}

func flock(f *os.File, how int) error {
	return at.Error("flock", f, "", at.Retry(func() error { return unix.Flock(int(f.Fd()), how) }))
}
