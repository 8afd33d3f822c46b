// Order: which backup is newer. A deletion must not depend on one indication only: clocks may be wrong, and received or
// copied backups have new ids.

package store

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

// Younger reports whether a was made after b; both are of one State.
func Younger(a, b facts.Snapshot) bool { return byAge(a, b) > 0 }

func byAge(a, b facts.Snapshot) int {
	return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.ID, b.ID))
}

// setOrder sorts backups, oldest first, and sets Order in each. It is pure. The order is that of the subvolume ids,
// which only grow, even if the clock was wrong. It is that of the recorded times where ids are known to be meaningless:
// for a backup that was received, or whose id is lower than that of its recorded base. doubt says what contradicts the
// order.
func setOrder(backups []facts.Snapshot) (doubt string) {
	slices.SortFunc(backups, func(a, b facts.Snapshot) int { return cmp.Compare(a.ID, b.ID) })
	if slices.ContainsFunc(backups, func(b facts.Snapshot) bool { return b.Received }) || contradicted(backups) != "" {
		// Within one second later names are longer, or end with a higher number.
		slices.SortStableFunc(backups, func(a, b facts.Snapshot) int {
			return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name))
		})
		doubt = contradicted(backups)
	} else {
		doubt = timesAgainst(backups)
	}
	for i := range backups {
		backups[i].Order = i
	}
	return doubt
}

// contradicted names a backup that comes before its base in this order.
func contradicted(ordered []facts.Snapshot) string {
	seen := map[string]bool{}
	later := map[string]string{} // by base, if that was not seen yet
	for _, b := range ordered {
		if above, ok := later[b.Name]; ok {
			return fmt.Sprintf("the record says that %s is older than %s, but its time and its subvolume id contradict this", b.Name, above)
		}
		seen[b.Name] = true
		if b.Record != nil && b.Record.Base != "" && !seen[b.Record.Base] {
			later[b.Record.Base] = b.Name
		}
	}
	return ""
}

// timesAgainst names neighbours without records whose names contradict their ids by more than a day: less may be due to
// time zones and clock changes.
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
