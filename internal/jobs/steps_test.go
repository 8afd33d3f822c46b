package jobs

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

func TestFollowing(t *testing.T) {
	prunes := config.Job{Prune: rsbtbackup.PruneOptions{Policy: retention.Policy{Last: 3}}}
	all := prunes
	all.Verify = config.Verify{Every: config.Every{Span: retention.Span{Days: 7}}, Against: true}
	all.Check.Every = config.Every{Always: true}
	always := config.Job{Verify: config.Verify{Every: config.Every{Always: true}}}
	recent := seen{verified: noon.Add(-time.Hour), checked: noon.Add(-time.Hour)}
	copies := prunes
	copies.Copies = []config.Copy{{Name: "a", Target: "/a"}, {Name: "b", Target: "/b"}}
	half := seen{newest: noon, steps: map[Step]StepState{"copy.a": {OK: noon.Add(time.Hour)}, "copy.b": {OK: noon.Add(-time.Hour)}}}
	other := errors.New("something else")
	for _, tt := range []struct {
		name  string
		job   config.Job
		seen  seen
		err   error
		fresh bool
		want  []Step
	}{
		{"nothing is asked for", config.Job{}, seen{}, nil, false, nil},
		{"everything is due", all, seen{}, nil, false, []Step{Prune, Verify, Against, Check}},
		{"verified an hour ago", all, recent, nil, false, []Step{Prune, Check}},
		{"an incomplete backup is one", all, recent, rsbtbackup.ErrIncomplete, false, []Step{Prune, Check}},
		{"an incomplete backup is not the source", all, seen{}, rsbtbackup.ErrIncomplete, false, []Step{Prune, Verify, Check}},
		{"no backup, nothing to prune; what is there is read", all, seen{}, rsbtbackup.ErrSource, false, []Step{Verify}},
		{"stopped by a guard", all, recent, rsbtbackup.ErrGuard, false, nil},
		{"something else", all, recent, other, false, nil},
		{"a full disk is made room on", all, recent, rsbtbackup.ErrNoSpace, false, []Step{Prune}},
		{"a full disk, but nothing says what to keep", config.Job{}, recent, rsbtbackup.ErrNoSpace, false, nil},
		{"no dest", all, seen{}, rsbtbackup.ErrDest, false, nil},
		{"not on btrfs", all, seen{}, rsbtbackup.ErrNotBtrfs, false, nil},
		{"not prepared", all, seen{}, fmt.Errorf("x: %w", rsbtbackup.ErrNotInitialized), false, nil},
		{"locked", all, seen{}, rsbtbackup.ErrLocked, false, nil},
		{"fresh", prunes, recent, nil, true, nil},
		{"fresh, and the last prune failed", prunes, seen{pruneFailed: true}, nil, true, []Step{Prune}},
		{"fresh, and a verify is due by its span", all, seen{checked: noon}, nil, true, []Step{Verify, Against}},
		{"fresh: always means after a backup", always, seen{}, nil, true, nil},
		{"copies come before anything is deleted", copies, recent, nil, false, []Step{"copy.a", "copy.b", Prune}},
		{"copies, though no backup was made", copies, recent, rsbtbackup.ErrSource, false, []Step{"copy.a", "copy.b"}},
		{"no copies of what cannot be read", copies, recent, rsbtbackup.ErrDest, false, nil},
		{"fresh, and one copy has not had the newest", copies, half, nil, true, []Step{"copy.b"}},
		{"always", always, recent, nil, false, []Step{Verify}},
	} {
		if got := following(tt.job, tt.seen, tt.err, tt.fresh, noon); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestFresh(t *testing.T) {
	for _, tt := range []struct {
		name   string
		newest time.Time
		limit  time.Duration
		want   bool
	}{
		{"no limit", noon, 0, false},
		{"no backup", time.Time{}, time.Hour, false},
		{"younger", noon.Add(-59 * time.Minute), time.Hour, true},
		{"as old", noon.Add(-time.Hour), time.Hour, false},
		{"from the future", noon.Add(time.Minute), time.Hour, false},
	} {
		if got := (seen{newest: tt.newest}).fresh(noon, tt.limit); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestJudge(t *testing.T) {
	signal, other := errors.New("signal"), errors.New("other")
	for _, tt := range []struct {
		err, stopped error
		want         Status
	}{
		{nil, nil, OK},
		{nil, signal, OK}, // it came too late
		{other, nil, Failed},
		{other, signal, Failed},
		{fmt.Errorf("transfer: %w", signal), signal, Stopped},
		{rsbtbackup.ErrIncomplete, nil, Incomplete},
	} {
		if got := judge(tt.err, tt.stopped); got != tt.want {
			t.Errorf("judge(%v, %v) = %v, want %v", tt.err, tt.stopped, got, tt.want)
		}
	}
}

func TestUnreachable(t *testing.T) {
	for _, tt := range []struct {
		source string
		err    error
		want   bool
	}{
		{"web:/etc", fmt.Errorf("x: %w", rsbtbackup.ErrSource), true},
		{"/etc", rsbtbackup.ErrSource, false},
		{"web:/etc", rsbtbackup.ErrNoSpace, false},
		{"web:/etc", nil, false},
	} {
		if got := unreachable(config.Job{Backup: rsbtbackup.BackupOptions{Source: tt.source}}, tt.err); got != tt.want {
			t.Errorf("%s, %v: %v", tt.source, tt.err, got)
		}
	}
}

func TestTryAgainLaterEachTime(t *testing.T) {
	tr := newTry(config.Job{RetryFor: time.Hour, RetryDelay: time.Minute}, State{}, noon)
	now, last := noon, time.Duration(0)
	for n := 0; now.Before(tr.until); n++ {
		at := tr.next(now)
		delay := at.Sub(now)
		if delay <= 0 || delay <= last && !at.Equal(tr.until) || n > 10 {
			t.Fatalf("try %d after %v, the one before after %v", n, delay, last)
		}
		now, last = at, delay
	}
	if !now.Equal(noon.Add(time.Hour)) {
		t.Errorf("the last try is at %v", now)
	}
}
