package scan

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
)

// filesystem identifies the filesystem of a directory.
type filesystem struct {
	device      uint64 // st_dev, which is valid only within one walk
	identity    string // the same at every mount, and unique
	isSubvolume bool   // of btrfs, with a UUID
}

// untrusted begins the identity of a filesystem whose inode numbers and ctimes may be meaningless: nothing on it is
// ever considered unchanged.
const untrusted = "?"

// byInstance begins the part of such an identity that is another one after each mount.
const byInstance = "+"

func isTrusted(identity string) bool { return !strings.HasPrefix(identity, untrusted) }

// identify asks the kernel for the UUIDs of the filesystem that dir is on, and on btrfs of the subvolume.
//
// Only filesystems are trusted that keep inode numbers and, as TestChangesAreSeen shows, set a new ctime at every
// change and rename. tmpfs has no identity beyond the boot. FUSE, overlayfs, NFS, vfat and the like invent inode
// numbers; of these the identity tells whether the ctime of a file can be that of another one.
func identify(dir *os.File, device uint64, boot string, origins map[string]string) (filesystem, error) {
	id, err := mounts.Identify(dir)
	if err != nil {
		return filesystem{}, err
	}
	mark := ""
	switch id.FSType {
	case unix.EXT4_SUPER_MAGIC:
		mark = id.FSID // made from the UUID, which is not always available
	case unix.XFS_SUPER_MAGIC:
		mark = id.UUID
	case unix.BTRFS_SUPER_MAGIC:
		mark = id.Subvolume
		if origin, known := origins[mark]; known {
			mark = origin
		}
	case unix.TMPFS_MAGIC:
		mark = boot
	}
	fs := filesystem{device: device, identity: fmt.Sprintf("%x-%s-%s", id.FSType, id.FSID, mark)}
	fs.isSubvolume = id.FSType == unix.BTRFS_SUPER_MAGIC && mark != ""
	if id.FSType == unix.XFS_SUPER_MAGIC {
		fs.identity = fmt.Sprintf("%x-%s", id.FSType, mark) // its f_fsid is the device number
	}
	if mark == "" {
		fs.identity = fmt.Sprintf("%s%s-%s%s%s", untrusted, fs.identity, id.UUID, byInstance, id.Instance)
	}
	return fs, nil
}

// bootID identifies this boot; empty if it is unknown.
func bootID() string {
	id, err := mounts.BootID()
	if err != nil {
		return ""
	}
	return id
}

// openBeneath opens the directory at path below root. No symlink is followed.
func openBeneath(root *os.File, path string, flags uint64) (fd int, err error) {
	const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS
	for {
		fd, err = at.Openat2(int(root.Fd()), path, flags|unix.O_DIRECTORY|unix.O_NOFOLLOW, resolve)
		// EAGAIN: something was renamed meanwhile, and the kernel could not verify that path stays below root.
		if err != unix.EAGAIN {
			return fd, err
		}
	}
}

// isGone: the name does not exist any more, or is not a directory.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}
