//go:build linux

package btrfs

import "os"

// ReadOnly reports whether the subvolume f is the root directory of is flagged read-only (BTRFS_IOC_SUBVOL_GETFLAGS). A
// read-only mount does not count.
//
// Anybody may do this. Errors: ErrNotBtrfs; ErrNotSubvolume; EBADF when f was opened with O_PATH.
func ReadOnly(f *os.File) (bool, error) {
	flags, err := subvolFlags(f)
	return flags&subvolRdonly != 0, pathError("BTRFS_IOC_SUBVOL_GETFLAGS", f.Name(), explainSubvolume(f, err))
}

// SetReadOnly sets or clears the read-only flag (BTRFS_IOC_SUBVOL_SETFLAGS). It commits metadata without delayed data,
// and a process that has a file in it open for writing can continue writing: to freeze a tree, take a read-only
// snapshot instead.
//
// The owner and root may do this. Errors: ErrNotBtrfs; ErrNotSubvolume; EPERM for anybody else, and while a send of it
// runs; EROFS on a read-only mount; EBADF when f was opened with O_PATH.
func SetReadOnly(f *os.File, ro bool) error {
	flags, err := subvolFlags(f)
	if err != nil {
		return pathError("BTRFS_IOC_SUBVOL_GETFLAGS", f.Name(), explainSubvolume(f, err))
	}
	flags &^= subvolRdonly
	if ro {
		flags |= subvolRdonly
	}
	err = ioctl(f, reqSubvolSetflags, &flags)
	return pathError("BTRFS_IOC_SUBVOL_SETFLAGS", f.Name(), explainSubvolume(f, err))
}

func subvolFlags(f *os.File) (flags uint64, err error) {
	err = ioctl(f, reqSubvolGetflags, &flags)
	return flags, err
}
