// Signals: how a run is asked to stop.

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// signalError is why a context was cancelled.
type signalError struct{ signal syscall.Signal }

func (e signalError) Error() string { return "got " + unix.SignalName(e.signal) }

// watchSignals cancels the context at the first SIGINT, SIGTERM or SIGHUP and makes that the cause. A signal the
// process was started with as ignored (nohup, a job of a shell script in the background) stays ignored.
//
// A second one changes nothing: rsync has ten seconds to end and is then killed; ending earlier would leave it writing
// into DEST. Users who cannot wait may use kill -9, which is safe at any moment.
//
// SIGPIPE is caught too: otherwise Go ends the process for it on descriptors 1 and 2, and a reader that ends would end
// a backup. Ignoring it instead would be inherited by rsync.
func watchSignals(ctx context.Context, u *ui) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stops := make(chan os.Signal, 1)
	pipes := make(chan os.Signal, 1) // never read; the write itself fails with EPIPE
	signal.Notify(pipes, syscall.SIGPIPE)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(stops, s)
		}
	}
	go func() {
		for s := range stops {
			if ctx.Err() == nil {
				cancel(signalError{s.(syscall.Signal)})
				continue
			}
			u.note(fmt.Sprintf("still stopping: what is under way ends first (kill -9 %d is safe too)", os.Getpid()))
		}
	}()
	return ctx, func() {
		signal.Stop(stops)
		close(stops)
		cancel(nil)
	}
}
