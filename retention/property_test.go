package retention_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rsbtbackup/rsbtbackup/retention"
)

const cases = 4000

// properties runs one property over random calendars with every anomaly: clocks set back, doubled hours, zones that
// change, future times, incomplete and pinned backups. A failure names the seed.
func properties(t *testing.T, property func(t *testing.T, g *generator)) {
	t.Helper()
	t.Parallel()
	for seed := range uint64(cases) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 0)), zones: []*time.Location{
			time.UTC, location(t, "Europe/Berlin"), location(t, "America/New_York"),
		}}
		if property(t, g); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestNewestCompleteAndPinnedAreKept(t *testing.T) {
	properties(t, func(t *testing.T, g *generator) {
		backups, now := g.calendar(30)
		newest := true
		for _, d := range retention.Apply(backups, g.policy(), now) {
			if d.Backup.Complete && newest && !d.Keep {
				t.Errorf("the newest complete backup is removed: %v", d)
			}
			newest = newest && !d.Backup.Complete
			if d.Backup.Pinned && !d.Keep {
				t.Errorf("a pinned backup is removed: %v", d)
			}
			if len(d.Reasons) == 0 {
				t.Errorf("no reason: %v", d)
			}
		}
	})
}

func TestOrderOfInputDoesNotMatter(t *testing.T) {
	properties(t, func(t *testing.T, g *generator) {
		backups, now := g.calendar(30)
		p := g.policy()
		want := retention.Apply(backups, p, now)
		g.Shuffle(len(backups), func(i, j int) { backups[i], backups[j] = backups[j], backups[i] })
		if got := retention.Apply(backups, p, now); !reflect.DeepEqual(want, got) {
			t.Errorf("shuffled input (-sorted +shuffled):\n%s", cmp.Diff(want, got))
		}
	})
}

// Equal ids do not happen on one filesystem, but must not make the result random.
func TestEqualIDs(t *testing.T) {
	when := at(t, "UTC", "2026-11-23T09:00:00Z")
	a := retention.Backup{Name: "a", Time: when, Complete: true}
	b := retention.Backup{Name: "b", Time: when, Complete: true}
	c := retention.Backup{Name: "c", Time: when.Add(-time.Hour), Complete: true}
	want := []retention.Backup{b, a, c}
	for _, input := range [][]retention.Backup{{a, b, c}, {c, b, a}, {b, c, a}} {
		var got []retention.Backup
		for _, d := range retention.Apply(input, retention.Policy{Last: 1}, when) {
			got = append(got, d.Backup)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", input, diff)
		}
	}
}

// The month ends later in New York. A limit counted in the zone of each reference would move back when a backup from
// Berlin follows.
func TestReferenceInAnotherZone(t *testing.T) {
	p := retention.Policy{Within: retention.Span{Months: 1}}
	now := at(t, "America/New_York", "2026-04-01T12:00:00-04:00")
	old := retention.Backup{ID: 1, Time: at(t, "UTC", "2026-03-01T02:00:00Z"), Complete: true}
	first := retention.Backup{ID: 2, Time: at(t, "America/New_York", "2026-03-30T23:00:00-04:00"), Complete: true}
	second := retention.Backup{ID: 3, Time: at(t, "Europe/Berlin", "2026-03-31T05:01:00+02:00"), Complete: true}
	for _, backups := range [][]retention.Backup{{old, first}, {old, first, second}} {
		if keptIDs(retention.Apply(backups, p, now))[old.ID] {
			t.Errorf("of %v the oldest is kept", backups)
		}
	}
}

func TestInputIsNotChanged(t *testing.T) {
	properties(t, func(t *testing.T, g *generator) {
		backups, now := g.calendar(30)
		before := slices.Clone(backups)
		retention.Apply(backups, g.policy(), now)
		if !reflect.DeepEqual(before, backups) {
			t.Error(cmp.Diff(before, backups))
		}
	})
}

func TestApplyingAgainRemovesNothingMore(t *testing.T) {
	properties(t, func(t *testing.T, g *generator) {
		backups, now := g.calendar(30)
		p := g.policy()
		kept := keptBackups(retention.Apply(backups, p, now))
		if again := keptBackups(retention.Apply(kept, p, now)); !reflect.DeepEqual(kept, again) {
			t.Errorf("%+v at %v (-kept +kept again):\n%s", p, now, cmp.Diff(kept, again))
		}
	})
}

// Whether the removed ones were really deleted in between or not.
func TestNothingRemovedComesBack(t *testing.T) {
	properties(t, func(t *testing.T, g *generator) {
		backups, now := g.calendar(30)
		p := g.policy()
		first := retention.Apply(backups, p, now)
		kept := keptIDs(first)

		later := now.Add(time.Duration(g.IntN(3)) * time.Duration(g.IntN(100*24)) * time.Hour)
		newer := g.after(backups, g.IntN(10))
		for _, rest := range [][]retention.Backup{backups, keptBackups(first)} {
			for _, d := range retention.Apply(append(slices.Clone(rest), newer...), p, later) {
				old := d.Backup.ID <= backups[len(backups)-1].ID
				if d.Keep && old && !kept[d.Backup.ID] {
					t.Errorf("%+v: removed at %v, kept at %v with %d newer ones: %v", p, now, later, len(newer), d)
				}
			}
		}
	})
}

func TestKeepSetsGrowWithThePolicy(t *testing.T) {
	properties(t, func(t *testing.T, g *generator) {
		backups, now := g.calendar(30)
		small := g.policy()
		large := g.grow(small)
		keptByLarge := keptIDs(retention.Apply(backups, large, now))
		for _, d := range retention.Apply(backups, small, now) {
			if d.Keep && !keptByLarge[d.Backup.ID] {
				t.Errorf("kept under %+v but not under %+v: %v", small, large, d)
			}
		}
	})
}

