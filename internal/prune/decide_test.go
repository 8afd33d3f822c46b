package prune

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

func decided(name string, keep bool, reason string) facts.Decision {
	return facts.Decision{Snapshot: facts.Snapshot{Name: name}, Keep: keep, Reasons: []string{reason}}
}

// TestKeepAllSaysWhy: without a policy each backup stays, and some for good.
func TestKeepAllSaysWhy(t *testing.T) {
	pinned := facts.Snapshot{Name: "a", Record: &facts.Record{Pin: &facts.PinInfo{}}, Status: facts.Complete}
	got := map[string]string{}
	for _, d := range keepAll([]facts.Snapshot{pinned, {Name: "b", Status: facts.Complete}, {Name: "c", Status: facts.Complete}, {Name: "d", Status: facts.Incomplete}}) {
		got[d.Name] = d.Reasons[0]
	}
	want := map[string]string{"a": "pinned", "b": notNeeded, "c": "newest complete backup", "d": "newest"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestStopExplainsOnlyWhatSpaceWouldHaveTaken leaves alone what goes and what stays for another reason.
func TestStopExplainsOnlyWhatSpaceWouldHaveTaken(t *testing.T) {
	before := []facts.Decision{decided("a", true, notNeeded), decided("b", true, "pinned"), decided("c", false, "not kept")}
	got := stop(before, "out of reach")
	if d := cmp.Diff([]facts.Decision{decided("a", true, "out of reach"), decided("b", true, "pinned"), decided("c", false, "not kept")}, got); d != "" {
		t.Error(d)
	}
	if before[0].Reasons[0] != notNeeded {
		t.Error("the decisions before were changed")
	}
}

// TestSpareKeepsWhatWasPinnedMeanwhile under its own reason.
func TestSpareKeepsWhatWasPinnedMeanwhile(t *testing.T) {
	got := spare([]facts.Decision{decided("a", false, "not kept"), decided("b", false, "not kept")}, []string{"b"})
	if d := cmp.Diff([]facts.Decision{decided("a", false, "not kept"), decided("b", true, "pinned meanwhile")}, got); d != "" {
		t.Error(d)
	}
}

// TestSumIsNotKnownBeforeAllIs measured.
func TestSumIsNotKnownBeforeAllIs(t *testing.T) {
	one, two := uint64(1), uint64(2)
	going := func(frees *uint64) facts.Decision { return facts.Decision{Frees: frees} }
	if frees, known := sum([]facts.Decision{going(&one), going(&two), decided("a", true, "")}); frees != 3 || !known {
		t.Errorf("%d, known %v", frees, known)
	}
	if _, known := sum([]facts.Decision{going(&one), going(nil)}); known {
		t.Error("known although one was not measured")
	}
}

// TestWhatGoesAndWhatStays are both oldest first, as they are dealt with.
func TestWhatGoesAndWhatStays(t *testing.T) {
	newestFirst := []facts.Decision{decided("d", true, ""), decided("c", false, ""), decided("b", true, ""), decided("a", false, "")}
	names := func(list []facts.Snapshot) (names []string) {
		for _, b := range list {
			names = append(names, b.Name)
		}
		return names
	}
	if d := cmp.Diff([]string{"a", "c"}, names(doomedOf(newestFirst))); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"b", "d"}, names(remaining(newestFirst))); d != "" {
		t.Error(d)
	}
	next := letGo(newestFirst, "b")
	if next[2].Keep || !newestFirst[2].Keep {
		t.Errorf("b stays %v, and stayed before %v", next[2].Keep, newestFirst[2].Keep)
	}
}

