//go:build linux

package btrfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// SnapshotOptions of CreateSnapshot. The zero value makes a writable snapshot.
type SnapshotOptions struct {
	ReadOnly bool // made read-only from the first instant: no one ever has a file in it open for writing
}

// CreateSnapshot makes a snapshot of the subvolume src under name in parent (BTRFS_IOC_SNAP_CREATE_V2). It appears at
// once or not at all, holds every write that ended before the call, and is on disk with its data when the call returns.
// Writes that go on during the call may be in it in part. Subvolumes nested in src become empty stub directories. Data
// that the device refuses is not reported here: see SyncFS.
//
// The owner of src and root may do this. Errors are *os.LinkError: ErrInvalidName; ErrNotBtrfs; ErrNotSubvolume when
// src is none; EEXIST for a name in use, even by a dangling symbolic link; EXDEV when src is on another filesystem;
// EPERM when src belongs to somebody else; ENOENT when src is deleted already; EROFS in a read-only subvolume or mount;
// EINVAL when src was opened with O_PATH; EBADF when parent was; ENOTDIR when parent is a file; ETXTBSY when src holds
// an active swap file; ENOSPC.
func CreateSnapshot(parent *os.File, name string, src *os.File, o SnapshotOptions) error {
	const op = "BTRFS_IOC_SNAP_CREATE_V2"
	path := childPath(parent, name)
	if err := checkName(name); err != nil {
		return linkError(op, src.Name(), path, err)
	}
	args := volArgsV2{Flags: snapshotFlags(o)}
	copy(args.Name[:], name)
	err := withFd(src, func(fd uintptr) error {
		args.Fd = int64(fd)
		return ioctl(parent, reqSnapCreateV2, &args)
	})
	return linkError(op, src.Name(), path, explainSnapshot(parent, src, err))
}

func snapshotFlags(o SnapshotOptions) uint64 {
	if o.ReadOnly {
		return subvolRdonly
	}
	return 0
}

// explainSnapshot knows that ENOTTY is about the directory and EINVAL about the source.
func explainSnapshot(parent, src *os.File, err error) error {
	if err == unix.EINVAL {
		return explainSubvolume(src, err)
	}
	return explain(parent, err)
}
