package jobs

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// made is a backup that was begun so long before noon, and added so many bytes.
func made(ago time.Duration, status rsbtbackup.Status, added uint64) rsbtbackup.Snapshot {
	at := noon.Add(-ago)
	return rsbtbackup.Snapshot{Name: at.Format(time.DateTime), Time: at, Status: status, Added: &added, Record: &rsbtbackup.Record{}}
}

func TestStanding(t *testing.T) {
	const day = 24 * time.Hour
	complete, incomplete := rsbtbackup.Complete, rsbtbackup.Incomplete
	list := func(b ...rsbtbackup.Snapshot) *rsbtbackup.Listing { return &rsbtbackup.Listing{Backups: b} }
	plain, removable, lax := job("a"), job("a"), job("a")
	removable.Removable = true
	lax.Check.Options.MaxAge = 50 * day
	current := made(9*day, complete, 1)
	current.Record.Unchanged = &rsbtbackup.UnchangedInfo{At: noon.Add(-day), Runs: 8}
	fails := State{}.add(result(-60, Verdict{Step: Prune, Status: Failed, Error: "why", Exit: 14}))
	mended := fails.add(result(-30, Verdict{Step: Prune, Status: OK}))
	gone := fmt.Errorf("x: %w", rsbtbackup.ErrDest)
	for _, tt := range []struct {
		name string
		job  config.Job
		list *rsbtbackup.Listing
		err  error
		st   State
		want Health
	}{
		{"a backup of last night", plain, list(made(day, complete, 1)), nil, State{}, Well},
		{"a backup of the night before", plain, list(made(2*day, complete, 1)), nil, State{}, Late},
		{"which may be so old", lax, list(made(2*day, complete, 1)), nil, State{}, Well},
		{"an old one that was still current last night", plain, list(current), nil, State{}, Well},
		{"an incomplete one is no success", plain, list(made(2*day, complete, 1), made(time.Hour, incomplete, 1)), nil, State{}, Late},
		{"none", plain, list(), nil, State{}, None},
		{"none complete", plain, list(made(day, incomplete, 1)), nil, State{}, None},
		{"a step failed", plain, list(made(day, complete, 1)), nil, fails, Failing},
		{"and succeeded since", plain, list(made(day, complete, 1)), nil, mended, Well},
		{"no dest", plain, nil, gone, State{}, NoDest},
		{"a disk in the drawer", removable, nil, gone, State{}, Absent},
		{"a removable disk that cannot be read", removable, nil, errors.New("input/output error"), State{}, NoDest},
	} {
		s := standing(tt.job, tt.list, tt.err, tt.st, nil, noon)
		if s.Health != tt.want || (tt.err != nil) != (s.DestError != "") {
			t.Errorf("%s: %+v", tt.name, s)
		}
	}
	for dest, want := range map[string]time.Time{removable.Backup.Dest: noon.Add(-day), "/elsewhere": {}} {
		if s := standing(removable, nil, gone, State{Dest: dest, Newest: noon.Add(-day)}, nil, noon); !s.LastSuccess.Equal(want) {
			t.Errorf("the last success on a disk in the drawer: %v, want %v", s.LastSuccess, want)
		}
	}
	if s := standing(plain, list(), nil, mended, errors.New("garbage"), noon); s.LastFailure == nil || s.LastFailure.Error != "why" || s.StateError != "garbage" {
		t.Errorf("the last failure: %+v", s)
	}
}

func TestGrowth(t *testing.T) {
	const day = 24 * time.Hour
	unknown := made(day/2, rsbtbackup.Complete, 0)
	unknown.Added = nil
	for _, tt := range []struct {
		name    string
		backups []rsbtbackup.Snapshot
		want    int64 // -1: not known
	}{
		{"none", nil, -1},
		{"one: all of it was new", []rsbtbackup.Snapshot{made(0, "", 1000)}, -1},
		{"two in a minute", []rsbtbackup.Snapshot{made(time.Minute, "", 1000), made(0, "", 10)}, -1},
		{"10 in two days", []rsbtbackup.Snapshot{made(2*day, "", 1000), made(day, "", 4), made(0, "", 6)}, 5},
		{"24 an hour", []rsbtbackup.Snapshot{made(time.Hour, "", 1000), made(0, "", 24)}, 24 * 24},
		{"what is older than a month", []rsbtbackup.Snapshot{made(40*day, "", 0), made(20*day, "", 999), made(10*day, "", 10), made(0, "", 10)}, 1},
		{"what is not known ends it", []rsbtbackup.Snapshot{made(2*day, "", 0), made(day, "", 7), unknown, made(0, "", 6)}, 12},
	} {
		got := growth(tt.backups)
		if tt.want < 0 != (got == nil) || got != nil && int64(*got) != tt.want {
			t.Errorf("%s: %v, want %d", tt.name, got, tt.want)
		}
	}
}

func TestVerifyDue(t *testing.T) {
	week := config.Every{Span: retention.Span{Days: 7}}
	if got := verifyDue(week, time.Time{}, noon); !got.Equal(noon) {
		t.Errorf("never done: %v", got)
	}
	if got := verifyDue(week, noon.AddDate(0, 0, -3), noon); !got.Equal(noon.AddDate(0, 0, 4)) {
		t.Errorf("three days ago: %v", got)
	}
}
