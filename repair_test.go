package rsbtbackup

import "testing"

func TestGuessingWhichBackupIsTheNewestCompleteOne(t *testing.T) {
	complete := func(id uint64) Snapshot { return Snapshot{ID: id, Status: Complete} }
	unknown := func(id uint64) Snapshot {
		return Snapshot{ID: id, Status: Incomplete, RecordError: "permission denied"}
	}
	for _, c := range []struct {
		name    string
		backups []Snapshot
		want    bool
	}{
		{"none", nil, false},
		{"all known", []Snapshot{complete(1), {ID: 2, Status: Incomplete}}, false},
		{"an unknown one is older", []Snapshot{unknown(1), complete(2)}, false},
		{"an unknown one is newer", []Snapshot{complete(1), unknown(2)}, true},
		{"nothing but unknown ones", []Snapshot{unknown(1)}, true},
	} {
		if got := (&state{backups: c.backups}).guessing(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
