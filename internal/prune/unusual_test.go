package prune

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

const day = 24 * time.Hour

// made returns backups that were begun so long before now, in this order.
func made(now time.Time, ages ...time.Duration) *store.State {
	st := &store.State{}
	for i, age := range ages {
		st.Backups = append(st.Backups, facts.Snapshot{Name: fmt.Sprint("backup", i), ID: uint64(300 + i), Order: i, Time: now.Add(-age), Status: facts.Complete})
	}
	return st
}

// nightly is n backups up to one of that age.
func nightly(n int, last time.Duration) []time.Duration {
	var ages []time.Duration
	for i := range n {
		ages = append(ages, last+time.Duration(n-1-i)*day)
	}
	return ages
}

// TestUnusualDeletions is what stops a prune, and what a healthy machine does that must not.
func TestUnusualDeletions(t *testing.T) {
	now := time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC)
	within30, age30, last3 := retention.Policy{Within: retention.Span{Days: 30}}, retention.Policy{Age: retention.Span{Days: 30}}, retention.Policy{Last: 3}
	daily := retention.Policy{Daily: 7, Monthly: 12}
	one := &note{Of: 31, Deleted: 1}
	with := func(ages []time.Duration, more ...time.Duration) []time.Duration { return slices.Concat(ages, more) }
	for _, c := range []struct {
		name   string
		ages   []time.Duration
		policy retention.Policy
		before *note
		stops  bool
	}{
		{"each night", nightly(31, 0), within30, one, false},
		{"each night, by age", nightly(32, time.Hour), age30, one, false},
		{"each night, by number", nightly(4, 0), last3, one, false},
		{"the first prune of a long history", nightly(200, 0), last3, nil, false},
		{"a weekend off", with(nightly(31, 3*day), 0), within30, one, false},
		{"hourly, for a day, and a weekend off", []time.Duration{72 * time.Hour, 71 * time.Hour, 70 * time.Hour, 69 * time.Hour, 68 * time.Hour, 0}, retention.Policy{Within: retention.Span{Hours: 24}}, one, false},
		{"a holiday of three weeks", with(nightly(31, 21*day), 0), within30, one, false},
		{"a holiday of two weeks, of a week's backups", with(nightly(8, 14*day), 0), retention.Policy{Within: retention.Span{Days: 7}}, one, false},
		{"a month off, of a week's backups", with(nightly(8, 30*day), 0), retention.Policy{Within: retention.Span{Days: 7}}, one, true},
		{"... the second night", with(nightly(8, 31*day), day, 0), retention.Policy{Within: retention.Span{Days: 7}}, one, true},
		{"... the third night", with(nightly(8, 32*day), 2*day, day, 0), retention.Policy{Within: retention.Span{Days: 7}}, one, false},
		{"months off, by number", with(nightly(4, 100*day), 0), last3, one, false},
		{"years off, by number", with(nightly(4, 900*day), 0), last3, one, false},
		{"years off, by days and months", with(nightly(8, 900*day), 0), daily, one, false},
		{"once a month, by age", []time.Duration{65 * day, 35 * day, 5 * day}, age30, one, false},
		{"once a month, one left out", []time.Duration{95 * day, 65 * day, 0}, retention.Policy{Within: retention.Span{Days: 80}}, one, false},
		{"a clock ahead that was set right again", []time.Duration{40 * day, 2 * day, -3650 * day, day, 0}, within30, one, false},
		{"a clock back that was set right again", []time.Duration{40 * day, 2 * day, 18000 * day, day, 0}, retention.Policy{Within: retention.Span{Days: 30}, Last: 1}, one, false},

		{"ten years ahead", with(nightly(10, 3650*day), 0), within30, nil, true},
		{"ten years ahead, one backup before", []time.Duration{3650 * day, 0}, within30, nil, true},
		{"ten years ahead, by age, without a backup", nightly(10, 3650*day), age30, nil, true},
		{"ten years ahead, the second night", with(nightly(10, 3650*day), day, 0), within30, one, true},
		{"ten years ahead, the monthly ones stay", with(nightly(40, 3650*day), 0), retention.Policy{Within: retention.Span{Days: 30}, Monthly: 12}, one, true},
		{"two months ahead", with(nightly(31, 61*day), 0), within30, one, true},
		{"nearly all, by another policy", nightly(30, 0), last3, one, true},
		{"nearly all, as the prune before", nightly(30, 0), last3, &note{Of: 30, Deleted: 27}, false},
		{"few in all", nightly(4, 0), retention.Policy{Last: 1}, one, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := unusual(made(now, c.ages...), Options{Policy: c.policy}, now, c.before)
			if (err != nil) != c.stops || c.stops && !(errors.Is(err, facts.ErrGuard) && errors.Is(err, facts.ErrUnusual)) {
				t.Errorf("%v", err)
			}
		})
	}
	doubtful := made(now, nightly(40, 0)...)
	doubtful.Doubt = "one thing says this, another that"
	if unusual(doubtful, Options{Policy: last3}, now, nil) == nil {
		t.Error("deletes in doubt")
	}
	if err := unusual(doubtful, Options{Policy: retention.Policy{Last: 40}}, now, nil); err != nil {
		t.Errorf("deletes nothing, and is refused: %v", err)
	}
}

// TestWhatCurNamesIsKept: with any policy and order.
func TestWhatCurNamesIsKept(t *testing.T) {
	now := time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC)
	st := made(now, nightly(5, 0)...)
	st.Backups[1].Current = true
	for _, d := range Decide(st.Backups, retention.Policy{Last: 1}, now) {
		if d.Current && !d.Keep {
			t.Errorf("%s is not kept: %v", d.Name, d.Reasons)
		}
	}
	st.Backups[0].Current, st.Backups[1].Current = true, false
	if i := expendable(st.Backups, 1); i != 1 {
		t.Errorf("for space %d goes, though cur names the oldest", i)
	}
}
