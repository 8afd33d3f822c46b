package rsyncexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Result is the outcome of a run. Started is zero when rsync could not be started; then only Program and Version may be
// set.
type Result struct {
	ExitCode   int      // -1 when killed by a signal
	Stats      Stats    // only when HaveStats
	HaveStats  bool     // rsync printed its statistics
	Complaints []string // the first 20 errors and warnings of rsync, escaped as it printed them
	Tail       string   // the last 8 KiB of stderr
	Program    string   // absolute path
	Version    Version
	Started    time.Time
	Ended      time.Time // when all processes of rsync had ended
}

// ErrStillRunning says that a process started by rsync still runs and may still write into the destination.
var ErrStillRunning = errors.New("a process started by rsync is still running")

// Run runs rsync and returns when it and all processes it started have ended.
//
// The error is nil when rsync exited 0. Otherwise it matches *ExitError for a child that ran, context.Cause(ctx) when
// ctx ended the run (then perhaps *ExitError as well), ErrStillRunning, one of the errors of Probe, *AliasError, or
// those of Options.Argv. Result is always filled as far as the run got.
//
// When ctx is done rsync gets SIGTERM, on which it removes its temporary files, and SIGKILL after KillGrace. When the
// calling process dies for any reason, the kernel sends rsync SIGTERM.
func Run(ctx context.Context, o Options) (Result, error) {
	argv, err := o.Argv()
	if err != nil {
		return Result{}, err
	}
	result := Result{Program: o.Program, Version: o.Version}
	if o.Version == (Version{}) {
		if result.Program, result.Version, err = Probe(ctx, o.Program); err != nil {
			return result, err
		}
	}
	if err := checkAliases(argv, os.Getenv("HOME")); err != nil {
		return result, err
	}
	if o.KillGrace <= 0 {
		o.KillGrace = 10 * time.Second
	}
	return o.run(ctx, argv, result)
}

func (o Options) run(ctx context.Context, argv []string, result Result) (Result, error) {
	c := &child{ctx: ctx, grace: o.KillGrace, out: newOutput(o)}
	defer c.close()
	if err := c.pipes(); err != nil {
		return result, err
	}
	cmd := c.command(result.Program, argv, o.ExtraFiles)
	list, err := feed(cmd, o.FilesFrom)
	if err != nil {
		return result, err
	}
	started := time.Now()
	ran, waitErr, aliveErr := c.runToTheEnd(cmd)
	listErr := list.end()
	if !ran {
		return result, waitErr
	}
	result.Started, result.Ended = started, time.Now()
	result.ExitCode = cmd.ProcessState.ExitCode()
	result.Complaints, result.Tail = c.out.complaints, c.out.stderr.String()
	result.Stats, result.HaveStats = ParseStats(c.out.stats.String())
	err = both(aliveErr, c.verdict(cmd.ProcessState, waitErr, result))
	if err == nil {
		err = listErr
	}
	return result, err
}

// both is errors.Join on one line.
func both(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	default:
		return fmt.Errorf("%w; %w", a, b)
	}
}

// child is one rsync: its two output pipes, and a third pipe whose end shows that all processes rsync started have
// ended.
type child struct {
	ctx            context.Context
	grace          time.Duration
	out            *output
	stdout, stderr pipe
	alive          pipe
}

type pipe struct{ r, w *os.File }

func (c *child) pipes() error {
	for _, p := range []*pipe{&c.stdout, &c.stderr, &c.alive} {
		var err error
		if p.r, p.w, err = os.Pipe(); err != nil {
			return fmt.Errorf("rsync: %w", err)
		}
	}
	return nil
}

// close is for an early return; normally each end is closed earlier. Closing twice is harmless.
func (c *child) close() {
	for _, p := range []pipe{c.stdout, c.stderr, c.alive} {
		for _, f := range []*os.File{p.r, p.w} {
			if f != nil {
				_ = f.Close() // nothing was written through it by us; a second close reports ErrClosed
			}
		}
	}
}

// command stays in our process group and session, so that ssh can ask for a passphrase on the terminal. stdin is
// /dev/null. The liveness pipe is one more inherited file, after the caller's.
func (c *child) command(program string, argv []string, extra []*os.File) *exec.Cmd {
	cmd := exec.CommandContext(c.ctx, program, argv...)
	cmd.Env = childEnv(os.LookupEnv)
	if c.out.listed != nil {
		cmd.Env = append(cmd.Env, "TZ=UTC0") // exec takes the last value of a name
	}
	cmd.Stdout, cmd.Stderr = c.stdout.w, c.stderr.w
	if _, err := os.Getwd(); err != nil {
		cmd.Dir = "/" // rsync (3.5.0) exits with 3 in a deleted directory; no path here is relative
	}
	cmd.ExtraFiles = append(append([]*os.File(nil), extra...), c.alive.w)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = c.grace
	return cmd
}

