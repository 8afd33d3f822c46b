package jobs

import (
	"context"
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// copy fills the copy of a step. An absent removable disk is no failure.
func (r runner) copy(ctx context.Context, j config.Job, v *Verdict) (err error) {
	for _, c := range j.Copies {
		if copyStep(c.Name) != v.Step {
			continue
		}
		if c.Host() != "" && j.NoMetered && r.Metered(ctx) {
			v.Reason = linkPaid
			return nil
		}
		o := c.Options
		o.LockWait, o.DryRun, o.Logger, o.Now = j.Backup.LockWait, r.DryRun, r.log(j), r.Now()
		o.Progress = func(p rsbtbackup.CopyProgress) { r.Watcher.Copies(j, p) }
		v.Copy, err = rsbtbackup.Copy(ctx, j.Backup.Dest, c.Target, nil, o)
		if c.Removable && c.Host() == "" && DiskAbsent(c.Target, err) {
			v.Reason, err = "its removable disk is absent: "+err.Error(), nil
		}
	}
	return err
}

// CopyStanding is the state of a copy.
type CopyStanding struct {
	Name   string `json:"name"`
	Target string `json:"target"`
	// Newest is when the newest complete backup that is known to be in it was begun, or found to be still current;
	// zero: none.
	Newest time.Time `json:"newest,omitzero"`
	Late   bool      `json:"late"` // Newest is older than max-age
	Absent bool      `json:"absent,omitempty"`
	Error  string    `json:"error,omitempty"` // why a directory on this machine cannot be read
}

// CopiesStand returns the state of the copies of a job. A copy on this machine is read. For a copy on another host, or
// on an absent disk, only the time is known at which it last was complete. here is what DEST has.
func CopiesStand(ctx context.Context, j config.Job, stateDir string, here *rsbtbackup.Listing, now time.Time) []CopyStanding {
	st, _ := ReadState(stateDir, j.Name) // without it the copies on other hosts are reported as late
	var all []CopyStanding
	for _, c := range j.Copies {
		at := copied(here, st.Steps[copyStep(c.Name)].OK)
		if c.Host() != "" {
			all = append(all, copyStanding(j, c, at, nil, false, now))
			continue
		}
		l, err := rsbtbackup.List(ctx, c.Target)
		absent := c.Removable && DiskAbsent(c.Target, err)
		switch {
		case err == nil:
			at = newestCopied(here, l)
		case !absent:
			at = time.Time{} // what was in it may be lost
		}
		all = append(all, copyStanding(j, c, at, err, absent, now))
	}
	return all
}

// copied is the time of the newest complete backup that existed when the copy last was complete.
func copied(here *rsbtbackup.Listing, at time.Time) time.Time {
	var last time.Time
	if here == nil {
		return last
	}
	for _, b := range here.Backups {
		ended := b.Time
		if b.Record != nil && b.Record.Ended.After(ended) {
			ended = b.Record.Ended
		}
		if b.Status == rsbtbackup.Complete && !ended.After(at) {
			last = b.AsOf()
		}
	}
	return last
}

// newestCopied is the time of the newest complete backup in a copy. The record of the original backup says whether the
// source was found unchanged since then.
func newestCopied(here, there *rsbtbackup.Listing) time.Time {
	at := newest(there.Backups)
	if here == nil {
		return at
	}
	for _, t := range slices.Backward(there.Backups) {
		if t.Status != rsbtbackup.Complete {
			continue
		}
		for _, h := range here.Backups {
			if h.Name == t.Name && origin(h) == origin(t) && h.AsOf().After(at) {
				at = h.AsOf()
			}
		}
		break
	}
	return at
}

// origin is the same for all copies of a backup.
func origin(b rsbtbackup.Snapshot) btrfs.UUID {
	if b.Record != nil && b.Record.Copied != nil {
		return b.Record.Copied.UUID
	}
	return b.UUID
}

// copyStanding judges a copy. It is pure.
func copyStanding(j config.Job, c config.Copy, at time.Time, err error, absent bool, now time.Time) CopyStanding {
	s := CopyStanding{Name: c.Name, Target: c.Target, Newest: at, Absent: absent}
	if err != nil {
		s.Error = err.Error()
	}
	limit := c.MaxAge
	if limit == 0 && !c.Removable {
		limit = 2 * ageLimit(j)
	}
	switch {
	case s.Absent && limit == 0:
	case at.IsZero():
		s.Late = err == nil || !c.Removable || s.Absent
	default:
		s.Late = limit > 0 && now.Sub(at) > limit
	}
	return s
}
