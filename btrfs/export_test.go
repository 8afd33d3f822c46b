//go:build linux

package btrfs

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// WaitDeletedWithoutCount is WaitDeleted on a kernel before 6.13.
func WaitDeletedWithoutCount(ctx context.Context, f *os.File) error {
	return waitDeleted(ctx, f.Name(), cleaner{
		count: func() (uint64, error) { return 0, pathError("BTRFS_IOC_SUBVOL_SYNC_WAIT", f.Name(), unix.ENOTTY) },
		sync:  func() error { return Sync(f) },
		free:  func() (uint64, error) { return freeBlocks(f) },
		poll:  50 * time.Millisecond,
		quiet: 2 * time.Second,
		limit: 2 * time.Minute,
	})
}