// runToTheEnd starts rsync, waits for it, then for its descendants, then for the rest of its output.
//
// The kernel sends the parent-death signal when the thread that forked ends, not the process (prctl(2),
// PR_SET_PDEATHSIG), and the Go runtime ends idle threads; so the thread is locked until the child is reaped.
func (c *child) runToTheEnd(cmd *exec.Cmd) (ran bool, waitErr, aliveErr error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return false, c.startError(err), nil
	}
	for _, p := range []pipe{c.stdout, c.stderr, c.alive} {
		_ = p.w.Close() // the child has its own copy
	}
	done := make(chan struct{}, 2)
	go c.read(c.stdout.r, c.out.stdoutLine, done)
	go c.read(c.stderr.r, c.out.stderrLine, done)
	waitErr = cmd.Wait()
	aliveErr = c.awaitDescendants()
	c.endOutput()
	<-done
	<-done
	return true, waitErr, aliveErr
}

func (c *child) startError(err error) error {
	if c.ctx.Err() != nil {
		return fmt.Errorf("rsync: %w", context.Cause(c.ctx))
	}
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: %w", ErrNotExecutable, err)
	}
	return fmt.Errorf("rsync: %w", err)
}

// read drains a stream so that rsync never waits longer than a callback takes.
func (c *child) read(r *os.File, emit func(string), done chan<- struct{}) {
	l := &lines{emit: emit}
	_, err := io.Copy(onlyWriter{l}, r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		drain(r, l)
	}
	l.flush()
	done <- struct{}{}
}

// onlyWriter keeps io.Copy to its fixed buffer.
type onlyWriter struct{ io.Writer }

// awaitDescendants waits until no process holds the write end of the liveness pipe. rsync's receiver and generator hold
// it, and so does a remote shell, except that ssh closes inherited descriptors above 2: a connection that ssh keeps for
// later use (ControlPersist) is not waited for. Such a connection holds our stderr, so the end of stderr proves
// nothing.
func (c *child) awaitDescendants() error {
	if err := c.alive.r.SetReadDeadline(time.Now().Add(c.grace)); err != nil {
		return fmt.Errorf("rsync: liveness pipe: %w", err)
	}
	_, err := io.Copy(io.Discard, c.alive.r)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("rsync: %w, %v after rsync itself ended", ErrStillRunning, c.grace)
	case err != nil:
		return fmt.Errorf("rsync: liveness pipe: %w", err)
	}
	return nil
}

// endOutput limits the wait for output after its writers have ended. Data already in the pipes is still read.
func (c *child) endOutput() {
	for _, r := range []*os.File{c.stdout.r, c.stderr.r} {
		_ = r.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // a pipe of os.Pipe always takes a deadline
	}
}

// drain reads what a pipe holds without waiting: at most its capacity, because a process that still writes may never
// stop.
func drain(r *os.File, l *lines) {
	raw, err := r.SyscallConn()
	if err != nil || r.SetReadDeadline(time.Time{}) != nil {
		return // closed; nothing left to read
	}
	buf := make([]byte, 64<<10) // the default capacity of a pipe
	_ = raw.Read(func(fd uintptr) bool {
		if n, err := syscall.Read(int(fd), buf); err == nil && n > 0 {
			_, _ = l.Write(buf[:n]) // lines never fail
		}
		return true
	})
}

// verdict is nil only for an undisturbed exit 0.
func (c *child) verdict(state *os.ProcessState, waitErr error, result Result) error {
	var exit error
	if !state.Success() {
		e := &ExitError{Code: state.ExitCode(), Complaints: result.Complaints, Tail: result.Tail}
		if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			e.Signal = status.Signal()
		}
		exit = e
	}
	if c.ctx.Err() != nil {
		return interrupted(context.Cause(c.ctx), exit)
	}
	var byCode *exec.ExitError
	if exit == nil && waitErr != nil && !errors.As(waitErr, &byCode) {
		return fmt.Errorf("rsync: %w", waitErr)
	}
	return exit
}

// interrupted matches the cause, and the error of rsync if there is one; one line.
func interrupted(cause, exit error) error {
	if exit == nil {
		return fmt.Errorf("rsync: interrupted: %w", cause)
	}
	return fmt.Errorf("rsync: interrupted: %w (%w)", cause, exit)
}