// Complete backups are judged as if there were no incomplete ones.
func TestIncompleteBackupsDoNotTouchCompleteOnes(t *testing.T) {
	properties(t, func(t *testing.T, g *generator) {
		backups, now := g.calendar(30)
		p := g.policy()
		complete := slices.DeleteFunc(slices.Clone(backups), func(b retention.Backup) bool { return !b.Complete })
		with := slices.DeleteFunc(retention.Apply(backups, p, now), func(d retention.Decision) bool { return !d.Backup.Complete })
		for i, d := range retention.Apply(complete, p, now) {
			if !reflect.DeepEqual(d, with[i]) {
				t.Errorf("%+v at %v (-without incomplete ones +with them):\n%s", p, now, cmp.Diff(d, with[i]))
			}
		}
	})
}

func TestAgeIsUpstreamsRotate(t *testing.T) {
	properties(t, func(t *testing.T, g *generator) {
		backups, now := g.calendar(30)
		hours := 1 + g.IntN(2000)
		p := retention.Policy{Age: retention.Span{Hours: hours}}
		for _, d := range retention.Apply(backups, p, now) {
			old := now.Sub(d.Backup.Time) >= time.Duration(hours)*time.Hour
			if !old && !d.Keep {
				t.Errorf("younger than %d h and removed: %v", hours, d)
			}
			if old && d.Keep && slices.ContainsFunc(d.Reasons, func(r string) bool { return r == fmt.Sprintf("younger than %dh", hours) }) {
				t.Errorf("older than %d h and kept for its age: %v", hours, d)
			}
		}
	})
}

// generator makes calendars and policies.
type generator struct {
	*rand.Rand
	zones []*time.Location
}

// calendar returns up to n backups, oldest first, and a time to judge them at.
func (g *generator) calendar(n int) ([]retention.Backup, time.Time) {
	start := time.Date(2020+g.IntN(8), time.Month(1+g.IntN(12)), 1+g.IntN(31), g.IntN(24), g.IntN(60), 0, 0, g.zone())
	backups := g.sequence(start, 0, 1+g.IntN(n))
	last := backups[len(backups)-1].Time
	return backups, last.Add(time.Duration(g.IntN(400)-40) * time.Hour).In(g.zones[1])
}

// after returns n backups newer than those given.
func (g *generator) after(backups []retention.Backup, n int) []retention.Backup {
	last := backups[len(backups)-1]
	return g.sequence(last.Time, last.ID, n)
}

func (g *generator) sequence(at time.Time, id uint64, n int) []retention.Backup {
	steps := []time.Duration{20 * time.Minute, 5 * time.Hour, 24 * time.Hour, 9 * 24 * time.Hour, 60 * 24 * time.Hour}
	step := steps[g.IntN(len(steps))]
	zone := g.zone()
	backups := make([]retention.Backup, n)
	for i := range backups {
		at = at.Add(time.Duration(g.Int64N(int64(2 * step))))
		if g.IntN(8) == 0 {
			at = at.Add(-3 * step)
		}
		if g.IntN(15) == 0 {
			step, zone = steps[g.IntN(len(steps))], g.zone()
		}
		id += 1 + g.Uint64N(3)
		backups[i] = retention.Backup{
			Name:     fmt.Sprintf("backup-%d", id),
			Time:     at.Truncate(time.Minute).In(zone),
			ID:       id,
			Complete: g.IntN(4) != 0,
			Pinned:   g.IntN(12) == 0,
		}
	}
	return backups
}

func (g *generator) zone() *time.Location { return g.zones[g.IntN(len(g.zones))] }

func (g *generator) policy() retention.Policy {
	for {
		var p retention.Policy
		for _, count := range counts(&p) {
			if g.IntN(4) == 0 {
				*count = g.IntN(6) - 1
			}
		}
		for _, s := range spans(&p) {
			if g.IntN(5) == 0 {
				*s = randomSpan(g.Rand)
			}
		}
		if !p.IsEmpty() {
			return p
		}
	}
}

func (g *generator) grow(p retention.Policy) retention.Policy {
	for _, count := range counts(&p) {
		switch {
		case *count == retention.Unlimited:
		case g.IntN(6) == 0:
			*count = retention.Unlimited
		default:
			*count += g.IntN(3)
		}
	}
	for _, s := range spans(&p) {
		if g.IntN(3) == 0 {
			more := randomSpan(g.Rand)
			*s = retention.Span{Years: s.Years + more.Years, Months: s.Months + more.Months, Days: s.Days + more.Days, Hours: s.Hours + more.Hours}
		}
	}
	return p
}

func counts(p *retention.Policy) []*int {
	return []*int{&p.Last, &p.Hourly, &p.Daily, &p.Weekly, &p.Monthly, &p.Yearly}
}

func spans(p *retention.Policy) []*retention.Span {
	return []*retention.Span{&p.Within, &p.WithinHourly, &p.WithinDaily, &p.WithinWeekly, &p.WithinMonthly, &p.WithinYearly, &p.Age}
}

func keptBackups(decisions []retention.Decision) []retention.Backup {
	var kept []retention.Backup
	for _, d := range decisions {
		if d.Keep {
			kept = append(kept, d.Backup)
		}
	}
	return kept
}

func keptIDs(decisions []retention.Decision) map[uint64]bool {
	kept := map[uint64]bool{}
	for _, b := range keptBackups(decisions) {
		kept[b.ID] = true
	}
	return kept
}
