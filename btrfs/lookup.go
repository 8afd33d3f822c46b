//go:build linux

package btrfs

import (
	"os"
	"strings"
)

// InodePath is a path of the inode in the subvolume with that id (0: the one f is in), relative to its root
// (BTRFS_IOC_INO_LOOKUP). The root itself, inode 256, is "". Of several hard links it is one.
//
// Root only, except for inode 256. Errors: ErrNotBtrfs; EPERM; ENOENT for an id or an inode that does not exist;
// ENAMETOOLONG past 4080 bytes; EBADF when f was opened with O_PATH.
func InodePath(f *os.File, id, inode uint64) (string, error) {
	args := inoLookupArgs{TreeID: id, ObjectID: inode}
	err := ioctl(f, reqInoLookup, &args)
	path := strings.TrimSuffix(cString(args.Name[:]), "/")
	return path, pathError("BTRFS_IOC_INO_LOOKUP", f.Name(), explain(f, err))
}
