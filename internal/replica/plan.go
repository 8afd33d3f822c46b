package replica

import (
	"fmt"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
)

// Item is a backup as far as copying goes.
type Item struct {
	Name string     `json:"name"`
	UUID btrfs.UUID `json:"uuid"` // of its subvolume
	// Origin is the UUID of the subvolume it was received from, or its own: all copies of one backup have the same.
	Origin btrfs.UUID `json:"origin"`
	// Base tells that an increment can build on it: it is read-only, and as it was made or received.
	Base bool `json:"base"`
	// WhyNot says why it cannot be copied; of the sending side only.
	WhyNot string `json:"-"`
}

// Step is what becomes of one backup.
type Step struct {
	Item   Item
	Parent *Item  // what it is sent as an increment of; nil: whole
	Had    string // the name it has over there already
	Refuse string // why it is not copied
}

// makePlan decides, for each of the backups wanted, in the order of from, what is to be done. An increment builds on the
// nearest backup before it that both sides have, or will have by then, or else on the nearest after it. It is pure.
func makePlan(from []Item, to []Item, wanted map[string]bool) []Step {
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
			step.Had = had.Name
		case used && origin != b.Origin:
			step.Refuse = fmt.Sprintf("the target has another backup of that name, which is no copy of it (%s)", origin)
		case b.WhyNot != "":
			step.Refuse = b.WhyNot
		default:
			step.Parent = nearest(from, i, there)
			there[b.Origin], taken[b.Name] = Item{Name: b.Name, Origin: b.Origin, Base: b.Base}, b.Origin
		}
		steps = append(steps, step)
	}
	return steps
}

// nearest is the backup that i is sent as an increment of.
func nearest(from []Item, i int, there map[btrfs.UUID]Item) *Item {
	fits := func(j int) bool {
		t, ok := there[from[j].Origin]
		return ok && t.Base && from[j].Base && from[j].WhyNot == ""
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
