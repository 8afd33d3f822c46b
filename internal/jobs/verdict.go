package jobs

import (
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// Step is a part of a job with its own verdict.
type Step string

const (
	Backup  Step = "backup"
	Prune   Step = "prune"
	Verify  Step = "verify"
	Against Step = "against" // the comparison with the source
	Check   Step = "check"

	BeforeHook  Step = "hooks.before"
	AfterHook   Step = "hooks.after"
	FailureHook Step = "hooks.failure"
	FinallyHook Step = "hooks.finally"
)

// copyStep is the step that fills a copy.
func copyStep(name string) Step { return Step("copy." + name) }

func (s Step) isCopy() bool { return strings.HasPrefix(string(s), string(copyStep(""))) }

func (s Step) isHook() bool { return strings.HasPrefix(string(s), "hooks.") }

// Status is a verdict.
type Status string

const (
	OK         Status = "ok"
	Incomplete Status = "incomplete" // the backup is published, but not everything could be read
	Failed     Status = "failed"
	Skipped    Status = "skipped" // the disk of DEST, or of a copy, is removable and absent; or the job is postponed
	Fresh      Status = "fresh"   // the last backup is new enough
	Stopped    Status = "stopped" // by a signal, or not begun because of one
)

// Verdict is the result of one step.
type Verdict struct {
	Job     string    `json:"job"`
	Step    Step      `json:"step"`
	Status  Status    `json:"status"`
	Exit    int       `json:"exit"`
	Error   string    `json:"error,omitempty"`
	Reason  string    `json:"reason,omitempty"` // why no backup was made
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`

	Backup  *rsbtbackup.Report        `json:"backup,omitempty"`
	Prune   *rsbtbackup.PruneReport   `json:"prune,omitempty"`
	Verify  *rsbtbackup.VerifyReport  `json:"verify,omitempty"`
	Against *rsbtbackup.AgainstReport `json:"against,omitempty"`
	Check   *rsbtbackup.CheckReport   `json:"check,omitempty"`
	Copy    *rsbtbackup.CopyReport    `json:"copy,omitempty"`

	Err error `json:"-"`
}

// Result is the result of a job.
type Result struct {
	Job      config.Job
	Verdicts []Verdict // of the steps that were due, in their order
	Tries    int       // of the backup
	Started  time.Time
	Ended    time.Time
	State    State  // the stored state of the job from now on
	Log      string // the end of its log
}

// Status is that of the worst step. A copy that was skipped does not count.
func (r Result) Status() Status {
	worst := OK
	for _, v := range r.Verdicts {
		if v.Step.isCopy() && v.Status == Skipped {
			continue
		}
		if rank(v.Status) > rank(worst) {
			worst = v.Status
		}
	}
	return worst
}

// rank orders verdicts, the worst highest.
func rank(s Status) int {
	switch s {
	case Fresh:
		return 1
	case Skipped:
		return 2
	case Incomplete:
		return 3
	case Failed:
		return 4
	case Stopped:
		return 5
	}
	return 0
}

// Find returns the verdict of a step.
func (r Result) Find(s Step) (Verdict, bool) {
	for _, v := range r.Verdicts {
		if v.Step == s {
			return v, true
		}
	}
	return Verdict{}, false
}
