package jobs

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// run runs a job once and remembers what became of it. A bug that panics in one job is a failure of that job.
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
			r.Watcher.Ends(v)
		}
		if o.again {
			return
		}
		if !r.DryRun {
			if err := writeState(r.StateDir, t.state.add(o.result)); err != nil {
				r.log(j).Warn("what is remembered of the job could not be written", "err", err)
			}
		}
		r.Watcher.Done(o.result)
	}()
	if j.TimeLimit > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, j.TimeLimit, fmt.Errorf("the job took longer than its time-limit of %v", j.TimeLimit))
		defer cancel()
		return r.steps(ctx, limited, j, t)
	}
	return r.steps(ctx, ctx, j, t)
}

// steps runs the backup and what is due after it. all is cancelled when the whole run is, ctx also by a limit of the
// job.
func (r runner) steps(all, ctx context.Context, j config.Job, t try) outcome {
	result := Result{Job: j, Tries: t.number, Started: t.began}
	s, err := look(ctx, j.Backup.Dest, t.state)
	fresh := err == nil && s.fresh(r.Now(), r.IfOlderThan)
	var first Verdict
	switch {
	case j.Removable && DiskAbsent(err):
		first = r.left(j, Skipped, "its disk is not there: "+err.Error())
		result.Verdicts, result.Ended = []Verdict{first}, r.Now()
		r.Watcher.Ends(first)
		return outcome{result: result}
	case fresh:
		first = r.left(j, Fresh, fmt.Sprintf("the newest complete backup was begun %v ago", r.Now().Sub(s.newest).Round(time.Second)))
	default:
		again := false
		first = r.step(all, j, Backup, func(v *Verdict) error {
			err := r.backup(ctx, j, v)
			again = err != nil && all.Err() == nil && unreachable(j, err) && r.Now().Before(t.until)
			return err
		})
		if again {
			r.log(j).Warn("the source is out of reach, to be tried again", "err", first.Err, "until", t.until.Format(time.DateTime))
			return outcome{again: true}
		}
	}
	result.Verdicts = []Verdict{first}
	r.Watcher.Ends(first)
	for _, step := range following(j, s, first.Err, fresh, r.Now()) {
		if ctx.Err() != nil {
			break
		}
		v := r.step(all, j, step, func(v *Verdict) error { return r.do(ctx, j, v) })
		result.Verdicts = append(result.Verdicts, v)
		r.Watcher.Ends(v)
	}
	result.Ended = r.Now()
	return outcome{result: result}
}

// left is the verdict on a backup that was not made, and need not be.
func (r runner) left(j config.Job, s Status, reason string) Verdict {
	now := r.Now()
	return Verdict{Job: j.Name, Step: Backup, Status: s, Reason: reason, Started: now, Ended: now}
}

// step runs one step and judges how it ended.
func (r runner) step(all context.Context, j config.Job, s Step, do func(*Verdict) error) Verdict {
	r.Watcher.Begins(j, s)
	v := Verdict{Job: j.Name, Step: s, Started: r.Now()}
	err := do(&v)
	v.Ended, v.Err, v.Exit = r.Now(), err, r.ExitCode(err)
	v.Status = judge(err, context.Cause(all))
	if err != nil {
		v.Error = err.Error()
	}
	return v
}

// judge makes a verdict of an error. stopped is why the whole run was cancelled, if it was.
func judge(err, stopped error) Status {
	switch {
	case err == nil:
		return OK
	case stopped != nil && errors.Is(err, stopped):
		return Stopped
	case errors.Is(err, rsbtbackup.ErrIncomplete):
		return Incomplete
	}
	return Failed
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
	}
	return err
}

func (r runner) verify(ctx context.Context, j config.Job, v *Verdict) (err error) {
	if v.Step == Against {
		b := j.Backup
		v.Against, err = rsbtbackup.VerifyAgainst(ctx, b.Dest, rsbtbackup.AgainstOptions{
			Source: b.Source, OneFileSystem: b.OneFileSystem, Filter: b.Filter, Exclude: b.Exclude, ExcludeFrom: b.ExcludeFrom,
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

func (r runner) backup(ctx context.Context, j config.Job, v *Verdict) (err error) {
	if err := lower(j); err != nil {
		return err
	}
	o := j.Backup
	o.Bwlimit, o.Now = j.BwlimitAt(r.Now()), r.Now()
	o.DryRun, o.Version, o.Logger = r.DryRun, r.Version, r.log(j)
	o.Progress = func(p rsbtbackup.Progress) { r.Watcher.Transfers(j, p) }
	v.Backup, err = rsbtbackup.Backup(ctx, o)
	return err
}
