package prune

import (
	"log/slog"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/space"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// Options are those of rsbtbackup.PruneOptions, where each has its comment.
type Options struct {
	Policy  retention.Policy
	MinFree facts.MinFree
	KeepMin int
	Wait    bool

	Force bool

	DryRun   bool
	LockWait time.Duration
	Now      time.Time
	Logger   *slog.Logger
	Progress func(done, total int)
}

// Report is that of rsbtbackup.PruneReport.
type Report struct {
	Dest      string
	DryRun    bool
	Decisions []facts.Decision
	Deleted   []string
	Free      uint64
	Total     uint64
	Repairs   []string
	Refused   string
	AtMost    bool
}

// Check refuses invalid options, and those that would delete everything.
func (o *Options) Check() error {
	if o.Policy.IsEmpty() && space.IsZero(o.MinFree) {
		return fail.Kindf(facts.ErrUsage, "no rule says which backups to keep: an empty policy would delete all")
	}
	if err := o.Policy.Validate(); err != nil {
		return fail.Kind(facts.ErrUsage, err)
	}
	if o.MinFree.Bytes < 0 || !(o.MinFree.Percent >= 0 && o.MinFree.Percent < 100) { // NaN is refused
		return fail.Kindf(facts.ErrUsage, "--min-free: want a number of bytes, or a percentage from 0 to below 100")
	}
	if o.KeepMin < 0 {
		return fail.Kindf(facts.ErrUsage, "--keep-min=%d: want 1 or more", o.KeepMin)
	}
	if o.KeepMin > 0 && space.IsZero(o.MinFree) {
		return fail.Kindf(facts.ErrUsage, "--keep-min needs --min-free")
	}
	return nil
}

func (o *Options) keepMin() int { return max(o.KeepMin, 1) }
