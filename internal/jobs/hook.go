package jobs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/hooks"
)

// ErrHook is matched by the error of a step in which a hook failed.
var ErrHook = errors.New("a hook failed")

type hookError struct{ err error }

func (e *hookError) Error() string        { return e.err.Error() }
func (e *hookError) Unwrap() error        { return e.err }
func (e *hookError) Is(target error) bool { return target == ErrHook }

// hookTime is how long a hook may take if the config does not set it.
const hookTime = time.Hour

// The hooks within a backup. They have no verdict of their own: if one fails, the backup fails.
const (
	beforeSnapshot Step = "hooks.before-snapshot"
	afterSnapshot  Step = "hooks.after-snapshot"
)

// afterStop is how long the hooks at the end may take when the whole run is stopped.
const afterStop = 5 * time.Second

// commands are the hooks for a moment.
func commands(h config.Hooks, moment Step) []config.Command {
	switch moment {
	case BeforeHook:
		return h.Before
	case AfterHook:
		return h.After
	case FailureHook:
		return h.Failure
	case FinallyHook:
		return h.Finally
	case beforeSnapshot:
		return h.BeforeSnapshot
	case afterSnapshot:
		return h.AfterSnapshot
	}
	return nil
}

// hook runs the hooks for a moment, one after the other until one fails, and reports whether the job continues.
func (c *course) hook(moment Step) bool {
	all := commands(c.job.Hooks, moment)
	if len(all) == 0 {
		return true
	}
	if c.DryRun {
		c.log(c.job).Info("hooks are not run", "step", moment)
		return true
	}
	v := c.step(moment, func(*Verdict) error { return c.runHooks(moment, all) })
	if v.Status == Failed && c.warns() {
		c.log(c.job).Warn("a hook failed", "step", moment, "err", v.Err)
		v = Verdict{Job: v.Job, Step: v.Step, Status: OK, Reason: "failed, which is a warning only: " + v.Error, Started: v.Started, Ended: v.Ended}
	}
	c.end(v)
	return v.Err == nil
}

// warns reports that the failure of a hook is only a warning.
func (c *course) warns() bool { return c.job.Hooks.OnFailure == "warn" }

// around returns the function that a backup calls at a moment: nil if there is no hook.
func (c *course) around(moment Step) func(context.Context) error {
	all := commands(c.job.Hooks, moment)
	if len(all) == 0 || c.DryRun {
		return nil
	}
	return func(context.Context) error {
		err := c.runHooks(moment, all)
		if err != nil && c.warns() && c.all.Err() == nil {
			c.log(c.job).Warn("a hook failed", "step", moment, "err", err)
			return nil
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", moment, err)
		}
		return err
	}
}

func (c *course) runHooks(moment Step, all []config.Command) error {
	ctx, done := c.ctx, func() {}
	if moment != BeforeHook && moment != beforeSnapshot {
		ctx, done = outlive(c.all, afterStop)
	}
	defer done()
	logFile, forget := c.logFile()
	defer forget()
	timeout := c.job.Hooks.Timeout
	if timeout == 0 {
		timeout = hookTime
	}
	env := c.environment(moment, logFile)
	for _, command := range all {
		c.log(c.job).Info("runs", "step", moment, "hook", command[0]) // arguments may be secret
		err := hooks.Run(ctx, hooks.Options{Command: command, Env: env, Timeout: timeout, Service: c.Service, Say: func(line string) {
			c.log(c.job).Info("hook", "step", moment, "says", line)
		}})
		if err != nil {
			return &hookError{err}
		}
	}
	return nil
}

// outlive is a context that continues for a while after parent is cancelled, and then has the same cause.
func outlive(parent context.Context, by time.Duration) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		time.AfterFunc(by, func() { cancel(context.Cause(parent)) })
	})
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// logFile makes a file with the log of the job so far, for hooks to send, or returns "". The file is in memory, so it
// disappears when this process ends in any way, and programs in other mount namespaces can read it.
func (c *course) logFile() (path string, forget func()) {
	fd, err := unix.MemfdCreate("rsbtbackup-log", unix.MFD_CLOEXEC)
	if err != nil {
		c.log(c.job).Warn("the log for the hooks could not be written", "err", os.NewSyscallError("memfd_create", err))
		return "", func() {}
	}
	f := os.NewFile(uintptr(fd), "the log for the hooks")
	if _, err := f.WriteString(c.tail(c.job).String()); err != nil {
		c.log(c.job).Warn("the log for the hooks could not be written", "err", err)
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd), func() { _ = f.Close() }
}

// environment has the variables for hooks; see docs/TELLING.md.
func (c *course) environment(moment Step, logFile string) []string {
	status, backup := c.result.Status(), ""
	switch {
	case c.again:
		status = "retry"
	case len(c.result.Verdicts) == 0:
		status = ""
	}
	if v, ok := c.result.Find(Backup); ok && v.Backup != nil && v.Backup.Name != "" {
		backup = filepath.Join(v.Backup.Dest, v.Backup.Name)
	}
	return []string{
		"RSBTBACKUP_HOOK=" + strings.TrimPrefix(string(moment), "hooks."),
		"RSBTBACKUP_JOB=" + c.job.Name,
		"RSBTBACKUP_SOURCE=" + c.job.Backup.Source,
		"RSBTBACKUP_DEST=" + c.job.Backup.Dest,
		"RSBTBACKUP_STATUS=" + string(status),
		"RSBTBACKUP_BACKUP=" + backup,
		"RSBTBACKUP_ERROR=" + variable(c.result.Error()),
		"RSBTBACKUP_LOG=" + logFile,
	}
}

// variableLimit is half of the kernel's limit for a variable (MAX_ARG_STRLEN).
const variableLimit = 64 << 10

// variable makes a text, which may come from another host, valid for the environment.
func variable(text string) string {
	if len(text) > variableLimit {
		text = strings.ToValidUTF8(text[:variableLimit], "") + "..."
	}
	return strings.ReplaceAll(text, "\x00", "\uFFFD")
}

// Error is the errors, one line for each step; "" if there is none.
func (r Result) Error() string {
	var lines []string
	for _, v := range r.Verdicts {
		if v.Error != "" {
			lines = append(lines, fmt.Sprintf("%s: %s", v.Step, strings.ReplaceAll(v.Error, "\n", "; ")))
		}
	}
	return strings.Join(lines, "\n")
}
