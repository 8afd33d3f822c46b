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

// forSpace deletes one backup after the other, oldest first, and looks at the real free space each time the cleaner is
// done, also with what was deleted before this run: what a deletion frees cannot be told from sizes. It deletes none
// where even the whole history would not do.
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
				return p, fail.Step("measure", err)
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
				return p, fail.Step("measure", err)
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

// settle waits until what was deleted has given its space back, as far as it does.
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
		c.Log.Warn("deleted subvolumes of another program are in use, and keep their space", "subvolumes", len(held))
	}
	return p, nil
}

func deleteOne(ctx context.Context, c *store.Locked, o Options, p pruned, b facts.Snapshot) (pruned, error) {
	if err := c.Store.CheckUnchanged(b); err != nil { // minutes may have gone by
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

// attempt is the first deletion where the sizes are but an upper bound: what it gives back tells whether to go on.
type attempt struct {
	name         string
	frees, begun uint64 // bytes; what it is to free, and what was free before
}

func begin(ctx context.Context, m *space.Measurer, name string, p pruned) (attempt, error) {
	planned := letGo(p.undeleted().decisions, name)
	err := m.Measure(ctx, planned)
	frees, _ := sum(planned)
	return attempt{name, frees, p.free}, err
}

// inVain is pure. Less than half is more than what others write meanwhile, and than what compression and rounding make
// of it.
func (a attempt) inVain(free uint64) bool {
	return a.name != "" && free < a.begun+a.frees/2
}

const outOfReach = "min-free is out of reach"

// fallsShort ends a prune with less free than was asked for. why comes after how much that is.
func (p pruned) fallsShort(dest string, o Options, reason, why string) (pruned, error) {
	p.decisions = stop(p.decisions, reason)
	return p, fail.Step("min-free", fail.Kindf(facts.ErrNoSpace, "%s, less than %v, %s", p.text(dest), o.MinFree, why))
}

func (p pruned) text(dest string) string {
	return fmt.Sprintf("%s has %s of %s free", dest, humanize.Bytes(p.free), humanize.Bytes(p.total))
}

// inVain: something else has what the backups have.
func (p pruned) inVain(dest string, o Options, name string) (pruned, error) {
	return p.fallsShort(dest, o, "deletions free less than was to be seen", fmt.Sprintf("and the deletion of %s has freed less than half of what it has alone, as far as can be told: something else has its data too, so nothing more is deleted", name))
}

// outOfReach says what MinFree would come to if all that may go went. None does.
func (p pruned) outOfReach(dest string, o Options, free uint64) (pruned, error) {
	p.decisions = stop(p.decisions, outOfReach)
	return p, fail.Step("min-free", fail.Kindf(facts.ErrNoSpace, "%s would have about %s of %s free, less than %v, with every backup deleted that may go, so none is deleted for it", dest, humanize.Bytes(free), humanize.Bytes(p.total), o.MinFree))
}

// sizesUnknown: what a hidden backup shares with those that may go is not known, nor whether they are the ones to go.
func (p pruned) sizesUnknown(dest string, o Options, hidden []string) (pruned, error) {
	return p.fallsShort(dest, o, "a backup is hidden", fmt.Sprintf("but something is mounted on %s: what a deletion would free cannot be told, so none is deleted for it", say.SomeNames(hidden)))
}

// unreachable says what MinFree comes to once all that may go is gone. Of what stays, nothing but a rule of this run is
// to blame.
func (p pruned) unreachable(dest string, o Options) (pruned, error) {
	return p.fallsShort(dest, o, "keep-min", "with every backup deleted that may go")
}
