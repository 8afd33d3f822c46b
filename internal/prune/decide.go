// Decisions: which backups are deleted, by policy and for space. Pure.

package prune

import (
	"math"
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// Decide is pure: it applies the policy to every backup, newest first. Decisions are matched to backups by name, as
// deletions are. A clock may have been wrong, so what is deleted must be too old, or superfluous, by the recorded times
// and by the likely ones.
func Decide(backups []facts.Snapshot, policy retention.Policy, now time.Time) []facts.Decision {
	if policy.IsEmpty() {
		return keepAll(backups)
	}
	recorded := make([]time.Time, len(backups))
	for i, b := range backups {
		recorded[i] = b.Time
	}
	decisions := decideBy(recorded, backups, policy, now)
	for i, d := range decideBy(likelyTimes(backups, now), backups, policy, now) {
		if d.Keep && !decisions[i].Keep {
			decisions[i] = d
		}
	}
	return decisions
}

func decideBy(times []time.Time, backups []facts.Snapshot, policy retention.Policy, now time.Time) []facts.Decision {
	asked := make([]retention.Backup, len(backups))
	byName := make(map[string]facts.Snapshot, len(backups))
	for i, b := range backups {
		asked[i] = retention.Backup{Name: b.Name, Time: times[i], ID: uint64(i + 1), Complete: b.Status == facts.Complete, Pinned: b.Pinned()}
		byName[b.Name] = b
	}
	var decisions []facts.Decision
	for _, d := range retention.Apply(asked, policy, now) {
		decided := facts.Decision{Snapshot: byName[d.Backup.Name], Keep: d.Keep, Reasons: d.Reasons}
		if decided.Current && !d.Keep {
			decided.Keep, decided.Reasons = true, []string{"the current backup"}
		}
		decisions = append(decisions, decided)
	}
	return decisions
}

// likelyTimes are the times of backups, oldest first, if none is older than the one before it: a clock that was behind,
// as that of a machine without a battery, must not make a backup look old. A time in the future proves nothing about
// later backups.
func likelyTimes(backups []facts.Snapshot, now time.Time) []time.Time {
	times := make([]time.Time, len(backups))
	var latest time.Time
	for i, b := range backups {
		times[i] = b.Time
		if b.Time.Before(latest) {
			times[i] = latest
		} else if !b.Time.After(now) {
			latest = b.Time
		}
	}
	return times
}

// Foresee is Decide as if the next backup were already made. It is pure.
func Foresee(backups []facts.Snapshot, next facts.Snapshot, policy retention.Policy, now time.Time) []facts.Decision {
	backups = slices.Clone(backups)
	next.ID, next.Order, next.Current = math.MaxUint64, math.MaxInt, next.Status == facts.Complete
	for i := range backups {
		backups[i].Current = backups[i].Current && !next.Current // cur would name the next one
	}
	decisions := Decide(append(backups, next), policy, now)
	return slices.DeleteFunc(decisions, func(d facts.Decision) bool { return d.Name == next.Name })
}

// notNeeded: only space was asked for, and there is enough.
const notNeeded = "space suffices"

// keepAll keeps every backup: there is no policy.
func keepAll(backups []facts.Snapshot) []facts.Decision {
	var decisions []facts.Decision
	complete := store.NewestComplete(backups)
	for i, b := range slices.Backward(backups) {
		reason := notNeeded
		switch {
		case b.Pinned():
			reason = "pinned"
		case &backups[i] == complete:
			reason = "newest complete backup"
		case i == len(backups)-1:
			reason = "newest"
		}
		decisions = append(decisions, facts.Decision{Snapshot: b, Keep: true, Reasons: []string{reason}})
	}
	return decisions
}

// sum adds up what the deletions free; known is false if any of them is unknown.
func sum(decisions []facts.Decision) (frees uint64, known bool) {
	known = true
	for _, d := range decisions {
		switch {
		case d.Keep:
		case d.Frees == nil:
			known = false
		default:
			frees += *d.Frees
		}
	}
	return frees, known
}

// stop returns the decisions of a prune that ends before enough space is free: backups that were kept because space
// suffices get reason instead.
func stop(decisions []facts.Decision, reason string) []facts.Decision {
	stopped := slices.Clone(decisions)
	for i := range stopped {
		if d := &stopped[i]; d.Keep && slices.Equal(d.Reasons, []string{notNeeded}) {
			d.Reasons = []string{reason}
		}
	}
	return stopped
}

// spare corrects the decisions about backups that were pinned after the decision.
func spare(decisions []facts.Decision, pinned []string) []facts.Decision {
	spared := slices.Clone(decisions)
	for i := range spared {
		if slices.Contains(pinned, spared[i].Name) {
			spared[i].Keep, spared[i].Reasons = true, []string{"pinned meanwhile"}
		}
	}
	return spared
}

// letGo returns decisions with one more backup to delete, for space.
func letGo(decisions []facts.Decision, name string) []facts.Decision {
	next := slices.Clone(decisions)
	mark(next, name)
	return next
}

// doomedOf returns the backups to delete, oldest first.
func doomedOf(decisions []facts.Decision) []facts.Snapshot {
	var doomed []facts.Snapshot
	for _, d := range slices.Backward(decisions) {
		if !d.Keep {
			doomed = append(doomed, d.Snapshot)
		}
	}
	return doomed
}

// remaining returns the backups kept so far, oldest first.
func remaining(decisions []facts.Decision) []facts.Snapshot {
	var left []facts.Snapshot
	for _, d := range slices.Backward(decisions) {
		if d.Keep {
			left = append(left, d.Snapshot)
		}
	}
	return left
}

// expendable returns the index of the oldest backup that may be deleted for space, or -1. Pinned backups, the newest,
// the newest complete one and keepMin complete ones are kept. It is pure; left is oldest first.
func expendable(left []facts.Snapshot, keepMin int) int {
	complete := 0
	for _, b := range left {
		if b.Status == facts.Complete {
			complete++
		}
	}
	newest := store.NewestComplete(left)
	for i, b := range left {
		last := i == len(left)-1 || &left[i] == newest
		if b.Pinned() || b.Current || last || b.Status == facts.Complete && complete <= keepMin {
			continue
		}
		return i
	}
	return -1
}

// mark changes one decision to delete. The newer backups to delete were measured with it kept, and have to be measured
// again.
func mark(decisions []facts.Decision, name string) {
	i := slices.IndexFunc(decisions, func(d facts.Decision) bool { return d.Name == name })
	decisions[i].Keep, decisions[i].Reasons = false, []string{"space was needed"}
	for ; i >= 0 && !decisions[i].Keep; i-- {
		decisions[i].Frees = nil
	}
}
