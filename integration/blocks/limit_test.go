//go:build integration

package blocks

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
)

// The limit of the transfer holds for what is copied without rsync, and progress is reported meanwhile.
func TestTheLimitHoldsForLargeFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("f", size)
	w.backup()
	w.write("f", 0, 3*mib)
	var told atomic.Int64
	w.set = func(o *rsbtbackup.BackupOptions) {
		o.Bwlimit = "1m"
		o.Progress = func(p rsbtbackup.Progress) { told.Store(max(told.Load(), p.Bytes)) }
	}
	started := time.Now()
	w.patched(w.backup(), 1, 3*mib)
	if took := time.Since(started); took < 2500*time.Millisecond {
		t.Errorf("3 MiB at 1 MiB in a second took %v", took)
	}
	if told.Load() < 3*mib {
		t.Errorf("progress ended at %d bytes", told.Load())
	}
}
