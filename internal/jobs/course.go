package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// course is the state of one attempt of a job.
type course struct {
	runner
	all, ctx context.Context // all is cancelled when the whole run is, ctx also by a limit of the job
	job      config.Job
	result   Result
	again    bool // the source cannot be reached and will be tried again; the result is that of the next try
}

// run runs the hooks, the backup and what is due after it.
func (c *course) run(t try) {
	s, err := look(c.ctx, c.job.Backup.Dest, t.state)
	if err == nil && s.fresh(c.Now(), c.IfOlderThan) {
		c.leave(Fresh, fmt.Sprintf("the newest complete backup is as of %v ago", c.Now().Sub(s.newest).Round(time.Second)))
		c.rest(s, nil, true)
		c.failed()
		return
	}
	if reason := c.notNow(c.ctx, c.job); reason != "" {
		c.leave(Skipped, reason)
		return
	}
	if c.hook(BeforeHook) {
		if err != nil && len(c.job.Hooks.Before) > 0 {
			s, err = look(c.ctx, c.job.Backup.Dest, t.state) // the hook may have mounted it
		}
		c.backUp(t, s, err)
	}
	if c.result.Status() == OK && !c.again {
		c.hook(AfterHook)
	}
	c.failed()
	c.hook(FinallyHook)
}

// backUp makes the backup, and what is due after it. destErr is why DEST cannot be read.
func (c *course) backUp(t try, s seen, destErr error) {
	if c.job.Removable && DiskAbsent(c.job.Backup.Dest, destErr) {
		c.leave(Skipped, "its removable disk is absent: "+destErr.Error())
		return
	}
	if t.number == 1 && !c.DryRun {
		c.Watcher.Starts(c.job)
	}
	v := c.step(Backup, c.backup)
	c.again = v.Err != nil && c.all.Err() == nil && unreachable(c.job, v.Err) && v.Ended.Before(t.until)
	if c.again {
		c.log(c.job).Warn("the source cannot be reached; it will be tried again", "err", v.Err, "until", t.until.Format(time.DateTime))
		return
	}
	c.end(v)
	c.rest(s, v.Err, v.Backup != nil && v.Backup.Skipped)
}

// backup makes a backup.
func (c *course) backup(v *Verdict) (err error) {
	j := c.job
	if err := lower(j); err != nil {
		return err
	}
	o := j.Backup
	o.Bwlimit, o.Now = j.BwlimitAt(c.Now()), c.Now()
	o.DryRun, o.Version, o.Logger = c.DryRun, c.Version, c.log(j)
	o.Progress = func(p rsbtbackup.Progress) { c.Watcher.Transfers(j, p) }
	o.BeforeSnapshot, o.AfterSnapshot = c.around(beforeSnapshot), c.around(afterSnapshot)
	v.Backup, err = rsbtbackup.Backup(c.ctx, o)
	if v.Backup.Skipped {
		v.Reason = "nothing has changed since " + v.Backup.Base
	}
	return err
}

// rest runs the steps that follow a backup which ended with err, or was not made since the last one is fresh.
func (c *course) rest(s seen, err error, fresh bool) {
	for _, step := range following(c.job, s, err, fresh, c.Now()) {
		if c.ctx.Err() != nil {
			c.notBegun(step)
			return
		}
		c.end(c.step(step, func(v *Verdict) error { return c.do(c.ctx, c.job, v) }))
	}
}

// notBegun reports a step that was not begun because the run ended or reached a limit, unless that was reported
// already.
func (c *course) notBegun(step Step) {
	if c.result.Status() == Failed || c.result.Status() == Stopped {
		return
	}
	c.end(c.step(step, func(*Verdict) error { return fmt.Errorf("it could not begin: %w", context.Cause(c.ctx)) }))
}

// failed runs the hooks for a failure, if there was one.
func (c *course) failed() {
	if s := c.result.Status(); s == Failed || s == Incomplete {
		c.hook(FailureHook)
	}
}

// leave adds the verdict about a backup that was not needed.
func (c *course) leave(s Status, reason string) {
	now := c.Now()
	c.end(Verdict{Job: c.job.Name, Step: Backup, Status: s, Reason: reason, Started: now, Ended: now})
}

// step runs one step and makes its verdict.
func (c *course) step(s Step, do func(*Verdict) error) Verdict {
	c.Watcher.Begins(c.job, s)
	v := Verdict{Job: c.job.Name, Step: s, Started: c.Now()}
	err := do(&v)
	v.Ended, v.Err, v.Exit = c.Now(), err, c.ExitCode(err)
	v.Status = judge(err, context.Cause(c.all))
	if err == nil && v.Reason != "" && v.Step.isCopy() {
		v.Status = Skipped
	}
	if err != nil {
		v.Error = err.Error()
	}
	return v
}

// end adds a verdict and reports it.
func (c *course) end(v Verdict) {
	c.result.Verdicts = append(c.result.Verdicts, v)
	c.tail(c.job).ended(v)
	c.Watcher.Ends(v)
}

// judge makes a verdict from an error. stopped is why the whole run was cancelled, if it was.
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
