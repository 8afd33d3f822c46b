//go:build linux

package btrfs

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// DeletedCount is how many deleted subvolumes still wait for the kernel's cleaner (BTRFS_IOC_SUBVOL_SYNC_WAIT). The one it
// is at does not count any more, although its space is not free yet.
//
// Anybody may do this. Errors: ErrNotBtrfs; ENOTTY before Linux 6.13; EBADF when f was opened with O_PATH.
func DeletedCount(f *os.File) (uint64, error) {
	n, err := deletedCount(f)
	return n, pathError("BTRFS_IOC_SUBVOL_SYNC_WAIT", f.Name(), explain(f, err))
}

func deletedCount(f *os.File) (uint64, error) {
	args := subvolWait{Mode: subvolSyncCount}
	err := ioctl(f, reqSubvolSyncWait, &args)
	return uint64(args.Count), err
}

// WaitDeleted waits until the subvolumes deleted before the call are cleaned up and their space can be seen by statfs(2) and used. It
// commits, so that the cleaner starts now and not at the next periodic commit; waits until DeletedCount is 0; and
// commits again, because freed extents can be used after a commit only. This takes about a second.
//
// Kernels before 6.13 can not count. There the free space is watched instead, with a commit before every look, until it has not
// grown for two seconds, and for two minutes at most: a slow cleaner may not be done then.
//
// Anybody may do this. Errors: what Sync returns; ErrNotBtrfs; the cause of ctx being done.
func WaitDeleted(ctx context.Context, f *os.File) error {
	return waitDeleted(ctx, f.Name(), cleaner{
		count: func() (uint64, error) { return DeletedCount(f) },
		sync:  func() error { return Sync(f) },
		free:  func() (uint64, error) { return freeBlocks(f) },
		poll:  50 * time.Millisecond,
		quiet: 2 * time.Second,
		limit: 2 * time.Minute,
	})
}

func freeBlocks(f *os.File) (uint64, error) {
	st, err := statfs(f)
	return st.Bfree, pathError("fstatfs", f.Name(), err)
}

// cleaner is what waitDeleted needs of a filesystem.
type cleaner struct {
	count func() (uint64, error) // deleted subvolumes left; ENOTTY when the kernel can not tell
	sync  func() error
	free  func() (uint64, error)

	poll  time.Duration // between two looks
	quiet time.Duration // free space that has not grown for that long will not grow
	limit time.Duration // of watching the free space
}

func waitDeleted(ctx context.Context, path string, c cleaner) error {
	if err := c.sync(); err != nil {
		return err
	}
	err := waitCount(ctx, path, c)
	if isErrno(err, unix.ENOTTY) {
		return waitSettled(ctx, path, c)
	}
	if err != nil {
		return err
	}
	return c.sync()
}

func waitCount(ctx context.Context, path string, c cleaner) error {
	for {
		n, err := c.count()
		if err != nil || n == 0 {
			return err
		}
		if err := pause(ctx, path, c.poll); err != nil {
			return err
		}
	}
}

// waitSettled watches the free space grow until it stops. Commits come with every look: without one freed extents
// stay invisible.
func waitSettled(ctx context.Context, path string, c cleaner) error {
	most, err := c.free()
	if err != nil {
		return err
	}
	start := time.Now()
	grown := start
	for time.Since(grown) < c.quiet && time.Since(start) < c.limit {
		if err := pause(ctx, path, c.poll); err != nil {
			return err
		}
		if err := c.sync(); err != nil {
			return err
		}
		free, err := c.free()
		if err != nil {
			return err
		}
		if free > most {
			most, grown = free, time.Now()
		}
	}
	return nil
}

func pause(ctx context.Context, path string, d time.Duration) error {
	select {
	case <-ctx.Done():
		return pathError("wait for deleted subvolumes", path, context.Cause(ctx))
	case <-time.After(d):
		return nil
	}
}
