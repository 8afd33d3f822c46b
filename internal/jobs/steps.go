package jobs

import (
	"errors"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// seen is what DEST and the small state file say before a job begins.
type seen struct {
	newest   time.Time // when the newest complete backup was begun, or found to be still current; zero: there is none
	verified time.Time // when any backup was last read back
	checked  time.Time // when DEST was last checked
	// pruneFailed: the last prune did not succeed, and no later one did.
	pruneFailed bool
	steps       map[Step]StepState
}

// fresh reports whether the newest backup is young enough. One from the future is due to a wrong clock, and does not
// count.
func (s seen) fresh(now time.Time, ifOlderThan time.Duration) bool {
	age := now.Sub(s.newest)
	return ifOlderThan > 0 && !s.newest.IsZero() && age >= 0 && age < ifOlderThan
}

// following returns the steps that are due after a backup that ended with err, or was not made since the last one is
// fresh.
//
// Without a usable DEST no step is possible. Copies are made before anything is deleted; also without a new backup,
// since the last copy may have failed. Backups are pruned when one was published, when the last prune failed, and when
// the disk is full, so that the next run has space. Backups are verified whether or not the source could be reached; a
// check would only repeat that the backup failed.
func following(j config.Job, s seen, err error, wasFresh bool, now time.Time) []Step {
	for _, unusable := range []error{rsbtbackup.ErrDest, rsbtbackup.ErrNotBtrfs, rsbtbackup.ErrNotInitialized, rsbtbackup.ErrLocked} {
		if errors.Is(err, unusable) {
			return nil
		}
	}
	var steps []Step
	there := err == nil || errors.Is(err, rsbtbackup.ErrIncomplete)
	published := there && !wasFresh
	for _, c := range j.Copies {
		if !wasFresh || s.steps[copyStep(c.Name)].OK.Before(s.newest) {
			steps = append(steps, copyStep(c.Name))
		}
	}
	if j.Prunes() && (published || wasFresh && s.pruneFailed || errors.Is(err, rsbtbackup.ErrNoSpace)) {
		steps = append(steps, Prune)
	}
	if j.Verify.Every.Due(s.verified, now) && !(j.Verify.Every.Always && wasFresh) {
		steps = append(steps, Verify)
		if j.Verify.Against && err == nil {
			steps = append(steps, Against)
		}
	}
	if there && j.Check.Every.Due(s.checked, now) && !(j.Check.Every.Always && wasFresh) {
		steps = append(steps, Check)
	}
	return steps
}

// unreachable reports an error that may be temporary: a source on another host that does not answer.
func unreachable(j config.Job, err error) bool {
	return errors.Is(err, rsbtbackup.ErrSource) && config.Host(j.Backup.Source) != ""
}
