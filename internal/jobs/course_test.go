package jobs

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// deaf watches nothing.
type deaf struct{}

func (deaf) Log(config.Job) *slog.Logger                    { return slog.New(slog.DiscardHandler) }
func (deaf) Starts(config.Job)                              {}
func (deaf) Begins(config.Job, Step)                        {}
func (deaf) Transfers(config.Job, rsbtbackup.Progress)      {}
func (deaf) Verifies(config.Job, rsbtbackup.VerifyProgress) {}
func (deaf) Copies(config.Job, rsbtbackup.CopyProgress)     {}
func (deaf) Ends(Verdict)                                   {}
func (deaf) Done(Result)                                    {}

// TestAStepThatWasNotBegunIsReported: a job that is stopped, or at its limit, between two steps is not well.
func TestAStepThatWasNotBegunIsReported(t *testing.T) {
	for _, tt := range []struct {
		name   string
		all    bool // the whole run is stopped
		first  Status
		want   Status
		copies bool
	}{
		{"stopped", true, OK, Stopped, true},
		{"limit", false, OK, Failed, true},
		{"limit, and the backup failed by it", false, Failed, Failed, true},
		{"nothing was left to do", true, OK, OK, false},
	} {
		j := job("a")
		if tt.copies {
			j.Copies = []config.Copy{{Name: "x", Target: "/x"}, {Name: "y", Target: "/y"}}
		}
		all, stopAll := context.WithCancelCause(t.Context())
		ctx, stop := context.WithCancelCause(all)
		why := errors.New("why")
		if stop(why); tt.all {
			stopAll(why)
		}
		r := runner{Options{Now: func() time.Time { return noon }, ExitCode: func(error) int { return 1 }, Watcher: deaf{}}, newTails([]config.Job{j})}
		c := &course{runner: r, all: all, ctx: ctx, job: j, result: result(0, Verdict{Step: Backup, Status: tt.first})}
		c.rest(seen{}, nil, false)
		if got := c.result.Status(); got != tt.want || len(c.result.Verdicts) > 2 {
			t.Errorf("%s: %s, want %s: %+v", tt.name, got, tt.want, c.result.Verdicts)
		}
		stopAll(nil)
	}
}

// TestACopyToAHostWaitsForAnUnmeteredConnection: the backup itself may be made of what is here.
func TestACopyToAHostWaitsForAnUnmeteredConnection(t *testing.T) {
	j := job("a")
	j.NoMetered, j.Copies = true, []config.Copy{{Name: "x", Target: "host:/x"}}
	for _, metered := range []bool{true, false} {
		r := runner{Options{Now: func() time.Time { return noon }, ExitCode: func(error) int { return 1 }, Watcher: deaf{},
			Metered: func(context.Context) bool { return metered }}, newTails([]config.Job{j})}
		c := &course{runner: r, all: t.Context(), ctx: t.Context(), job: j}
		v := c.step(copyStep("x"), func(v *Verdict) error { return c.do(c.ctx, j, v) })
		if (v.Status == Skipped) != metered || (v.Err == nil) != metered {
			t.Errorf("metered %v: %+v", metered, v) // there is no DEST to copy
		}
	}
}
