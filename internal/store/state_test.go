package store

import (
	"testing"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

func TestGuessingWhichBackupIsTheNewestCompleteOne(t *testing.T) {
	complete := func(id uint64) facts.Snapshot { return facts.Snapshot{ID: id, Status: facts.Complete} }
	unknown := func(id uint64) facts.Snapshot {
		return facts.Snapshot{ID: id, Status: facts.Incomplete, RecordError: "permission denied"}
	}
	for _, c := range []struct {
		name    string
		backups []facts.Snapshot
		want    bool
	}{
		{"none", nil, false},
		{"all known", []facts.Snapshot{complete(1), {ID: 2, Status: facts.Incomplete}}, false},
		{"an unknown one is older", []facts.Snapshot{unknown(1), complete(2)}, false},
		{"an unknown one is newer", []facts.Snapshot{complete(1), unknown(2)}, true},
		{"nothing but unknown ones", []facts.Snapshot{unknown(1)}, true},
	} {
		if got := (&State{Backups: c.backups}).guessing(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
