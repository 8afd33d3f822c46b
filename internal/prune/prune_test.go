package prune

import (
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

func TestExpendable(t *testing.T) {
	complete := func(id uint64) facts.Snapshot { return facts.Snapshot{ID: id, Status: facts.Complete} }
	incomplete := func(id uint64) facts.Snapshot { return facts.Snapshot{ID: id, Status: facts.Incomplete} }
	pinned := func(id uint64) facts.Snapshot {
		return facts.Snapshot{ID: id, Status: facts.Complete, Record: &facts.Record{Pin: &facts.PinInfo{}}}
	}
	for _, c := range []struct {
		name    string
		left    []facts.Snapshot
		keepMin int
		want    int
	}{
		{"the oldest goes", []facts.Snapshot{complete(1), complete(2)}, 1, 0},
		{"the last complete one stays", []facts.Snapshot{complete(1)}, 1, -1},
		{"also when an incomplete one is newer, which stays too", []facts.Snapshot{complete(1), incomplete(2)}, 1, -1},
		{"the newest stays when none is complete", []facts.Snapshot{incomplete(1), incomplete(2)}, 1, 0},
		{"keep-min stays", []facts.Snapshot{complete(1), complete(2), complete(3)}, 3, -1},
		{"a pin stays, and counts", []facts.Snapshot{pinned(1), complete(2), complete(3)}, 2, 1},
		{"nothing but pins", []facts.Snapshot{pinned(1), pinned(2)}, 1, -1},
		{"an unreadable record stays", []facts.Snapshot{{ID: 1, Status: facts.Incomplete, RecordError: "x"}, complete(2)}, 1, -1},
		{"nothing", nil, 1, -1},
	} {
		if got := expendable(c.left, c.keepMin); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// Two names with one subvolume id have separate decisions: one must not delete the other.
func TestDecisionsAreByName(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	backups := []facts.Snapshot{
		{Name: "old", ID: 300, Time: at.AddDate(-6, 0, 0), Status: facts.Complete},
		{Name: "new", ID: 300, Time: at, Status: facts.Complete},
	}
	kept := map[string]bool{}
	for _, d := range Decide(backups, retention.Policy{Last: 1}, at) {
		kept[d.Name] = d.Keep
	}
	if len(kept) != 2 || kept["old"] == kept["new"] {
		t.Errorf("kept: %v", kept)
	}
	if kept := keepAll(backups); kept[0].Name == kept[1].Name {
		t.Errorf("%q twice", kept[0].Name)
	}
}

// What is above one that is marked has to be measured anew, up to the next that stays.
func TestMarkForgetsWhatWasMeasuredAgainstIt(t *testing.T) {
	frees := uint64(1)
	decisions := []facts.Decision{ // newest first
		{Snapshot: facts.Snapshot{Name: "e"}, Keep: true},
		{Snapshot: facts.Snapshot{Name: "d"}, Frees: &frees},
		{Snapshot: facts.Snapshot{Name: "c"}, Keep: true},
		{Snapshot: facts.Snapshot{Name: "b"}, Frees: &frees},
		{Snapshot: facts.Snapshot{Name: "a"}, Keep: true},
		{Snapshot: facts.Snapshot{Name: "0"}, Frees: &frees},
	}
	mark(decisions, "a")
	for _, d := range decisions {
		if known := d.Name == "d" || d.Name == "0"; known != (d.Frees != nil) {
			t.Errorf("%s: frees %v", d.Name, d.Frees)
		}
		if d.Keep != (d.Name == "e" || d.Name == "c") {
			t.Errorf("%s: keep %v", d.Name, d.Keep)
		}
	}
}
