package rsyncexec

import (
	"context"
	"errors"
	"time"
)

// Result is what a run left behind; Started is zero when rsync could not be started.
type Result struct {
	ExitCode   int      // -1 when killed by a signal
	Stats      Stats    // only when HaveStats
	HaveStats  bool     // rsync printed its statistics
	Complaints []string // the first 20 errors and warnings of rsync, escaped as it printed them
	Tail       string   // the last 8 KiB of stderr
	Program    string   // absolute path
	Version    Version
	Started    time.Time
	Ended      time.Time
}

func Run(ctx context.Context, o Options) (Result, error) { return Result{}, errors.New("not yet") }

func Probe(ctx context.Context, program string) (path string, v Version, err error) {
	return "", Version{}, errors.New("not yet")
}
