// Min-free: deleting further backups until enough space is free.

package prune

import (
	"context"
	"fmt"
	"slices"

	"github.com/dustin/go-humanize"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/space"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// forSpace deletes one backup after the other, oldest first. Each time it waits for the kernel's cleaner, also for
// subvolumes deleted before this run, and then reads the free space, because sizes do not tell exactly what a deletion
// frees. It deletes none if deleting all would not be enough.
func forSpace(ctx context.Context, c *store.Locked, o Options, p pruned) (pruned, error) {
	left := remaining(p.decisions)
	m := &space.Measurer{Store: c.Store}
	var first attempt
	has, err := measureRoom(c.Store)
	for asked := false; err == nil && !has.reached(o.MinFree); asked = true {
		p.room = has
		if p, err = settle(ctx, c, o, p, asked); err != nil || p.reached(o.MinFree) {
			return p, err
		}
		if !asked {
			free, err := unused(c.Store, p.free)
			if err != nil {
				return p, fail.Step("measure space", err)
			}
			if out, err := inReach(ctx, m, o, free, p.undeleted()); err != nil {
				return pruned{stop(p.decisions, outOfReach), p.deleted, out.room, p.atMost}, err
			}
		}
		if first.inVain(p.free) {
			return p.inVain(c.Store.Path, o, first.name)
		}
		i := expendable(left, o.keepMin())
		if i < 0 {
			return p.unreachable(c.Store.Path, o)
		}
		b := left[i]
		left = slices.Delete(left, i, i+1)
		if m.AtMost && first.name == "" {
			if first, err = begin(ctx, m, b.Name, p); err != nil {
				return p, fail.Step("measure space", err)
			}
		}
		if p, err = deleteOne(ctx, c, o, p, b); err != nil {
			return p, err
		}
		has, err = measureRoom(c.Store)
	}
	if err == nil {
		p.room = has
	}
	return p, err
}

// settle waits until the space of deleted backups is free, except of those that are held.
func settle(ctx context.Context, c *store.Locked, o Options, p pruned, asked bool) (pruned, error) {
	held, err := btrfs.WaitDeleted(ctx, c.Store.Dir)
	if err != nil {
		return p, fail.Step("wait for space", err)
	}
	if p.room, err = measureRoom(c.Store); err != nil || p.reached(o.MinFree) {
		return p, err
	}
	if len(c.State.Hidden) > 0 {
		return p.sizesUnknown(c.Store.Path, o, c.State.Hidden)
	}
	if ours := ownHeld(c.Store, held, p); len(ours) > 0 {
		noteHeld(c, ours)
		return p.heldUp(c.Store.Path, o, ours)
	}
	if len(held) > 0 && !asked {
		c.Log.Warn("deleted subvolumes of another program are in use; their space is not free", "subvolumes", len(held))
	}
	return p, nil
}

func deleteOne(ctx context.Context, c *store.Locked, o Options, p pruned, b facts.Snapshot) (pruned, error) {
	if err := c.Store.CheckUnchanged(b); err != nil { // minutes may have passed
		return p, fail.Step("delete", err)
	}
	c.Log.Info("not enough space is free", "free", p.free, "total", p.total, "next", b.Name)
	p.decisions = letGo(p.decisions, b.Name)
	p, err := deleteAll(ctx, c, p, []facts.Snapshot{b}, nil)
	if o.Progress != nil {
		o.Progress(len(p.deleted), 0)
	}
	return p, err
}

// attempt is the first deletion when sizes are only an upper bound: the space that it frees decides whether to
// continue.
type attempt struct {
	name         string
	frees, begun uint64 // bytes; what it should free, and what was free before
}

func begin(ctx context.Context, m *space.Measurer, name string, p pruned) (attempt, error) {
	planned := letGo(p.undeleted().decisions, name)
	err := m.Measure(ctx, planned)
	frees, _ := sum(planned)
	return attempt{name, frees, p.free}, err
}

// inVain is pure. It reports that less than half was freed: more than other writers, compression and rounding can
// explain.
func (a attempt) inVain(free uint64) bool {
	return a.name != "" && free < a.begun+a.frees/2
}

const outOfReach = "min-free is out of reach"

// fallsShort ends a prune with less free space than was asked for. why follows the amount in the message.
func (p pruned) fallsShort(dest string, o Options, reason, why string) (pruned, error) {
	p.decisions = stop(p.decisions, reason)
	return p, fail.Step("--min-free", fail.Kindf(facts.ErrNoSpace, "%s, less than %v, %s", p.text(dest), o.MinFree, why))
}

func (p pruned) text(dest string) string {
	return fmt.Sprintf("%s has %s of %s free", dest, humanize.Bytes(p.free), humanize.Bytes(p.total))
}

// inVain: other files share the data of the backups.
func (p pruned) inVain(dest string, o Options, name string) (pruned, error) {
	return p.fallsShort(dest, o, "deletions free less than expected", fmt.Sprintf("but deleting %s has freed less than half of the space expected: other files seem to share its data, so nothing more is deleted", name))
}

// outOfReach says how much would be free if all backups that may be deleted were. None is deleted.
func (p pruned) outOfReach(dest string, o Options, free uint64) (pruned, error) {
	p.decisions = stop(p.decisions, outOfReach)
	return p, fail.Step("--min-free", fail.Kindf(facts.ErrNoSpace, "%s would have about %s of %s free, less than %v, even with all backups deleted that may be deleted, so none is deleted for it", dest, humanize.Bytes(free), humanize.Bytes(p.total), o.MinFree))
}

// sizesUnknown: what a hidden backup shares with the others is not known, nor which backups to delete.
func (p pruned) sizesUnknown(dest string, o Options, hidden []string) (pruned, error) {
	return p.fallsShort(dest, o, "a backup is hidden", fmt.Sprintf("but something is mounted on %s: what a deletion would free is not known, so none is deleted for it", say.SomeNames(hidden)))
}

// unreachable says how much is free after all backups were deleted that may be.
func (p pruned) unreachable(dest string, o Options) (pruned, error) {
	return p.fallsShort(dest, o, "keep-min", "although all backups are deleted that may be deleted")
}
