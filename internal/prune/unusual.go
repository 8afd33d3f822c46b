// Unusual deletions: nothing is deleted only because a clock may be wrong.

package prune

import (
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

const (
	// longAbsence: only a longer jump of the clock is suspicious. A machine may be off for a weekend, or for a holiday.
	longAbsence = 14 * 24 * time.Hour
	// veryLong: after a longer jump no deletion because of it is made, even if earlier steps were long.
	veryLong = 366 * 24 * time.Hour
	// trusted is how many backups must be made after a jump until the new time is believed: one week of nightly runs.
	trusted = 7
	// few: fewer deletions are never unusual.
	few = 4
)

// unusual refuses deletions by policy if the clock has jumped and they happen only for that, if the order of backups is
// in doubt, or if nearly all backups would be deleted although the last prune deleted few. It is pure.
func unusual(st *store.State, o Options, now time.Time, before *note) error {
	backups := st.Backups
	doomed := doomedBy(backups, o.Policy, now)
	switch {
	case len(doomed) == 0:
		return nil
	case st.Doubt != "":
		return refuse("the order of the backups is in doubt: %s", st.Doubt)
	}
	at, gap := largestGap(backups, now)
	jump := max(0, gap-usualGap(backups, at))
	steady := doomedBy(withoutJump(backups, at, jump), o.Policy, now.Add(-jump))
	jumped := slices.DeleteFunc(slices.Clone(doomed), func(name string) bool { return slices.Contains(steady, name) })
	switch {
	case len(jumped) == 0:
	case gap > veryLong, gap > longAbsence && gap > 4*usualGap(backups, at) && nearlyAll(len(jumped), len(backups)):
		return refuse("the clock is %s ahead of the time of %s, the backup before, and %s would be deleted for that: is the clock right?", days(gap), backups[at].Name, say.Plural(len(jumped), "backup"))
	}
	rest := len(doomed)
	if gap <= longAbsence {
		rest -= len(jumped) // this much time may pass
	}
	if before != nil && !nearlyAll(before.Deleted, before.Of) && rest >= few && nearlyAll(rest, len(backups)) {
		return refuse("%d of %d backups would be deleted, but the last prune deleted %d of %d", len(doomed), len(backups), before.Deleted, before.Of)
	}
	return nil
}

func refuse(format string, args ...any) error {
	return fail.Kind(facts.ErrGuard, fail.Kindf(facts.ErrUnusual, format, args...))
}

func days(d time.Duration) string { return say.Plural(int(d/(24*time.Hour)), "day") }

// nearlyAll is at least four of five.
func nearlyAll(n, of int) bool { return n > 0 && n*5 >= of*4 }

func doomedBy(backups []facts.Snapshot, policy retention.Policy, now time.Time) []string {
	var names []string
	for _, d := range Decide(backups, policy, now) {
		if !d.Keep {
			names = append(names, d.Name)
		}
	}
	return names
}

// largestGap returns the largest step forward of the clock among the last steps, including the one to now, and the
// index of the backup before it. A step is measured from the latest time before it to the earliest after it, so steps
// that were undone later do not count.
func largestGap(backups []facts.Snapshot, now time.Time) (at int, gap time.Duration) {
	latest := make([]time.Time, len(backups))
	for i, b := range backups {
		latest[i] = b.Time
		if i > 0 && latest[i-1].After(b.Time) {
			latest[i] = latest[i-1]
		}
	}
	next := now
	for i := len(backups) - 1; i >= max(0, len(backups)-trusted); i-- {
		if step := next.Sub(latest[i]); step > gap {
			at, gap = i, step
		}
		if backups[i].Time.Before(next) {
			next = backups[i].Time
		}
	}
	return at, gap
}

// withoutJump moves the times after backup at back by the jump.
func withoutJump(backups []facts.Snapshot, at int, jump time.Duration) []facts.Snapshot {
	moved := slices.Clone(backups)
	for i := at + 1; i < len(moved); i++ {
		moved[i].Time = moved[i].Time.Add(-jump)
	}
	return moved
}

// usualGap is the median of all steps, without the one after backup at, which is in question.
func usualGap(backups []facts.Snapshot, at int) time.Duration {
	var gaps []time.Duration
	for i := 1; i < len(backups); i++ {
		if i == at+1 {
			continue
		}
		gaps = append(gaps, max(0, backups[i].Time.Sub(backups[i-1].Time)))
	}
	if len(gaps) == 0 {
		return 0
	}
	slices.Sort(gaps)
	return gaps[(len(gaps)-1)/2]
}
