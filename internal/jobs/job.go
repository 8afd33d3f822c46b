package jobs

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// run runs a job once and stores its result. A panic in one job is a failure of that job.
func (r runner) run(ctx context.Context, j config.Job, t try) (o outcome) {
	if lowers(j) {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine, and its priority with it
	}
	defer func() {
		if p := recover(); p != nil {
			r.log(j).Warn("this is a bug", "panic", p, "stack", string(debug.Stack()))
			o = outcome{result: Result{Job: j, Started: t.began, Ended: r.Now(), Tries: t.number}}
			err := fmt.Errorf("panic: %v", p)
			v := Verdict{Job: j.Name, Step: Backup, Status: Failed, Exit: r.ExitCode(err), Error: err.Error(), Err: err, Started: t.began, Ended: r.Now()}
			o.result.Verdicts = []Verdict{v}
			r.tail(j).ended(v)
			r.Watcher.Ends(v)
		}
		if !o.again {
			o.result = r.remember(ctx, t.state, o.result)
			r.Watcher.Done(o.result)
		}
	}()
	c := &course{runner: r, all: ctx, ctx: ctx, job: j, result: Result{Job: j, Tries: t.number, Started: t.began}}
	if j.TimeLimit > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, j.TimeLimit, fmt.Errorf("the job took longer than its time-limit of %v", j.TimeLimit))
		defer cancel()
		c.ctx = limited
	}
	c.run(t)
	c.result.Ended = r.Now()
	return outcome{result: c.result, again: c.again}
}

// remember writes the result of a job. If that fails, the job does not.
func (r runner) remember(ctx context.Context, before State, result Result) Result {
	result.State, result.Log = before.add(result), r.tail(result.Job).String()
	if r.DryRun {
		return result
	}
	// Also when the run is stopped, because reading one directory is fast.
	if l, err := rsbtbackup.List(context.WithoutCancel(ctx), result.Job.Backup.Dest); err == nil {
		result.State = result.State.see(l)
	}
	if err := writeState(r.StateDir, result.State); err != nil {
		r.log(result.Job).Warn("the state of the job could not be written", "err", err)
	}
	return result
}

// do runs a step that follows the backup.
func (r runner) do(ctx context.Context, j config.Job, v *Verdict) (err error) {
	switch v.Step {
	case Prune:
		o := j.Prune
		o.LockWait, o.DryRun, o.Logger, o.Now = j.Backup.LockWait, r.DryRun, r.log(j), r.Now()
		v.Prune, err = rsbtbackup.Prune(ctx, j.Backup.Dest, o)
	case Check:
		o := j.Check.Options
		o.Now = r.Now()
		v.Check, err = rsbtbackup.Check(ctx, j.Backup.Dest, o)
	case Verify, Against:
		if r.DryRun {
			v.Reason = "it would be read back"
			return nil
		}
		return r.verify(ctx, j, v)
	default:
		return r.copy(ctx, j, v)
	}
	return err
}

func (r runner) verify(ctx context.Context, j config.Job, v *Verdict) (err error) {
	if v.Step == Against {
		b := j.Backup
		v.Against, err = rsbtbackup.VerifyAgainst(ctx, b.Dest, rsbtbackup.AgainstOptions{
			Source: b.Source, OneFileSystem: b.OneFileSystem, Filter: b.Filter, Exclude: b.Exclude, ExcludeFrom: b.ExcludeFrom,
			ExcludeCaches: b.ExcludeCaches, ExcludeIfPresent: b.ExcludeIfPresent,
			Rsh: b.Rsh, Timeout: b.Timeout, RsyncProgram: b.RsyncProgram, Logger: r.log(j),
			Progress: func(p rsbtbackup.Progress) { r.Watcher.Transfers(j, p) },
		})
		return err
	}
	v.Verify, err = rsbtbackup.Verify(ctx, j.Backup.Dest, rsbtbackup.VerifyOptions{
		NewOnly: j.Verify.NewOnly, Jobs: j.Verify.Jobs, Logger: r.log(j), Now: r.Now(),
		Progress: func(p rsbtbackup.VerifyProgress) { r.Watcher.Verifies(j, p) },
		Found: func(d rsbtbackup.Damage) {
			r.log(j).Warn("damaged", "backup", d.Backup, "path", d.Path, "intact", d.Intact)
		},
	})
	return err
}
