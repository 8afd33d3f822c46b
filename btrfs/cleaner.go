//go:build linux

package btrfs

import (
	"context"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// DeletedCount is how many deleted subvolumes still wait for the kernel's cleaner (BTRFS_IOC_SUBVOL_SYNC_WAIT). The
// one it is at does not count any more, although most of its space may not be free yet; one in which a file is open
// does not count yet. So 0 does not mean that the space is there: see WaitDeleted.
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

// WaitDeleted waits until the subvolumes deleted before the call are cleaned up, and their space can be seen by
// statfs(2) and used. It commits, so that the cleaner starts now and not at the next periodic commit; waits until
// DeletedCount is 0; then for the one the cleaner is still at, with a commit before every look, because freed extents
// can be used after a commit only.
//
// Root can see that last one in the tree of tree roots, and returns as soon as it is gone. Without root the free
// space is watched until it has not grown for twenty looks, about a second; so it is on kernels before 6.13, which
// can not count, also for the whole queue. Watching alone ends after two minutes: a slow cleaner may not be done
// then.
//
// A subvolume in which somebody has a file or a directory open is cleaned after the last close and not before, so it
// is not waited for, longer than that second: close yours first.
//
// Anybody may do this. Errors: what Sync returns; ErrNotBtrfs; the cause of ctx being done.
func WaitDeleted(ctx context.Context, f *os.File) error {
	return waitDeleted(ctx, f.Name(), newCleaner(f))
}

// cleaner is what waitDeleted needs of a filesystem.
type cleaner struct {
	count   func() (uint64, error) // deleted subvolumes in the queue; ENOTTY when the kernel can not tell
	orphans func() (uint64, error) // deleted subvolumes still on disk; EPERM without root
	sync    func() error
	free    func() (uint64, error)

	poll  time.Duration // between two looks
	quiet int           // free space that has not grown for so many looks will not grow
	limit time.Duration // of watching the free space and nothing else
}

func newCleaner(f *os.File) cleaner {
	return cleaner{
		count:   func() (uint64, error) { return DeletedCount(f) },
		orphans: func() (uint64, error) { return orphanCount(f) },
		sync:    func() error { return Sync(f) },
		free:    func() (uint64, error) { return freeBlocks(f) },
		poll:    50 * time.Millisecond,
		quiet:   20,
		limit:   2 * time.Minute,
	}
}

// orphanCount counts the orphan items of subvolumes, which the kernel removes in the transaction that frees the last
// of their blocks.
func orphanCount(f *os.File) (uint64, error) {
	const (
		rootTree       = 1
		orphanObjectID = math.MaxUint64 - 4 // BTRFS_ORPHAN_OBJECTID, -5
		orphanItemKey  = 48
	)
	key := AllItems(rootTree)
	key.MinObjectID, key.MaxObjectID = orphanObjectID, orphanObjectID
	key.MinType, key.MaxType = orphanItemKey, orphanItemKey
	key.MinOffset = firstFreeObjectID
	var n uint64
	for _, err := range TreeSearch(f, key) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

func freeBlocks(f *os.File) (uint64, error) {
	st, err := statfs(f)
	return st.Bfree, pathError("fstatfs", f.Name(), err)
}

func waitDeleted(ctx context.Context, path string, c cleaner) error {
	if err := c.sync(); err != nil {
		return err
	}
	if err := waitQueue(ctx, path, c); err != nil && !isErrno(err, unix.ENOTTY) {
		return err
	}
	return waitLast(ctx, path, c)
}

func waitQueue(ctx context.Context, path string, c cleaner) error {
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

// waitLast ends when nothing is left, or when the free space has stopped growing.
func waitLast(ctx context.Context, path string, c cleaner) error {
	start := time.Now()
	var most uint64
	for looks := 0; looks <= c.quiet; looks++ {
		left, err := c.orphans()
		exact := !isErrno(err, unix.EPERM)
		if exact && err != nil {
			return err
		}
		if err := c.sync(); err != nil || exact && left == 0 {
			return err
		}
		free, err := c.free()
		if err != nil {
			return err
		}
		if free > most {
			most, looks = free, 0
		}
		if !exact && time.Since(start) >= c.limit {
			return nil
		}
		if err := pause(ctx, path, c.poll); err != nil {
			return err
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
