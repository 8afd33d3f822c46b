// Package retention decides which backups to keep, and says why. It is pure: it reads no disk and no clock.
//
// # Order and time
//
// The order of backups is that of their subvolume ids, which only grow; a clock set back, a time zone or a repeated
// hour does not change it. "Newest" and "newer" below mean by id. A backup's Time, in its own zone, only says into
// which hour, day, week, month or year it falls, and how old it is.
//
// # Rules
//
// A backup that matches any rule is kept.
//
//   - Always kept, whatever the policy: a pinned backup, the newest complete
//     backup, and the newest incomplete one while it is newer than every
//     complete one.
//   - Last: the newest N.
//   - Hourly, Daily, Weekly (ISO weeks), Monthly, Yearly: the newest backup of
//     each of the last N hours, days, ... that have one. While fewer than N were
//     found, the oldest backup is kept too.
//   - Within: all backups less than a span older than the reference, which is the
//     latest Time that is not after now. WithinHourly ... WithinYearly: of those,
//     the newest of each hour ..., and the oldest backup if it is among them.
//     With any of these rules, backups with a Time after now are kept: what a
//     wrong clock wrote is not deleted for it.
//   - Age: all backups younger than a span, as of now.
//
// Pinned backups take part in the counted rules like any other.
//
// A policy without rules, or one that Validate refuses, keeps everything.
//
// # Incomplete backups
//
// An incomplete backup never stands in for a complete one. Complete backups are judged as if the incomplete ones were
// not there: these take no place in a count or bucket, and are no reference that Within could be measured from.
//
// Incomplete backups newer than every complete one are the latest word on their files, so they follow the same policy
// among themselves, counted apart. They are thinned like others because a source with one file that can never be read
// gives only incomplete backups, which would otherwise fill the disk. An incomplete backup older than some complete one
// matches Within and Age alone. The reference of Within for incomplete backups is the latest Time of all backups.
//
// # What holds
//
// For any backups S, whatever their times:
//
//   - The decisions do not depend on the order of the input.
//   - Deleting what is to be removed and applying the policy again removes nothing
//     more.
//   - A backup of S that is removed is also removed when newer backups (higher ids,
//     pinned or not) are added to S, when now is later, or both.
//   - A backup that is kept is also kept under a policy with higher counts, longer
//     spans or more rules.
package retention

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Backup is what the decision needs to know of one backup.
type Backup struct {
	Name     string    // shown to people; breaks ties between equal ids
	Time     time.Time // when it was made, in the zone its hours and days are to be counted in
	ID       uint64    // btrfs subvolume id: the newest has the highest
	Complete bool      // false: rsync could not read everything
	Pinned   bool      // to be kept whatever the policy
}

// Decision is the verdict on one backup. Reasons is never empty.
type Decision struct {
	Backup  Backup
	Keep    bool
	Reasons []string // why it is kept, like "daily 2026-11-23"; or why not, like "matched no rule"
}

// Apply returns a decision for every backup, newest first. now ends the ages of Policy.Age; its zone is the one that
// spans are counted in.
func Apply(backups []Backup, p Policy, now time.Time) []Decision {
	decisions := newestFirst(backups)
	if reason := unusable(p); reason != "" {
		for i := range decisions {
			decisions[i].keep(reason)
		}
		return decisions
	}

	s := divide(decisions)
	s.keepAlways()
	ofComplete, ofAll := reference(s.complete, now), reference(s.all, now)
	s.complete.applyBuckets(p, ofComplete, now)
	s.trailing.applyBuckets(p, ofAll, now)
	s.complete.applyWithin(p.Within, ofComplete, now)
	s.trailing.applyWithin(p.Within, ofAll, now)
	s.overtaken.applyWithin(p.Within, ofAll, now)
	if p.hasWithin() {
		s.all.keepFuture(now)
	}
	s.all.applyAge(p.Age, now)
	s.explainRemovals(p)
	return decisions
}

func unusable(p Policy) string {
	if p.IsEmpty() {
		return "the policy has no rules"
	}
	if err := p.Validate(); err != nil {
		return err.Error()
	}
	return ""
}

func newestFirst(backups []Backup) []Decision {
	sorted := slices.SortedStableFunc(slices.Values(backups), func(a, b Backup) int {
		return cmp.Or(
			cmp.Compare(b.ID, a.ID),
			b.Time.Compare(a.Time),
			cmp.Compare(b.Name, a.Name),
		)
	})
	decisions := make([]Decision, len(sorted))
	for i, b := range sorted {
		decisions[i].Backup = b
	}
	return decisions
}

func (d *Decision) keep(reason string) {
	d.Keep = true
	d.Reasons = append(d.Reasons, reason)
}

// series is a list of backups, newest first, that are counted together.
type series []*Decision

type division struct {
	all       series
	complete  series
	trailing  series // incomplete, newer than every complete one
	overtaken series // incomplete, older than some complete one
}

func divide(decisions []Decision) division {
	var s division
	for i := range decisions {
		d := &decisions[i]
		s.all = append(s.all, d)
		switch {
		case d.Backup.Complete:
			s.complete = append(s.complete, d)
		case len(s.complete) == 0:
			s.trailing = append(s.trailing, d)
		default:
			s.overtaken = append(s.overtaken, d)
		}
	}
	return s
}

func (s division) keepAlways() {
	for _, d := range s.all {
		if d.Backup.Pinned {
			d.keep("pinned")
		}
	}
	if len(s.complete) > 0 {
		s.complete[0].keep("newest complete backup")
	}
	if len(s.trailing) > 0 {
		s.trailing[0].keep("incomplete: newer than every complete one")
	}
}

func (s division) explainRemovals(p Policy) {
	for _, d := range s.overtaken {
		if !d.Keep {
			d.Reasons = append(d.Reasons, "incomplete: older than a complete one")
		}
	}
	for _, d := range s.all {
		if d.Keep {
			continue
		}
		if !p.Age.IsZero() {
			d.Reasons = append(d.Reasons, fmt.Sprintf("older than %v", p.Age))
		}
		if len(d.Reasons) == 0 {
			d.Reasons = append(d.Reasons, "matched no rule")
		}
	}
}
