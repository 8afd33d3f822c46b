// Package hooks runs a program that the config names before or after a backup, without a shell, and with limited time
// and output.
//
//	hooks.go    one program, from its start to its end
//	outside.go  the same, by systemd outside of our sandbox
//	output.go   what it prints
package hooks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Options are those of Run.
type Options struct {
	Command []string          // an absolute path, and arguments
	Env     []string          // NAME=value, beside what this process has
	Timeout time.Duration     // 0: none
	Grace   time.Duration     // between SIGTERM and SIGKILL; 0: 5 seconds
	Say     func(line string) // takes each line of output
	// Service is the name, without its suffix, of the systemd unit that this process runs in, if the program is to run
	// outside of it.
	Service string
}

// stuck is how long to wait for a process after SIGKILL. A process that waits in the kernel for a dead disk or server
// does not end.
const stuck = 2 * time.Second

// Run runs a program and returns when it has ended. When ctx is done, or the time is up, its whole process group gets
// SIGTERM, then SIGKILL; the error matches context.Cause(ctx) then. When this process dies the kernel kills the
// program.
//
// Processes that the program leaves in the background continue, but their output is not read.
func Run(ctx context.Context, o Options) error {
	if o.Grace == 0 {
		o.Grace = 5 * time.Second
	}
	if o.Timeout > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, o.Timeout, fmt.Errorf("it took longer than %v", o.Timeout))
		defer cancel()
		ctx = limited
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: could not begin: %w", o.Command[0], context.Cause(ctx))
	}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, o) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(o.Grace + stuck):
		return fmt.Errorf("%s: ended by SIGKILL, but it is still there: %w", o.Command[0], context.Cause(ctx))
	}
}

// run keeps its thread: the kernel sends the parent-death signal when the thread that forked ends (prctl(2),
// PR_SET_PDEATHSIG), and the Go runtime ends threads it no longer wants.
func run(ctx context.Context, o Options) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("%s: %w", o.Command[0], err)
	}
	defer r.Close()
	words, unit := o.Command, ""
	if o.Service != "" {
		if err := findable(o.Command[0]); err != nil {
			return startError(o.Command[0], err)
		}
		unit = unitOf(o.Service, time.Now())
		words = o.outside(unit)
	}
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir, cmd.Env = "/", append(environment(os.Environ()), o.Env...)
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err = cmd.Start()
	_ = w.Close() // the program has its own
	if err != nil {
		return startError(words[0], err)
	}
	out, taken := output{say: o.Say}, make(chan struct{})
	go func() { out.take(&pipeEnd{pipe: r}); close(taken) }()
	gone, killed := make(chan struct{}), make(chan struct{})
	go func() { end(ctx, cmd.Process.Pid, o.Grace, gone); close(killed) }()
	err = cmd.Wait()
	close(gone)
	<-killed
	if unit != "" && ctx.Err() != nil { // only systemd-run was ended so far
		stopUnit(unit)
	}
	_ = r.SetReadDeadline(time.Now().Add(time.Second)) // somebody in the background may hold the other end; a pipe takes a deadline
	<-taken
	return verdict(ctx, o.Command[0], err, out.last)
}

// end ends a process group when ctx is done. gone reports that its leader was reaped; others of the group may be left
// then, which keep its number from being given to another group.
func end(ctx context.Context, pgid int, grace time.Duration, gone <-chan struct{}) {
	select {
	case <-gone:
		return
	case <-ctx.Done():
	}
	_ = syscall.Kill(-pgid, syscall.SIGTERM) // it may have ended by itself
	select {
	case <-gone:
	case <-time.After(grace):
	}
	_ = syscall.Kill(-pgid, syscall.SIGKILL)
}

// startError names the program once: most errors of os/exec have its name, too.
func startError(program string, err error) error {
	var path *os.PathError
	var found *exec.Error
	switch {
	case errors.As(err, &path):
		err = path.Err
	case errors.As(err, &found):
		err = found.Err
	}
	return fmt.Errorf("%s: cannot be started: %w", program, err)
}

func verdict(ctx context.Context, program string, err error, last string) error {
	switch {
	case err == nil:
		return nil // also if it was asked to end at that moment
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", program, context.Cause(ctx))
	case last != "":
		return fmt.Errorf("%s: %w: %s", program, err, last)
	}
	return fmt.Errorf("%s: %w", program, err)
}
