// The lock: flock on the descriptor of DEST. There is no lock file, so none
// goes stale; rsync inherits the descriptor, so as long as any child of a dead
// run lives, nobody else starts.

package rsbtbackup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const lockPoll = 100 * time.Millisecond

// holder is what the run that has the lock wrote about itself, for the
// message of those it keeps out; nothing depends on it.
type holder struct {
	PID   int       `json:"pid"`
	Verb  string    `json:"verb"`
	Since time.Time `json:"since"`
}

// lock takes the exclusive lock, waiting at most wait for it.
func (s *store) lock(ctx context.Context, verb string, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	for {
		err := flock(s.dir, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			s.writeHolder(verb)
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		left := time.Until(deadline)
		if left <= 0 {
			return failf(ErrLocked, "%s is locked by %s", s.path, s.readHolder())
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(left, lockPoll)):
		}
	}
}

// writeHolder tries to: a disk too full for it must not keep out the verb
// that makes room.
func (s *store) writeHolder(verb string) {
	data, err := json.Marshal(holder{PID: os.Getpid(), Verb: verb, Since: time.Now().UTC()})
	if err == nil {
		err = writeFileAt(s.log, holderName, data, false)
	}
	if err != nil {
		_ = unlinkAt(s.log, holderName, 0) // rather nobody than the one before
	}
}

func (s *store) readHolder() string {
	data, err := readFileAt(s.log, holderName, 4096)
	var h holder
	if err != nil || json.Unmarshal(data, &h) != nil || h.PID == 0 {
		return "another run"
	}
	return fmt.Sprintf("another run (%s, pid %d, since %s)", h.Verb, h.PID, h.Since.Local().Format(time.DateTime))
}

func flock(f *os.File, how int) error {
	return atError("flock", f, "", retry(func() error { return unix.Flock(int(f.Fd()), how) }))
}
