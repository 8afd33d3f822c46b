// Order: which backup came after which. Nothing that is deleted may depend on one
// clue: clocks are set wrong, and ids come anew where backups were received or
// copied.

package store

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

// Younger tells whether a was made after b; both are of one State.
func Younger(a, b facts.Snapshot) bool { return byAge(a, b) > 0 }

func byAge(a, b facts.Snapshot) int {
	return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.ID, b.ID))
}

// setOrder sorts backups, oldest first, and notes the place of each. It is pure.
// They are in the order of their subvolume ids, which only grow, whatever the
// clock said; or of the recorded times where the ids are known to tell nothing:
// of a backup that was received, or that is older, by its id, than the one it is
// on record to be incremental on. What is left in doubt is told.
func setOrder(backups []facts.Snapshot) (doubt string) {
	slices.SortFunc(backups, func(a, b facts.Snapshot) int { return cmp.Compare(a.ID, b.ID) })
	received := slices.ContainsFunc(backups, func(b facts.Snapshot) bool { return b.Received })
	if received || contradicted(backups) != "" {
		slices.SortStableFunc(backups, func(a, b facts.Snapshot) int { return a.Time.Compare(b.Time) })
		doubt = contradicted(backups)
	} else {
		doubt = timesAgainst(backups)
	}
	for i := range backups {
		backups[i].Order = i
	}
	return doubt
}

// contradicted names a backup that, in this order, comes before its base.
func contradicted(ordered []facts.Snapshot) string {
	seen := map[string]bool{}
	later := map[string]string{} // by the base that was not seen yet
	for _, b := range ordered {
		if above, ok := later[b.Name]; ok {
			return fmt.Sprintf("%s is on record to be older than %s, which its time and its subvolume id contradict", b.Name, above)
		}
		seen[b.Name] = true
		if b.Record != nil && b.Record.Base != "" && !seen[b.Record.Base] {
			later[b.Record.Base] = b.Name
		}
	}
	return ""
}

// timesAgainst names neighbours without a record whose names say the opposite of
// their ids. A clock that was set back is no longer than a day, with all zones.
func timesAgainst(ordered []facts.Snapshot) string {
	const zones = 26 * time.Hour
	for i := 1; i < len(ordered); i++ {
		a, b := ordered[i-1], ordered[i]
		if b.Record == nil && a.Record == nil && b.Time.Before(a.Time.Add(-zones)) {
			return fmt.Sprintf("%s and %s contradict the order of their subvolume ids by their names", b.Name, a.Name)
		}
	}
	return ""
}
