// Prune: deleting by policy, then, if asked, until enough space is free.

package prune

import (
	"context"
	"errors"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/space"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// pruned is the state of a prune. Each step takes one and returns the next.
type pruned struct {
	decisions []facts.Decision
	deleted   []string
	room
	atMost bool // Frees in the decisions is an upper bound
}

// room is the free space in DEST, in bytes.
type room struct{ free, total uint64 }

func measureRoom(s *store.Store) (room, error) {
	free, total, err := s.Space()
	return room{free, total}, fail.Step("measure space", err)
}

func (r room) reached(want facts.MinFree) bool { return space.Reached(want, r.free, r.total) }

func (p pruned) report(dest string) *Report {
	return &Report{Dest: dest, Decisions: p.decisions, Deleted: p.deleted, Free: p.free, Total: p.total, AtMost: p.atMost}
}

// Run deletes the backups that o.Policy does not keep; see rsbtbackup.Prune. The report is never nil.
func Run(ctx context.Context, dest string, o Options) (*Report, error) {
	if err := o.Check(); err != nil {
		return &Report{Dest: dest, DryRun: o.DryRun}, fail.Step("options", err)
	}
	if o.DryRun {
		return preview(ctx, dest, o)
	}
	report := &Report{Dest: dest}
	err := store.Change(ctx, dest, "prune", o.LockWait, o.Now, o.Logger, func(c *store.Locked) (err error) {
		c.State.WarnOfHidden(c.Log)
		c.State.WarnOfBroken(c.Log)
		report, err = Locked(ctx, c, o)
		report.Repairs = c.Repairs
		return err
	})
	return report, err
}

// Locked prunes a DEST that is locked and repaired. The report is never nil.
func Locked(ctx context.Context, c *store.Locked, o Options) (*Report, error) {
	p, err := byPolicy(ctx, c, o)
	if err == nil && !space.IsZero(o.MinFree) {
		p, err = forSpace(ctx, c, o, p)
	}
	if err == nil && o.Wait && len(p.deleted) > 0 {
		err = waitForSpace(ctx, c, c.State.Backups)
	}
	left, roomErr := measureRoom(c.Store)
	p.room = left
	return p.report(c.Store.Path), errors.Join(err, roomErr)
}

// byPolicy deletes what the policy does not keep.
func byPolicy(ctx context.Context, c *store.Locked, o Options) (pruned, error) {
	had, err := measureRoom(c.Store)
	if err != nil {
		return pruned{}, err
	}
	if err := space.Possible(o.MinFree, had.total); err != nil {
		return pruned{room: had}, fail.Step("options", err)
	}
	if err := unusual(c.State, o, c.Now, readNote(c.Store)); err != nil && !o.Force {
		return pruned{decisions: stop(keepAll(c.State.Backups), "stopped by a safety guard"), room: had}, fail.Step("refused", err)
	}
	decisions := Decide(c.State.Backups, o.Policy, c.Now)
	p, err := deleteAll(ctx, c, pruned{decisions: decisions, room: had}, doomedOf(decisions), o.Progress)
	if err == nil && !o.Policy.IsEmpty() {
		writeNote(c, note{Of: len(p.decisions), Deleted: len(p.deleted)})
	}
	return p, err
}

// deleteAll deletes backups; those that were pinned meanwhile are kept.
func deleteAll(ctx context.Context, c *store.Locked, p pruned, doomed []facts.Snapshot, progress func(done, total int)) (pruned, error) {
	var pinned []string
	gone, err := c.DeleteAll(ctx, doomed, store.Removal{Spared: func(b facts.Snapshot) { pinned = append(pinned, b.Name) }, Progress: progress})
	p.decisions, p.deleted = spare(p.decisions, pinned), slices.Concat(p.deleted, gone)
	return p, err
}

// waitForSpace waits until the space of deleted backups is free, and warns about those that are held.
func waitForSpace(ctx context.Context, c *store.Locked, deleted []facts.Snapshot) error {
	held, err := btrfs.WaitDeleted(ctx, c.Store.Dir)
	if err != nil {
		return fail.Step("wait for space", err)
	}
	for _, b := range deleted {
		if slices.Contains(held, b.ID) {
			c.Log.Warn("its space becomes free when the programs that use it close it", "backup", b.Name)
		}
	}
	return nil
}
