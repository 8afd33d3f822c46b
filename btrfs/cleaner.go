//go:build linux

package btrfs

import (
	"context"
	"math"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// DeletedCount is how many deleted subvolumes still wait for the kernel's cleaner (BTRFS_IOC_SUBVOL_SYNC_WAIT). The one
// it is at does not count any more, although most of its space may not be free yet; one in which a file is open does
// not count yet. So 0 does not mean that the space is there: see WaitDeleted.
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
// Root can see that last one in the tree of tree roots, and returns as soon as it is gone. Without root the free space
// is watched until it has not grown for twenty looks, about a second; so it is on kernels before 6.13, which cannot
// count, also for the whole queue. Watching alone ends after two minutes: a slow cleaner may not be done then.
//
// A subvolume in which somebody has a file or a directory open, or that is mounted elsewhere, is cleaned after the last
// close and not before. Root gets the ids of those that for twenty looks nothing was done about, held; without root
// they are not known. Close yours first.
//
// Anybody may do this. Errors: what Sync returns; ErrNotBtrfs; the cause of ctx being done.
func WaitDeleted(ctx context.Context, f *os.File) (held []uint64, err error) {
	return waitDeleted(ctx, f.Name(), newCleaner(f))
}

// cleaner is what waitDeleted needs of a filesystem.
type cleaner struct {
	count   func() (uint64, error)   // deleted subvolumes in the queue; ENOTTY when the kernel cannot tell
	orphans func() ([]orphan, error) // deleted subvolumes still on disk; EPERM without root
	sync    func() error
	free    func() (uint64, error)

	poll  time.Duration // between two looks
	quiet int           // what has not moved for so many looks will not move
	limit time.Duration // of watching the free space and nothing else
}

func newCleaner(f *os.File) cleaner {
	return cleaner{
		count:   func() (uint64, error) { return DeletedCount(f) },
		orphans: func() ([]orphan, error) { return orphans(f) },
		sync:    func() error { return Sync(f) },
		free:    func() (uint64, error) { return freeBlocks(f) },
		poll:    50 * time.Millisecond,
		quiet:   20,
		limit:   2 * time.Minute,
	}
}

// orphan is a deleted subvolume, and how far the cleaner is with it.
type orphan struct {
	id      uint64
	dropped string
}

// orphans lists the orphan items of subvolumes, which the kernel removes in the transaction that frees the last of
// their blocks.
func orphans(f *os.File) ([]orphan, error) {
	const (
		orphanObjectID = math.MaxUint64 - 4 // BTRFS_ORPHAN_OBJECTID, -5
		orphanItemKey  = 48
	)
	key := AllItems(rootTree)
	key.MinObjectID, key.MaxObjectID = orphanObjectID, orphanObjectID
	key.MinType, key.MaxType = orphanItemKey, orphanItemKey
	key.MinOffset = firstFreeObjectID
	var list []orphan
	for item, err := range TreeSearch(f, key) {
		if err != nil {
			return nil, err
		}
		dropped, err := dropProgress(f, item.Offset)
		if err != nil {
			return nil, err
		}
		list = append(list, orphan{item.Offset, dropped})
	}
	return list, nil
}

const rootTree = 1

// dropProgress is the key that the cleaner notes in the item of a tree root, in each transaction that it takes it, as
// bytes: where a subvolume shares all of its blocks, nothing else tells for long that something is done.
func dropProgress(f *os.File, id uint64) (string, error) {
	const (
		rootItemKey = 132
		from, to    = 220, 238 // drop_progress and drop_level of struct btrfs_root_item
	)
	key := AllItems(rootTree)
	key.MinObjectID, key.MaxObjectID = id, id
	key.MinType, key.MaxType = rootItemKey, rootItemKey
	for item, err := range TreeSearch(f, key) {
		if err != nil || len(item.Data) < to {
			return "", err
		}
		return string(item.Data[from:to]), nil
	}
	return "", nil
}

func freeBlocks(f *os.File) (uint64, error) {
	st, err := statfs(f)
	return st.Bfree, pathError("fstatfs", f.Name(), err)
}

func waitDeleted(ctx context.Context, path string, c cleaner) (held []uint64, err error) {
	if err := c.sync(); err != nil {
		return nil, err
	}
	if err := waitQueue(ctx, path, c); err != nil && !isErrno(err, unix.ENOTTY) {
		return nil, err
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

// waitLast ends when nothing is left, or when neither the free space nor what is left has moved for a while.
func waitLast(ctx context.Context, path string, c cleaner) (held []uint64, err error) {
	start := time.Now()
	var most uint64
	var left []orphan
	for looks := 0; looks <= c.quiet; looks++ {
		now, err := c.orphans()
		exact := !isErrno(err, unix.EPERM)
		if exact && err != nil {
			return nil, err
		}
		if err := c.sync(); err != nil || exact && len(now) == 0 {
			return nil, err
		}
		free, err := c.free()
		if err != nil {
			return nil, err
		}
		if free > most || !slices.Equal(now, left) {
			most, left, looks = max(most, free), now, 0
		}
		if !exact && time.Since(start) >= c.limit {
			return nil, nil
		}
		if err := pause(ctx, path, c.poll); err != nil {
			return nil, err
		}
	}
	for _, o := range left {
		held = append(held, o.id)
	}
	return held, nil
}

func pause(ctx context.Context, path string, d time.Duration) error {
	select {
	case <-ctx.Done():
		return pathError("wait for deleted subvolumes", path, context.Cause(ctx))
	case <-time.After(d):
		return nil
	}
}
