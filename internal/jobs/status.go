package jobs

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// Health is the state of a job, in one word.
type Health string

const (
	Well    Health = "ok"
	Failing Health = "failing" // a step failed, and has not succeeded since
	Late    Health = "late"    // the newest complete backup, here or in a copy, is too old
	None    Health = "none"    // there is no complete backup
	Absent  Health = "absent"  // the removable disk of DEST is absent
	NoDest  Health = "no dest" // DEST cannot be read
)

// Standing is the state of a job.
type Standing struct {
	Job    string `json:"job"`
	Source string `json:"source"`
	Dest   string `json:"dest"`
	Health Health `json:"health"`

	LastSuccess time.Time `json:"last_success,omitzero"` // when the newest complete backup was begun, or found current
	Newest      string    `json:"newest,omitempty"`      // its name
	Backups     int       `json:"backups"`
	Unfinished  bool      `json:"unfinished"`               // a backup is being made, or was interrupted
	Size        *int64    `json:"size,omitempty"`           // bytes in the files of the newest complete backup
	Added       *uint64   `json:"added_bytes,omitempty"`    // by it
	Growth      *uint64   `json:"growth_per_day,omitempty"` // bytes, in the month before the newest backup
	Free        uint64    `json:"free"`
	Total       uint64    `json:"total"`

	LateAfter time.Time `json:"late_after,omitzero"`    // when the job is late, unless a backup is made
	VerifyDue time.Time `json:"verify_due,omitzero"`    // zero: never
	Verified  time.Time `json:"last_verified,omitzero"` // when backups were last read from the disk

	Copies []CopyStanding `json:"copies,omitempty"`

	DestError   string   `json:"dest_error,omitempty"` // why DEST cannot be read
	LastFailure *Failure `json:"last_failure,omitempty"`
	StateError  string   `json:"state_error,omitempty"` // why the stored state cannot be read
}

// maxAge is the limit of check if the config does not set one.
const maxAge = 26 * time.Hour

// Stand reads the state of each job: from DEST, and the reason of the last failure from the small state file. It takes
// no lock and changes nothing.
func Stand(ctx context.Context, jobs []config.Job, stateDir string, now time.Time) []Standing {
	all := make([]Standing, len(jobs))
	work := make(chan int)
	var done sync.WaitGroup
	for range min(len(jobs), 2*runtime.GOMAXPROCS(0)) {
		done.Go(func() {
			for i := range work {
				l, err := rsbtbackup.List(ctx, jobs[i].Backup.Dest)
				st, stErr := ReadState(stateDir, jobs[i].Name)
				all[i] = standing(jobs[i], l, err, st, stErr, now).withCopies(CopiesStand(ctx, jobs[i], stateDir, l, now))
			}
		})
	}
	for i := range jobs {
		work <- i
	}
	close(work)
	done.Wait()
	return all
}

// standing makes the state from what was read.
func standing(j config.Job, l *rsbtbackup.Listing, destErr error, st State, stErr error, now time.Time) Standing {
	s := Standing{Job: j.Name, Source: j.Backup.Source, Dest: j.Backup.Dest, LastFailure: st.LastFailure()}
	if stErr != nil {
		s.StateError = stErr.Error()
	}
	if destErr != nil {
		s.Health, s.DestError = NoDest, destErr.Error()
		if st.Dest == j.Backup.Dest {
			s.LastSuccess = st.Newest // as it was at the end of the last run
		}
		if j.Removable && DiskAbsent(j.Backup.Dest, destErr) {
			s.Health = Absent
		}
		return s
	}
	s.Backups, s.Unfinished, s.Free, s.Total = len(l.Backups), l.Pending, l.Free, l.Total
	s.Verified = lastVerified(l.Backups)
	for _, b := range l.Backups {
		if b.Status != rsbtbackup.Complete {
			continue
		}
		s.LastSuccess, s.Newest, s.Size, s.Added = b.AsOf(), b.Name, nil, b.Added
		if b.Record != nil && b.Record.Stats != nil {
			s.Size = &b.Record.Stats.TotalSize
		}
	}
	s.Growth = growth(l.Backups)
	if !j.Verify.Every.Never() && !j.Verify.Every.Always {
		s.VerifyDue = verifyDue(j.Verify.Every, s.Verified, now)
	}
	s.Health = s.health(j, st, now)
	if !s.LastSuccess.IsZero() {
		s.LateAfter = s.LastSuccess.Add(ageLimit(j))
	}
	return s
}

// withCopies: a job whose copies are late is late, even if DEST is not.
func (s Standing) withCopies(copies []CopyStanding) Standing {
	s.Copies = copies
	for _, c := range copies {
		if c.Late && s.Health == Well {
			s.Health = Late
		}
	}
	return s
}

func ageLimit(j config.Job) time.Duration {
	if j.Check.Options.MaxAge > 0 {
		return j.Check.Options.MaxAge
	}
	return maxAge
}

func (s Standing) health(j config.Job, st State, now time.Time) Health {
	switch {
	case st.Failing():
		return Failing
	case s.LastSuccess.IsZero():
		return None
	case now.Sub(s.LastSuccess) > ageLimit(j):
		return Late
	}
	return Well
}

// verifyDue is when a span has passed since the last time: now, if there was none.
func verifyDue(e config.Every, last, now time.Time) time.Time {
	if last.IsZero() {
		return now
	}
	return last.AddDate(e.Span.Years, e.Span.Months, e.Span.Days).Add(time.Duration(e.Span.Hours) * time.Hour)
}

// growthOver is the period over which growth is measured.
const growthOver = 30 * 24 * time.Hour

// growth is how many bytes backups added per day, over the last month; nil if the backups cover less than an hour, or
// it is unknown what one of them added.
func growth(backups []rsbtbackup.Snapshot) *uint64 {
	if len(backups) == 0 {
		return nil
	}
	last := backups[len(backups)-1].Time
	first, sum := last, uint64(0)
	for i := len(backups) - 1; i > 0; i-- {
		b, before := backups[i], backups[i-1].Time
		if b.Added == nil || last.Sub(before) > growthOver || before.After(first) {
			break
		}
		sum, first = sum+*b.Added, before
	}
	span := last.Sub(first)
	if span < time.Hour {
		return nil
	}
	perDay := uint64(float64(sum) * float64(24*time.Hour) / float64(span))
	return &perDay
}
