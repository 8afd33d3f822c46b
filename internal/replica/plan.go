package replica

import (
	"fmt"
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// Item is what copying needs to know about a backup.
type Item struct {
	Name string     `json:"name"`
	UUID btrfs.UUID `json:"uuid"` // of its subvolume
	// Origin is the UUID of the original subvolume: all copies of one backup have the same.
	Origin btrfs.UUID `json:"origin"`
	// Base reports that an increment can build on it: it is read-only, and unchanged since it was made or received.
	Base bool `json:"base"`
	// For a policy.
	Time     time.Time `json:"time,omitzero"`
	Complete bool      `json:"complete,omitempty"`
	Pinned   bool      `json:"pinned,omitempty"`
	// Made says what it was made from. Older programs on the other side do not send it.
	Made origin `json:"made,omitzero"`
	// Known is what may be news to the other side.
	Known known `json:"known,omitzero"`
	// Hidden: something is mounted on it. Its copies are known by their UUID, but it cannot be read.
	Hidden bool `json:"hidden,omitempty"`
	// WhyNot says why it cannot be copied.
	WhyNot string `json:"why_not,omitempty"`
	// Damaged: verify has found something in it that cannot be read any more.
	Damaged bool `json:"damaged,omitempty"`
	// Unfit are backups of which it cannot be sent as an increment.
	Unfit []string `json:"-"`
}

// Step is what to do with one backup.
type Step struct {
	Item   Item
	Parent *Item  // what it is sent as an increment of; nil: whole
	Had    string // the name of its copy, if the other side has it
	News   *news  // what the other side does not know about it; nil: nothing
	Refuse string // why it is not copied
	Unkept bool   // it is not copied because the target would delete it at once
}

// makePlan decides what to do with each of the wanted backups, in the order of from. An increment builds on the nearest
// older backup that both sides have, or will have by then, otherwise on the nearest newer one. It is pure.
func makePlan(from []Item, to []Item, wanted, unkept map[string]bool) []Step {
	there := map[btrfs.UUID]Item{}
	taken := map[string]btrfs.UUID{}
	for _, t := range to {
		if old, ok := there[t.Origin]; !ok || t.Base && !old.Base {
			there[t.Origin] = t
		}
		taken[t.Name] = t.Origin
	}
	var steps []Step
	for i, b := range from {
		if !wanted[b.Name] {
			continue
		}
		step := Step{Item: b}
		origin, used := taken[b.Name]
		switch had, ok := there[b.Origin]; {
		case ok:
			step.Had, step.News = had.Name, newsOf(b, had)
		case used && origin != b.Origin:
			step.Refuse = fmt.Sprintf("the target has another backup of that name, which is no copy of it (%s)", origin)
		case b.WhyNot != "":
			step.Refuse = b.WhyNot
		case unkept[b.Name]:
			step.Unkept = true
		default:
			if step.Parent = nearest(from, i, there); step.Parent == nil && b.Damaged {
				step.Refuse = "verify has found damage in it, so that it cannot be sent whole"
				break
			}
			there[b.Origin], taken[b.Name] = Item{Name: b.Name, Origin: b.Origin, Base: b.Base}, b.Origin
		}
		steps = append(steps, step)
	}
	return steps
}

// unkeptBy names the backups of from that the policy of the target would not keep if all wanted ones were there. They
// would be sent, deleted, and sent again by the next run. It is pure.
func unkeptBy(policy retention.Policy, from, to []Item, wanted map[string]bool, now time.Time) map[string]bool {
	if policy.IsEmpty() {
		return nil
	}
	there, known := map[btrfs.UUID]Item{}, map[btrfs.UUID]bool{}
	for _, t := range to {
		there[t.Origin] = t
	}
	for _, f := range from {
		known[f.Origin] = true
	}
	var all []retention.Backup
	add := func(i Item) {
		all = append(all, retention.Backup{Name: i.Name, Time: i.Time, Complete: i.Complete, Pinned: i.Pinned})
	}
	for _, t := range to {
		if !known[t.Origin] {
			add(t)
		}
	}
	coming := map[string]bool{}
	for _, f := range from { // these have the order of backups made within one second
		if t, ok := there[f.Origin]; ok {
			add(t)
		} else if wanted[f.Name] && f.WhyNot == "" {
			coming[f.Name] = true
			add(f)
		}
	}
	// In a directory with copies the order is that of their times, because their ids only say when they arrived.
	slices.SortStableFunc(all, func(a, b retention.Backup) int { return a.Time.Compare(b.Time) })
	for i := range all {
		all[i].ID = uint64(i + 1)
	}
	unkept := map[string]bool{}
	for _, d := range retention.Apply(all, policy, now) {
		if !d.Keep && coming[d.Backup.Name] {
			unkept[d.Backup.Name] = true
		}
	}
	return unkept
}

// nearest is the backup that i is sent as an increment of.
func nearest(from []Item, i int, there map[btrfs.UUID]Item) *Item {
	fits := func(j int) bool {
		t, ok := there[from[j].Origin]
		return ok && t.Base && from[j].Base && from[j].WhyNot == "" && !slices.Contains(from[i].Unfit, from[j].Name)
	}
	if len(from[i].Unfit) >= maxUnfit {
		return nil
	}
	for j := i - 1; j >= 0; j-- {
		if fits(j) {
			return &from[j]
		}
	}
	for j := i + 1; j < len(from); j++ {
		if fits(j) {
			return &from[j]
		}
	}
	return nil
}
