//go:build linux

package btrfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// SetReceived stores in the subvolume that f is the root directory of the uuid and the transaction of the sender's
// subvolume (BTRFS_IOC_SET_RECEIVED_SUBVOL). RTransID of Info becomes the transaction of now, so that a CTransID above
// it shows later changes. Sync before, because data flushed later counts as a change. Read-only snapshots keep all of
// it, writable ones do not.
//
// The owner and root may do this. Errors: ErrNotBtrfs; ErrNotSubvolume; EROFS when it is read-only; EPERM for anybody
// else; EBADF when f was opened with O_PATH.
func SetReceived(f *os.File, uuid UUID, transid uint64) error {
	const op = "BTRFS_IOC_SET_RECEIVED_SUBVOL"
	var err error
	for _, size := range timespecSizes() {
		args := receivedArgs{UUID: uuid, STransID: transid}
		request := reqSetReceived | (receivedHead+2*size+receivedReserved)<<sizeShift
		if err = ioctl(f, request, &args); err != unix.ENOTTY {
			break
		}
	}
	return pathError(op, f.Name(), explainSubvolume(f, err))
}
