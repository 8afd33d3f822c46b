//go:build linux

package btrfs

import (
	"os"
	"unsafe"
)

// reqGetFSUUID is FS_IOC_GETFSUUID of linux/fs.h.
const reqGetFSUUID = dirRead | unsafe.Sizeof(fsUUID{})<<sizeShift | 0x15<<8

// fsUUID is struct fsuuid2.
type fsUUID struct {
	Len  uint8
	UUID [16]byte
}

// FSUUID returns the id of the filesystem of f, of any type (FS_IOC_GETFSUUID, Linux 6.9): 16 bytes on most, 4 on FAT,
// in the order they have on disk. tmpfs, overlayfs and some others make a new one at each mount.
//
// Anybody may do this. Errors: ENOTTY where the kernel or the filesystem knows none.
func FSUUID(f *os.File) ([]byte, error) {
	const op = "FS_IOC_GETFSUUID"
	var arg fsUUID
	if err := ioctl(f, reqGetFSUUID, &arg); err != nil {
		return nil, pathError(op, f.Name(), err)
	}
	return arg.UUID[:min(int(arg.Len), len(arg.UUID))], nil
}

// SubvolumeAround is SubvolumeInfo for the subvolume that f, any file or directory, is in.
func SubvolumeAround(f *os.File) (Info, error) {
	const op = "BTRFS_IOC_GET_SUBVOL_INFO"
	on, err := onBtrfs(f)
	if err == nil && !on {
		err = ErrNotBtrfs
	}
	if err != nil {
		return Info{}, pathError(op, f.Name(), err)
	}
	args, timespecSize, err := getSubvolInfo(f)
	if err != nil {
		return Info{}, pathError(op, f.Name(), explain(f, err))
	}
	return newInfo(args, timespecSize), nil
}
