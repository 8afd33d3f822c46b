package transfer

import (
	"context"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/pace"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Step returns a function for what is copied before rsync runs, to be called after each n bytes. It keeps to the limit
// of the transfer, and reports progress as rsync does while it does not know the total. progress may be nil.
func Step(ctx context.Context, bwlimit string, progress func(rsyncexec.Progress)) func(n int64) error {
	wait, started, bytes := pace.Step(ctx, bwlimit), time.Now(), int64(0)
	return func(n int64) error {
		err := wait(n)
		if bytes += n; progress != nil && n > 0 {
			elapsed := time.Since(started)
			progress(rsyncexec.Progress{Bytes: bytes, Rate: float64(bytes) / elapsed.Seconds(), Elapsed: elapsed.Truncate(time.Second), Scanning: true})
		}
		return err
	}
}
