//go:build linux

package btrfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// DeleteSubvolume removes the subvolume name in parent, with everything in it and without walking it
// (BTRFS_IOC_SNAP_DESTROY_V2; before Linux 5.7 BTRFS_IOC_SNAP_DESTROY). Symbolic links are not followed. Open files, a
// working directory or a mount inside do not prevent it; mounts are detached. It is not durable until the next commit,
// and the space comes back later still: see WaitDeleted.
//
// Root may do this; the owner of the subvolume only on a mount with user_subvol_rm_allowed. Errors: ErrInvalidName;
// ErrNotBtrfs; ErrNotSubvolume for a plain directory; ENOTDIR for a file or a symbolic link; ENOENT; ENOTEMPTY when
// subvolumes are nested in it (see Children); EACCES when parent is not the caller's to write; EPERM without privilege,
// and for the default subvolume, an active swap file or a running send; EROFS when parent is read-only or, without
// root, when the subvolume is; EBADF when parent was opened with O_PATH.
func DeleteSubvolume(parent *os.File, name string) error {
	op := "BTRFS_IOC_SNAP_DESTROY_V2"
	path := childPath(parent, name)
	if err := checkName(name); err != nil {
		return pathError(op, path, err)
	}
	err := destroyV2(parent, name)
	if err == unix.ENOTTY {
		op = "BTRFS_IOC_SNAP_DESTROY"
		err = destroyV1(parent, name)
	}
	return pathError(op, path, explainDelete(parent, err))
}

func destroyV2(parent *os.File, name string) error {
	args := volArgsV2{}
	copy(args.Name[:], name)
	return ioctl(parent, reqSnapDestroyV2, &args)
}

func destroyV1(parent *os.File, name string) error {
	args := volArgs{}
	copy(args.Name[:], name)
	return ioctl(parent, reqSnapDestroy, &args)
}

// explainDelete knows that with a valid name EINVAL is left to say one thing: a directory, but no subvolume.
func explainDelete(parent *os.File, err error) error {
	if err == unix.EINVAL {
		return &kindError{ErrNotSubvolume, unix.EINVAL}
	}
	return explain(parent, err)
}

// DeleteSubvolumeByID removes the subvolume with that id, wherever it is on the filesystem of f
// (BTRFS_IOC_SNAP_DESTROY_V2 with SPEC_BY_ID, Linux 5.7). f may be any directory of it, even the subvolume itself.
// Otherwise like DeleteSubvolume.
//
// Root may do this. Errors: ErrNotBtrfs; ENOENT for an id that is not, or no longer, in use; EINVAL for an id below
// 256; ENOTEMPTY; EPERM without privilege; EROFS; EBADF when f was opened with O_PATH; ENOTTY before Linux 5.7. On a
// mount with user_subvol_rm_allowed the owner may too, with EACCES when the directory that holds it is not the caller's
// to write, EROFS while it is read-only, and EINVAL when f is in the subvolume itself.
func DeleteSubvolumeByID(f *os.File, id uint64) error {
	args := volArgsID{Flags: subvolSpecByID, SubvolID: id}
	err := ioctl(f, reqSnapDestroyV2, &args)
	return pathError("BTRFS_IOC_SNAP_DESTROY_V2", f.Name(), explain(f, err))
}
