package store

import (
	"testing"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

// TestRepairOfCur is the table of what can stand under cur, and what the next run makes of it.
func TestRepairOfCur(t *testing.T) {
	complete := facts.Snapshot{Name: "b", ID: 2, Status: facts.Complete}
	named := complete
	named.Current = true
	older := facts.Snapshot{Name: "a", ID: 1, Status: facts.Complete, Current: true}
	incomplete := facts.Snapshot{Name: "c", ID: 3, Status: facts.Incomplete}
	unknown := facts.Snapshot{Name: "d", ID: 4, Status: facts.Incomplete, RecordError: "permission denied"}
	for _, c := range []struct {
		name string
		st   State
		want curRepair
		ok   bool
	}{
		{"nothing, and no backup", State{}, curRepair{}, false},
		{"it names the newest complete one", State{Backups: []facts.Snapshot{named, incomplete}, Cur: Symlink, CurLink: "b"}, curRepair{}, false},
		{"missing", State{Backups: []facts.Snapshot{complete}}, curRepair{false, "b", "cur was nothing, now it names b"}, true},
		{"it names an older one", State{Backups: []facts.Snapshot{older, complete}, Cur: Symlink, CurLink: "a"}, curRepair{false, "b", `cur pointed to "a", now to b`}, true},
		{"it dangles", State{Backups: []facts.Snapshot{complete}, Cur: Symlink, CurLink: "gone"}, curRepair{false, "b", `cur pointed to "gone", now to b`}, true},
		{"a directory", State{Backups: []facts.Snapshot{complete}, Cur: Directory}, curRepair{true, "b", "cur was directory, now it names b"}, true},
		{"a subvolume, and no complete backup", State{Backups: []facts.Snapshot{incomplete}, Cur: Subvolume}, curRepair{true, "", "cur was a subvolume although there is no complete backup"}, true},
		{"the newest may be complete", State{Backups: []facts.Snapshot{older, unknown}, Cur: Symlink, CurLink: "d"}, curRepair{}, false},
		{"it names what is hidden", State{Backups: []facts.Snapshot{complete}, Hidden: []string{"c"}, Cur: Symlink, CurLink: "c"}, curRepair{}, false},
		{"the order is in doubt, and it names one", State{Backups: []facts.Snapshot{older, complete}, Doubt: "?", Cur: Symlink, CurLink: "a"}, curRepair{}, false},
		{"the order is in doubt, and it names none", State{Backups: []facts.Snapshot{complete}, Doubt: "?"}, curRepair{false, "b", "cur was nothing, now it names b"}, true},
	} {
		if got, ok := planCur(&c.st); got != c.want || ok != c.ok {
			t.Errorf("%s: %+v, %v, want %+v, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}
