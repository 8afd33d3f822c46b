package retention_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rsbtbackup/rsbtbackup/retention"
)

// On calendars without anything restic does not know (incomplete backups, clocks set back, future times) Apply keeps
// exactly what restic documents. RESTIC.md has the rest.
func TestSameAsRestic(t *testing.T) {
	for seed := range uint64(1000) {
		backups, p, now := resticCase(t, seed)
		got := map[time.Time]bool{}
		for _, b := range keptBackups(retention.Apply(backups, p, now)) {
			got[b.Time] = true
		}
		if diff := cmp.Diff(resticKeeps(backups, p), got); diff != "" {
			t.Fatalf("seed %d: %+v at %v (-restic +retention):\n%s", seed, p, now, diff)
		}
	}
}

// resticKeeps is the list of options in "Removing snapshots according to a policy" of restic's manual (0.18), read as
// statements about periods:
//
//   - for the last n periods which have one or more snapshots, keep only the most
//     recent one for each;
//   - if there are not enough of them, the oldest snapshot is kept additionally;
//   - --keep-within-*: the same, among the snapshots within the duration of the
//     latest one;
//   - snapshots need to match a single option only.
//
// It groups by the moment a period begins, where Apply walks a list with labels.
func resticKeeps(backups []retention.Backup, p retention.Policy) map[time.Time]bool {
	kept := map[time.Time]bool{}
	var times []time.Time
	for _, b := range backups {
		times = append(times, b.Time)
	}
	latest, oldest := slices.MaxFunc(times, time.Time.Compare), slices.MinFunc(times, time.Time.Compare)

	mostRecent := func(among []time.Time, begin func(time.Time) time.Time) []time.Time {
		ofPeriod := map[time.Time]time.Time{}
		for _, t := range among {
			if period := begin(t); t.After(ofPeriod[period]) {
				ofPeriod[period] = t
			}
		}
		var result []time.Time
		for _, t := range ofPeriod {
			result = append(result, t)
		}
		slices.SortFunc(result, func(a, b time.Time) int { return b.Compare(a) })
		return result
	}
	within := func(s retention.Span) []time.Time {
		if s == (retention.Span{}) {
			return nil
		}
		limit := latest.AddDate(-s.Years, -s.Months, -s.Days).Add(-time.Duration(s.Hours) * time.Hour)
		return slices.DeleteFunc(slices.Clone(times), func(t time.Time) bool { return !t.After(limit) })
	}
	keep := func(list ...time.Time) {
		for _, t := range list {
			kept[t] = true
		}
	}

	for _, option := range []struct {
		n        int
		duration retention.Span
		begin    func(time.Time) time.Time
	}{
		{p.Last, p.Within, func(t time.Time) time.Time { return t }},
		{p.Hourly, p.WithinHourly, func(t time.Time) time.Time {
			return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), 0, 0, 0, t.Location())
		}},
		{p.Daily, p.WithinDaily, midnight},
		{p.Weekly, p.WithinWeekly, func(t time.Time) time.Time {
			return midnight(t).AddDate(0, 0, -(int(t.Weekday())+6)%7)
		}},
		{p.Monthly, p.WithinMonthly, func(t time.Time) time.Time {
			return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, t.Location())
		}},
		{p.Yearly, p.WithinYearly, func(t time.Time) time.Time {
			return time.Date(t.Year(), 1, 1, 0, 0, 0, 0, t.Location())
		}},
	} {
		ofPeriods := mostRecent(times, option.begin)
		if n := option.n; n == retention.Unlimited || n > len(ofPeriods) {
			keep(append(ofPeriods, oldest)...)
		} else {
			keep(ofPeriods[:n]...)
		}
		among := within(option.duration)
		keep(mostRecent(among, option.begin)...)
		if slices.Contains(among, oldest) {
			keep(oldest)
		}
	}
	keep(latest) // ours, whatever the policy
	return kept
}

func midnight(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
}

// resticCase makes complete backups at growing times in one zone. Spans of months or years, and any counted from the
// hours in which clocks are changed, are left out where restic's arithmetic differs.
func resticCase(t *testing.T, seed uint64) ([]retention.Backup, retention.Policy, time.Time) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	zones := []string{"UTC", "Europe/Berlin", "America/New_York"}
	zone := location(t, zones[rnd.IntN(len(zones))])
	g := &generator{Rand: rnd, zones: []*time.Location{zone, zone}}

	at := time.Date(2015+rnd.IntN(8), time.Month(1+rnd.IntN(12)), 1+rnd.IntN(31), rnd.IntN(24), rnd.IntN(60), 0, 0, zone)
	steps := []time.Duration{20 * time.Minute, 5 * time.Hour, 24 * time.Hour, 5 * 24 * time.Hour, 40 * 24 * time.Hour}
	var backups []retention.Backup
	for i := range 1 + rnd.IntN(60) {
		backups = append(backups, retention.Backup{Name: fmt.Sprint(i), Time: at, ID: uint64(256 + i), Complete: true})
		at = at.Add(time.Minute + time.Duration(rnd.Int64N(int64(2*steps[rnd.IntN(len(steps))]))))
	}
	latest := backups[len(backups)-1].Time

	p := g.policy()
	p.Age = retention.Span{}
	for _, s := range spans(&p) {
		if latest.Hour() < 4 {
			*s = retention.Span{Hours: s.Hours}
		}
		if latest.Day() > 28 {
			s.Years, s.Months = 0, 0
		}
	}
	if p.IsEmpty() {
		p.Last = 1
	}
	return backups, p, latest.Add(time.Hour)
}
