//go:build linux

package btrfs

import (
	"context"
	"os"

	"golang.org/x/sys/unix"
)

// WaitDeletedWithoutCount is WaitDeleted on a kernel before 6.13.
func WaitDeletedWithoutCount(ctx context.Context, f *os.File) (held []uint64, err error) {
	c := newCleaner(f)
	c.count = noCount
	return waitDeleted(ctx, f.Name(), c)
}

// WaitDeletedWithoutRoot is WaitDeleted without the privilege to search trees.
func WaitDeletedWithoutRoot(ctx context.Context, f *os.File) (held []uint64, err error) {
	c := newCleaner(f)
	c.orphans = noSearch
	return waitDeleted(ctx, f.Name(), c)
}

// WaitDeletedByWatching has neither.
func WaitDeletedByWatching(ctx context.Context, f *os.File) (held []uint64, err error) {
	c := newCleaner(f)
	c.count, c.orphans = noCount, noSearch
	return waitDeleted(ctx, f.Name(), c)
}

func noCount() (uint64, error) {
	return 0, pathError("BTRFS_IOC_SUBVOL_SYNC_WAIT", "/x", unix.ENOTTY)
}

func noSearch() ([]orphan, error) {
	return nil, pathError("BTRFS_IOC_TREE_SEARCH_V2", "/x", unix.EPERM)
}
