package prune

import (
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
