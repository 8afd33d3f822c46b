package store

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

// TestOrderOfBackups lets ids, times and records contradict each other.
func TestOrderOfBackups(t *testing.T) {
	at := time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)
	type backup struct {
		id       uint64
		day      int
		base     string
		received bool
		bare     bool // without a record
	}
	for _, c := range []struct {
		name    string
		backups map[string]backup
		want    string
		doubt   bool
	}{
		{"as they were made", map[string]backup{"a": {id: 1, day: 1}, "b": {id: 2, day: 2, base: "a"}, "c": {id: 3, day: 3, base: "b"}}, "a b c", false},
		{"the clock was set back", map[string]backup{"a": {id: 1, day: 5}, "b": {id: 2, day: 2, base: "a"}, "c": {id: 3, day: 3, base: "b"}}, "a b c", false},
		{"... and what it was set back from is gone", map[string]backup{"a": {id: 1, day: 5}, "c": {id: 3, day: 3, base: "b"}}, "a c", false},
		{"received, the newest first", map[string]backup{"a": {id: 3, day: 1, received: true}, "b": {id: 2, day: 2, base: "a", received: true}, "c": {id: 1, day: 3, base: "b", received: true}}, "a b c", false},
		{"received, made within one second, the last first", map[string]backup{"a": {id: 3, day: 1, received: true}, "a.9": {id: 2, day: 1, base: "a", received: true}, "a.10": {id: 1, day: 1, base: "a.9", received: true}}, "a a.9 a.10", false},
		{"received beside older ones", map[string]backup{"a": {id: 9, day: 1, received: true}, "b": {id: 2, day: 2}, "c": {id: 3, day: 3, base: "b"}}, "a b c", false},
		{"copied by snapshots, in another order", map[string]backup{"a": {id: 3, day: 1}, "b": {id: 1, day: 2, base: "a"}, "c": {id: 2, day: 3, base: "b"}}, "a b c", false},
		{"received, and the times contradict too", map[string]backup{"a": {id: 3, day: 4, received: true}, "b": {id: 2, day: 2, base: "a", received: true}}, "b a", true},
		{"no records, the names contradict", map[string]backup{"a": {id: 3, day: 1, bare: true}, "b": {id: 2, day: 9, bare: true}}, "b a", true},
		{"no records, an hour that comes twice", map[string]backup{"a": {id: 1, day: 1, bare: true}, "b": {id: 2, day: 1, bare: true}}, "a b", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var list []facts.Snapshot
			for name, b := range c.backups {
				s := facts.Snapshot{Name: name, ID: b.id, Time: at.AddDate(0, 0, b.day), Received: b.received}
				if !b.bare {
					s.Record = &facts.Record{Base: b.base}
				}
				list = append(list, s)
			}
			doubt := setOrder(list)
			if diff := cmp.Diff(strings.Fields(c.want), BackupNames(list)); diff != "" || (doubt != "") != c.doubt {
				t.Errorf("doubt %q; order (-want +got):\n%s", doubt, diff)
			}
			if !slices.IsSortedFunc(list, byAge) {
				t.Error("the places are not those of the order")
			}
		})
	}
}
