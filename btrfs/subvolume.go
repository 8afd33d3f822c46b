//go:build linux

package btrfs

import (
	"os"
)

// CreateSubvolume makes an empty subvolume name in parent (BTRFS_IOC_SUBVOL_CREATE_V2). It belongs to the caller with
// mode 0777 less the umask; the setgid bit, the group and the default ACL of parent are not inherited. It is not
// durable until the next commit.
//
// Anybody who may create files in parent may do this. Errors: ErrInvalidName; ErrNotBtrfs; EEXIST for a name in use,
// even by a dangling symbolic link; EROFS in a read-only subvolume or mount; EACCES; ENOTDIR when parent is a file;
// EBADF when it was opened with O_PATH; ENOSPC.
func CreateSubvolume(parent *os.File, name string) error {
	const op = "BTRFS_IOC_SUBVOL_CREATE_V2"
	path := childPath(parent, name)
	if err := checkName(name); err != nil {
		return pathError(op, path, err)
	}
	args := volArgsV2{}
	copy(args.Name[:], name)
	err := ioctl(parent, reqSubvolCreateV2, &args)
	return pathError(op, path, explain(parent, err))
}
