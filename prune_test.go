package rsbtbackup

import (
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/retention"
)

// Two names that the kernel gives one id are decided about apart: what is said
// of one must not delete the other.
func TestDecideGoesByName(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	backups := []Snapshot{
		{Name: "old", ID: 300, Time: at.AddDate(-6, 0, 0), Status: Complete},
		{Name: "new", ID: 300, Time: at, Status: Complete},
	}
	kept := map[string]bool{}
	for _, d := range decide(backups, retention.Policy{Last: 1}, at) {
		kept[d.Name] = d.Keep
	}
	if len(kept) != 2 || kept["old"] == kept["new"] {
		t.Errorf("kept: %v", kept)
	}
	if kept := keepAll(backups); kept[0].Name == kept[1].Name {
		t.Errorf("%q twice", kept[0].Name)
	}
}

// What is above one that is marked has to be measured anew, up to the next that
// stays.
func TestMarkForgetsWhatWasMeasuredAgainstIt(t *testing.T) {
	frees := uint64(1)
	decisions := []Decision{ // newest first
		{Snapshot: Snapshot{Name: "e"}, Keep: true},
		{Snapshot: Snapshot{Name: "d"}, Frees: &frees},
		{Snapshot: Snapshot{Name: "c"}, Keep: true},
		{Snapshot: Snapshot{Name: "b"}, Frees: &frees},
		{Snapshot: Snapshot{Name: "a"}, Keep: true},
		{Snapshot: Snapshot{Name: "0"}, Frees: &frees},
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

func TestCheckDoomed(t *testing.T) {
	pinned := &Record{Pin: &PinInfo{}}
	a, b, c := Snapshot{Name: "a", Status: Complete}, Snapshot{Name: "b", Status: Complete}, Snapshot{Name: "c", Status: Incomplete}
	for _, tt := range []struct {
		name    string
		backups []Snapshot
		doomed  []Snapshot
		want    string // in the error; none if empty
	}{
		{"an old one", []Snapshot{a, b, c}, []Snapshot{a}, ""},
		{"pinned", []Snapshot{{Name: "a", Record: pinned}, b}, []Snapshot{{Name: "a", Record: pinned}}, "a is pinned"},
		{"the newest complete one", []Snapshot{a, b, c}, []Snapshot{a, b}, "b is the newest complete"},
		{"the newest, incomplete", []Snapshot{a, b, c}, []Snapshot{a, c}, "c is the newest backup"},
		{"the newest, none is complete", []Snapshot{c}, []Snapshot{c}, "c is the newest backup"},
		{"the newest, and complete", []Snapshot{a, b}, []Snapshot{b}, "b is the newest complete"},
	} {
		err := checkDoomed(tt.doomed, &state{backups: tt.backups})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
