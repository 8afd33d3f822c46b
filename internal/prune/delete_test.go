package prune

import (
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

func TestCheckDoomed(t *testing.T) {
	pinned := &facts.Record{Pin: &facts.PinInfo{}}
	a, b, c := facts.Snapshot{Name: "a", Status: facts.Complete}, facts.Snapshot{Name: "b", Status: facts.Complete}, facts.Snapshot{Name: "c", Status: facts.Incomplete}
	for _, tt := range []struct {
		name    string
		backups []facts.Snapshot
		doomed  []facts.Snapshot
		want    string // in the error; none if empty
	}{
		{"an old one", []facts.Snapshot{a, b, c}, []facts.Snapshot{a}, ""},
		{"pinned", []facts.Snapshot{{Name: "a", Record: pinned}, b}, []facts.Snapshot{{Name: "a", Record: pinned}}, "a is pinned"},
		{"the newest complete one", []facts.Snapshot{a, b, c}, []facts.Snapshot{a, b}, "b is the newest complete"},
		{"the newest, incomplete", []facts.Snapshot{a, b, c}, []facts.Snapshot{a, c}, "c is the newest backup"},
		{"the newest, none is complete", []facts.Snapshot{c}, []facts.Snapshot{c}, "c is the newest backup"},
		{"the newest, and complete", []facts.Snapshot{a, b}, []facts.Snapshot{b}, "b is the newest complete"},
	} {
		err := checkDoomed(tt.doomed, &store.State{Backups: tt.backups})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
