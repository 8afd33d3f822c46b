//go:build linux

package btrfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// Child is a subvolume nested directly in another one.
type Child struct {
	ID    uint64 // of the nested subvolume
	DirID uint64 // inode number of the directory it is in

	// Path is relative to the root of the outer subvolume. It is empty when the nested one has gone since, or when the
	// caller may not search a directory on the way (Linux 6.18 does not look at the topmost one).
	Path string
}

// Children lists the subvolumes nested directly in the subvolume f is the root directory of, in the order of their ids
// (BTRFS_IOC_GET_SUBVOL_ROOTREF and BTRFS_IOC_INO_LOOKUP_USER, Linux 4.18). What is nested in those is theirs to tell.
//
// Anybody may do this. A deleted subvolume has none. Errors: ErrNotBtrfs; ErrNotSubvolume; EBADF when f was opened with
// O_PATH.
func Children(f *os.File) ([]Child, error) {
	const op = "BTRFS_IOC_GET_SUBVOL_ROOTREF"
	if err := requireSubvolume(f); err != nil {
		return nil, pathError(op, f.Name(), err)
	}
	refs, err := rootrefs(f)
	if err != nil {
		return nil, pathError(op, f.Name(), explain(f, err))
	}
	children := make([]Child, 0, len(refs))
	for _, ref := range refs {
		path, err := lookupUser(f, ref)
		if err != nil {
			return nil, pathError("BTRFS_IOC_INO_LOOKUP_USER", f.Name(), err)
		}
		children = append(children, Child{ID: ref.TreeID, DirID: ref.DirID, Path: path})
	}
	return children, nil
}

// SubvolumeIDs lists the ids of all subvolumes of the filesystem of f that are not deleted, except the top level, in
// order.
//
// Root only. Errors: those of TreeSearch.
func SubvolumeIDs(f *os.File) ([]uint64, error) {
	const rootTree, rootBackref = 1, 144
	key := AllItems(rootTree)
	key.MinObjectID = firstFreeObjectID
	key.MinType, key.MaxType = rootBackref, rootBackref
	var ids []uint64
	for item, err := range TreeSearch(f, key) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, item.ObjectID)
	}
	return ids, nil
}

// rootrefs pages: with more than 255 to tell the kernel fills the buffer, moves MinTreeID on and says EOVERFLOW.
func rootrefs(f *os.File) ([]rootref, error) {
	var all []rootref
	args := rootrefArgs{}
	for {
		err := ioctl(f, reqGetSubvolRootref, &args)
		if err != nil && err != unix.EOVERFLOW {
			return nil, err
		}
		all = append(all, args.Rootref[:args.NumItems]...)
		if err == nil {
			return all, nil
		}
	}
}

// lookupUser is the path of a nested subvolume, or "" if the caller may not see it or it is gone by now: the kernel
// says ENOENT for both, and EACCES for some of the first.
func lookupUser(f *os.File, ref rootref) (string, error) {
	args := inoLookupUserArgs{DirID: ref.DirID, TreeID: ref.TreeID}
	err := ioctl(f, reqInoLookupUser, &args)
	if err == unix.ENOENT || err == unix.EACCES {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return cString(args.Path[:]) + cString(args.Name[:]), nil
}
