package jobs

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// Options are those of Run.
type Options struct {
	Jobs, PerHost, PerDisk int           // at once; 0 is no limit
	IfOlderThan            time.Duration // skip jobs whose newest complete backup is younger; 0: none
	DryRun                 bool          // change nothing, and store no state
	StateDir               string
	Service                string           // our systemd unit, outside of which hooks run; or ""
	Version                string           // of the calling program, for the records
	ExitCode               func(error) int  // the exit code of the calling program for an error
	Now                    func() time.Time // the clock
	OnBattery              func() bool      // says why a job is postponed, if it is
	Metered                func(context.Context) bool
	Watcher                Watcher
}

// Watcher is notified of events. Its methods are called from several goroutines.
type Watcher interface {
	Log(j config.Job) *slog.Logger // for one step, or between steps
	Starts(j config.Job)           // its first backup is about to begin; not in a dry run
	Begins(j config.Job, s Step)
	Transfers(j config.Job, p rsbtbackup.Progress)
	Verifies(j config.Job, p rsbtbackup.VerifyProgress)
	Copies(j config.Job, p rsbtbackup.CopyProgress)
	Ends(v Verdict)
	Done(r Result) // all steps of a job have ended, or it was not begun
}

// Run runs jobs, the longest first, and returns their results, in the order of jobs. It returns when all have ended:
// when ctx is cancelled, running jobs stop and waiting ones do not begin. One job does not affect another.
func Run(ctx context.Context, jobs []config.Job, o Options) []Result {
	r := runner{o, newTails(jobs)}
	results := make([]Result, len(jobs))
	tries := make([]try, len(jobs))
	waiting := make([]task, len(jobs))
	for i, j := range jobs {
		tries[i] = newTry(j, r.state(j), o.Now())
		waiting[i] = task{i, config.RealPath(j.Backup.Dest), config.Host(j.Backup.Source), diskOf(j.Backup.Dest), tries[i].state.Length, time.Time{}}
	}
	var running []task
	ends := make(chan ended)
	stopped := ctx.Done()
	for len(waiting)+len(running) > 0 {
		start, wake := next(waiting, running, limits{o.Jobs, o.PerHost, o.PerDisk}, o.Now())
		if ctx.Err() != nil {
			start = nil
			for _, t := range waiting {
				results[t.job] = r.notBegun(ctx, jobs[t.job], tries[t.job])
			}
			waiting, stopped = nil, nil
		}
		for _, t := range start {
			waiting = slices.DeleteFunc(waiting, func(w task) bool { return w.job == t.job })
			tries[t.job].number++
			go func(this try) { ends <- ended{t, r.run(ctx, jobs[t.job], this)} }(tries[t.job])
		}
		running = append(running, start...)
		if len(waiting)+len(running) == 0 {
			break
		}
		select {
		case e := <-ends:
			running = slices.DeleteFunc(running, func(t task) bool { return t.job == e.task.job })
			if e.outcome.again {
				e.task.notBefore = tries[e.task.job].next(o.Now())
				waiting = append(waiting, e.task)
				continue
			}
			results[e.task.job] = e.outcome.result
		case <-r.alarm(wake):
		case <-stopped:
		}
	}
	return results
}

// ended is how a task ended.
type ended struct {
	task    task
	outcome outcome
}

// outcome is the result of a job, or that it must be tried again.
type outcome struct {
	result Result
	again  bool
}

// try is what is kept about a job from one try to the next. Only Run changes it, while the job does not run.
type try struct {
	state   State
	began   time.Time
	number  int
	until   time.Time // the last try begins by then
	backoff *backoff.ExponentialBackOff
}

func newTry(j config.Job, s State, now time.Time) try {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = time.Minute
	if j.RetryDelay > 0 {
		b.InitialInterval = j.RetryDelay
	}
	b.Multiplier, b.RandomizationFactor, b.MaxInterval = 2, 0.2, max(30*time.Minute, b.InitialInterval)
	return try{state: s, began: now, until: now.Add(j.RetryFor), backoff: b}
}

// next is when the job is tried again: after longer and longer waits, and the last time at the end of the window.
func (t *try) next(now time.Time) time.Time {
	at := now.Add(t.backoff.NextBackOff())
	if at.After(t.until) {
		return t.until
	}
	return at
}

// runner is what all jobs have in common. It does not change.
type runner struct {
	Options
	tails map[string]*tail // by the name of the job
}

// alarm fires at a time; never at the zero time.
func (r runner) alarm(at time.Time) <-chan time.Time {
	if at.IsZero() {
		return nil
	}
	return time.After(at.Sub(r.Now()))
}

func (r runner) tail(j config.Job) *tail { return r.tails[j.Name] }

// log is that of the watcher, whose end is kept.
func (r runner) log(j config.Job) *slog.Logger {
	return slog.New(slog.NewMultiHandler(r.Watcher.Log(j).Handler(), r.tail(j).log.Handler()))
}

// state reads the stored state; an unreadable one is reported and ignored.
func (r runner) state(j config.Job) State {
	s, err := ReadState(r.StateDir, j.Name)
	if err != nil {
		r.log(j).Warn("the stored state of the job cannot be used", "err", err)
	}
	return s
}

// notBegun is the result of a job that did not begin before a signal.
func (r runner) notBegun(ctx context.Context, j config.Job, t try) Result {
	now, err := r.Now(), context.Cause(ctx)
	v := Verdict{Job: j.Name, Step: Backup, Status: Stopped, Exit: r.ExitCode(err), Error: "it could not begin: " + err.Error(), Started: now, Ended: now, Err: err}
	if t.number > 0 {
		v.Error = "not tried again: " + err.Error()
	}
	r.tail(j).ended(v)
	r.Watcher.Ends(v)
	result := Result{Job: j, Verdicts: []Verdict{v}, Tries: t.number, Started: t.began, Ended: now, State: t.state, Log: r.tail(j).String()}
	r.Watcher.Done(result)
	return result
}
