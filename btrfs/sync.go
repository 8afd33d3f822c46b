//go:build linux

package btrfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// StartSync starts a commit of the open transaction and returns its id, for WaitSync (BTRFS_IOC_START_SYNC). With
// nothing to commit it is the id of the last one. It is about metadata: delayed file data is not flushed.
//
// Do not call it again before WaitSync has returned: on Linux 6.18, called while the commit of an earlier StartSync is
// still being written, by anybody on the filesystem, it hangs until the next periodic commit (30 s by default, 5.1 s
// measured with commit=5). Sync does not.
//
// Anybody may do this. Errors: ErrNotBtrfs; EROFS once the filesystem has been forced read-only by an error; EBADF when
// f was opened with O_PATH.
func StartSync(f *os.File) (transid uint64, err error) {
	err = ioctl(f, reqStartSync, &transid)
	return transid, pathError("BTRFS_IOC_START_SYNC", f.Name(), explain(f, err))
}

// WaitSync waits until that transaction is on disk (BTRFS_IOC_WAIT_SYNC); 0 is the one being committed now, if any.
//
// Anybody may do this. Errors: ErrNotBtrfs; EINVAL for a transaction that does not exist yet; EBADF when f was opened
// with O_PATH.
func WaitSync(f *os.File, transid uint64) error {
	err := ioctl(f, reqWaitSync, &transid)
	return pathError("BTRFS_IOC_WAIT_SYNC", f.Name(), explain(f, err))
}

// Sync flushes the delayed data of the whole filesystem and commits (BTRFS_IOC_SYNC). It also wakes the cleaner of
// deleted subvolumes. It succeeds even if the device refused data: see SyncFS.
//
// Anybody may do this. Errors: ErrNotBtrfs; EIO, EROFS after a failed commit; EBADF when f was opened with O_PATH.
func Sync(f *os.File) error {
	return pathError("BTRFS_IOC_SYNC", f.Name(), explain(f, ioctlValue(f, reqSync, 0)))
}

// SyncFS flushes and commits like Sync, by syncfs(2), and is the only call that reports data writes the device refused:
// EIO or ENOSPC for those since f was opened, by anybody on the filesystem, and once, the next call on f succeeds. So
// open f before the writing begins, and take an error for the end of what was written. It works on every filesystem.
//
// Anybody may do this. Errors: EIO; ENOSPC; EBADF when f was opened with O_PATH.
func SyncFS(f *os.File) error {
	err := withFd(f, func(fd uintptr) error {
		return retry(func() unix.Errno { return errnoOf(unix.Syncfs(int(fd))) })
	})
	return pathError("syncfs", f.Name(), err)
}