// TestAClockBehindMakesNothingOld: backups of a machine that boots in 1970, between others and after them; and some
// that were made before the clock was set back.
func TestAClockBehindMakesNothingOld(t *testing.T) {
	now := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	day := func(n int) time.Time { return now.AddDate(0, 0, -n) }
	epoch := time.Unix(3600, 0)
	for name, c := range map[string]struct {
		times []time.Time
		goes  []string // by rotate 35d
	}{
		"in order":               {[]time.Time{day(40), day(36), day(30), day(1)}, []string{"0", "1"}},
		"behind, between others": {[]time.Time{day(40), day(30), epoch, day(1)}, []string{"0"}},
		"behind, at the end":     {[]time.Time{day(30), day(2), epoch, epoch.Add(time.Hour)}, nil},
		"behind, at first":       {[]time.Time{epoch, day(30), day(1)}, []string{"0"}},
		"behind, long ago":       {[]time.Time{day(50), epoch, day(40), day(1)}, []string{"0", "1", "2"}},
		"ahead, at first":        {[]time.Time{day(-4000), day(40), day(30), day(1)}, []string{"1"}},
		"ahead, within the past": {[]time.Time{day(5), day(40), day(39), day(1)}, nil},
	} {
		var backups []facts.Snapshot
		for i, at := range c.times {
			backups = append(backups, facts.Snapshot{Name: strconv.Itoa(i), Time: at, Status: facts.Complete})
		}
		var goes []string
		for _, d := range slices.Backward(Decide(backups, retention.Policy{Age: retention.Span{Days: 35}}, now)) {
			if !d.Keep {
				goes = append(goes, d.Name)
			}
			if !d.Time.Equal(c.times[slices.Index(names(backups), d.Name)]) {
				t.Errorf("%s: %s is shown with another time", name, d.Name)
			}
		}
		slices.Sort(goes)
		if d := cmp.Diff(c.goes, goes); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestAClockAheadMakesNothingOneDay: the first of these backups was made while the clock was a month ahead. The days of
// those after it are their own.
func TestAClockAheadMakesNothingOneDay(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	var backups []facts.Snapshot
	for i, days := range []int{5, 39, 38, 37, 36, 35, 1} {
		backups = append(backups, facts.Snapshot{Name: strconv.Itoa(i), Time: now.AddDate(0, 0, -days), Status: facts.Complete})
	}
	for _, d := range Decide(backups, retention.Policy{Daily: 10}, now) {
		if !d.Keep {
			t.Errorf("%s goes: %v", d.Name, d.Reasons)
		}
	}
}

func names(backups []facts.Snapshot) (list []string) {
	for _, b := range backups {
		list = append(list, b.Name)
	}
	return list
}

// TestForesee: the backup that a dry run does not make is the newest, and the one that cur names if it is complete.
func TestForesee(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.Local)
	old := facts.Snapshot{Name: "old", ID: 1, Time: now.Add(-48 * time.Hour), Status: facts.Complete}
	last := facts.Snapshot{Name: "last", ID: 2, Order: 1, Time: now.Add(-24 * time.Hour), Status: facts.Complete, Current: true}
	next := facts.Snapshot{Name: "next", ID: 3, Time: now, Status: facts.Complete, Current: true}
	for name, tt := range map[string]struct {
		next facts.Snapshot
		want map[string]bool
	}{
		"complete":   {next, map[string]bool{"old": false, "last": false}},
		"incomplete": {facts.Snapshot{Name: "next", ID: 3, Time: now, Status: facts.Incomplete}, map[string]bool{"old": false, "last": true}},
	} {
		backups := []facts.Snapshot{old, last}
		got := map[string]bool{}
		for _, d := range Foresee(backups, tt.next, retention.Policy{Last: 1}, now) {
			got[d.Name] = d.Keep
		}
		for name2, keep := range tt.want {
			if k, ok := got[name2]; !ok || k != keep {
				t.Errorf("%s: %s: keep %v, want %v", name, name2, k, keep)
			}
		}
		if _, ok := got["next"]; ok || !backups[1].Current {
			t.Errorf("%s: %v, and the backups are %v", name, got, backups)
		}
	}
}
