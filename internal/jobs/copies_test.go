package jobs

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

func TestCopyStanding(t *testing.T) {
	const day = 24 * time.Hour
	gone := fmt.Errorf("TARGET: %w", rsbtbackup.ErrDest)
	removable, removableLimit := config.Copy{Removable: true}, config.Copy{Removable: true, MaxAge: 7 * day}
	for _, tt := range []struct {
		name         string
		copy         config.Copy
		age          time.Duration // 0: there is none
		err          error
		late, absent bool
	}{
		{"of last night", config.Copy{}, day, nil, false, false},
		{"of the night before", config.Copy{}, 2 * day, nil, false, false},
		{"three days", config.Copy{}, 3 * day, nil, true, false},
		{"which may be so old", config.Copy{MaxAge: 4 * day}, 3 * day, nil, false, false},
		{"nothing in it", config.Copy{}, 0, nil, true, false},
		{"gone", config.Copy{}, 0, gone, true, false},
		{"in the drawer", removable, 0, gone, false, true},
		{"in the drawer, with a limit", removableLimit, 6 * day, gone, false, true},
		{"in the drawer for too long", removableLimit, 8 * day, gone, true, true},
		{"never out of the drawer, with a limit", removableLimit, 0, gone, true, true},
		{"out of the drawer", removable, 300 * day, nil, false, false},
		{"out of the drawer, with a limit", removableLimit, 8 * day, nil, true, false},
		{"removable, and damaged", removable, 0, errors.New("input/output error"), false, false},
	} {
		var at time.Time
		if tt.age > 0 {
			at = noon.Add(-tt.age)
		}
		s := copyStanding(job("a"), tt.copy, at, tt.err, tt.absent, noon)
		if s.Late != tt.late || (s.Error != "") != (tt.err != nil) {
			t.Errorf("%s: %+v", tt.name, s)
		}
	}
}

// TestCopied: what was there when a copy last succeeded is in it, and what came later is not.
func TestCopied(t *testing.T) {
	l := &rsbtbackup.Listing{Backups: []rsbtbackup.Snapshot{
		made(5*time.Hour, rsbtbackup.Complete, 0), made(3*time.Hour, rsbtbackup.Complete, 0), made(2*time.Hour, rsbtbackup.Incomplete, 0), made(time.Hour, rsbtbackup.Complete, 0),
	}}
	l.Backups[1].Record.Ended = noon.Add(-150 * time.Minute)
	for _, tt := range []struct {
		at, want time.Duration // before noon; 0: never
	}{
		{0, 0}, {6 * time.Hour, 0}, {4 * time.Hour, 5 * time.Hour}, {160 * time.Minute, 5 * time.Hour}, {90 * time.Minute, 3 * time.Hour}, {30 * time.Minute, time.Hour},
	} {
		at, want := time.Time{}, time.Time{}
		if tt.at > 0 {
			at = noon.Add(-tt.at)
		}
		if tt.want > 0 {
			want = noon.Add(-tt.want)
		}
		if got := copied(l, at); !got.Equal(want) {
			t.Errorf("copied %v before noon: %v, want %v", tt.at, got, want)
		}
	}
	if got := copied(nil, noon); !got.IsZero() {
		t.Errorf("without a DEST: %v", got)
	}
}

func TestLateCopiesAreALateJob(t *testing.T) {
	late := []CopyStanding{{Name: "a"}, {Name: "b", Late: true}}
	for health, want := range map[Health]Health{Well: Late, Failing: Failing, None: None} {
		if got := (Standing{Health: health}).withCopies(late).Health; got != want {
			t.Errorf("%s with a late copy: %s, want %s", health, got, want)
		}
	}
}

// TestACopyOfAnUnchangedSourceIsNotLate: a run that found nothing new notes that in DEST, and the copy with that backup
// is just as current.
func TestACopyOfAnUnchangedSourceIsNotLate(t *testing.T) {
	const day = 24 * time.Hour
	here := &rsbtbackup.Listing{Backups: []rsbtbackup.Snapshot{made(9*day, rsbtbackup.Complete, 0), made(8*day, rsbtbackup.Complete, 0)}}
	here.Backups[1].UUID = btrfs.UUID{1}
	here.Backups[1].Record.Unchanged = &rsbtbackup.UnchangedInfo{At: noon.Add(-time.Hour)}
	there := func(origin btrfs.UUID) *rsbtbackup.Listing {
		b := made(8*day, rsbtbackup.Complete, 0)
		b.UUID, b.Record.Copied = btrfs.UUID{2}, &rsbtbackup.CopyInfo{UUID: origin}
		return &rsbtbackup.Listing{Backups: []rsbtbackup.Snapshot{b}}
	}
	if got, want := copied(here, noon.Add(-7*day)), noon.Add(-time.Hour); !got.Equal(want) {
		t.Errorf("on another host: %v, want %v", got, want)
	}
	if got, want := newestCopied(here, there(btrfs.UUID{1})), noon.Add(-time.Hour); !got.Equal(want) {
		t.Errorf("on this machine: %v, want %v", got, want)
	}
	if got, want := newestCopied(here, there(btrfs.UUID{3})), noon.Add(-8*day); !got.Equal(want) {
		t.Errorf("another backup of that name: %v, want %v", got, want)
	}
	if got, want := newestCopied(nil, there(btrfs.UUID{1})), noon.Add(-8*day); !got.Equal(want) {
		t.Errorf("without a DEST: %v, want %v", got, want)
	}
}

// TestASkippedCopyIsNoFailureOfTheJob: its disk may be absent for months, and the result of the job is still reported.
func TestASkippedCopyIsNoFailureOfTheJob(t *testing.T) {
	for _, first := range []Status{OK, Fresh, Skipped, Incomplete, Failed} {
		r := result(0, Verdict{Step: Backup, Status: first}, Verdict{Step: copyStep("usb"), Status: Skipped})
		if got := r.Status(); got != first {
			t.Errorf("%s with a copy that was skipped: %s", first, got)
		}
	}
}
