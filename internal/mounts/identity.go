package mounts

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// SameFS tells whether both are one filesystem, and of btrfs one subvolume or snapshots of one. It goes by the best
// that both know: device numbers, which f_fsid is made of on many filesystems, are given anew at each boot. Records of
// older versions have f_fsid alone.
func SameFS(i facts.SourceIdentity, j facts.SourceIdentity) bool {
	switch {
	case i.FSType != j.FSType:
		return false
	case i.UUID != "" && j.UUID != "":
		return i.UUID == j.UUID && akin(i, j)
	case i.Source != "" && j.Source != "" && !lastingFSID(i.FSType):
		return i.Source == j.Source
	}
	return i.FSID == j.FSID && akin(i, j)
}

// akin: a source that is a new snapshot for each backup is meant to be the same.
func akin(i facts.SourceIdentity, j facts.SourceIdentity) bool {
	if i.Subvolume == "" || j.Subvolume == "" || i.Subvolume == j.Subvolume {
		return true
	}
	return i.Subvolume == j.Parent || i.Parent == j.Subvolume || i.Parent != "" && i.Parent == j.Parent
}

// SameDir tells whether both can be the same directory.
func SameDir(i facts.SourceIdentity, j facts.SourceIdentity) bool {
	return SameFS(i, j) && (i.Inode == j.Inode || i.Inode == 0 || j.Inode == 0)
}

// TrueInodes tells of filesystems on which names of one inode number are one file for sure. What is shown by another
// program (FUSE, 9p), made of several filesystems (overlay) or comes over a network may give one number to several.
func TrueInodes(fsType int64) bool { return keepsInodes(fsType) || fsType == unix.TMPFS_MAGIC }

// keepsInodes tells of the common filesystems on disks that a file has one inode number for ever; others make them up
// at each mount.
func keepsInodes(fsType int64) bool {
	switch fsType {
	case unix.EXT4_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC:
		return true
	}
	return false
}

// KeepInode notes the inode number of the directory, where it says something.
func KeepInode(i *facts.SourceIdentity, st *unix.Stat_t) {
	if keepsInodes(i.FSType) {
		i.Inode = st.Ino
	}
}

// IdentifyPath is Identify for a path, which may be a symlink.
func IdentifyPath(path string) (*facts.SourceIdentity, error) {
	dir, err := os.OpenFile(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return Identify(dir)
}

// Identify asks the kernel which filesystem dir is on. Of the second word of f_fsid btrfs makes the subvolume id
// (fs/btrfs/super.c), and snapshots of a source are meant to be backed up in turn, so only the first counts there.
// Filesystems without a disk make it up at mount time; XFS, FAT, exFAT, F2FS and squashfs take the device number.
func Identify(dir *os.File) (*facts.SourceIdentity, error) {
	var fs unix.Statfs_t
	if err := at.Retry(func() error { return unix.Fstatfs(int(dir.Fd()), &fs) }); err != nil {
		return nil, &os.PathError{Op: "statfs", Path: dir.Name(), Err: err}
	}
	id := &facts.SourceIdentity{FSType: int64(uint32(fs.Type))} // the magic numbers have 32 bits, and so has the field on 32-bit machines
	m := ReadMount(dir)
	if m.Kind != "" {
		id.Source = sourceText(m)
	}
	switch id.FSType {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.V9FS_MAGIC, unix.NFS_SUPER_MAGIC:
		return id, nil
	case unix.FUSE_SUPER_MAGIC:
	case unix.BTRFS_SUPER_MAGIC:
		id.FSID = fmt.Sprintf("%08x", uint32(fs.Fsid.Val[0]))
		if sub, err := btrfs.SubvolumeAround(dir); err == nil {
			id.Subvolume = sub.UUID.String()
			if !sub.ParentUUID.IsZero() {
				id.Parent = sub.ParentUUID.String()
			}
		}
	default:
		id.FSID = fmt.Sprintf("%08x%08x", uint32(fs.Fsid.Val[0]), uint32(fs.Fsid.Val[1]))
	}
	id.UUID = filesystemUUID(dir, m)
	return id, nil
}

// lastingFSID tells of filesystems whose f_fsid is made of what is on the disk.
func lastingFSID(fsType int64) bool {
	switch fsType {
	case unix.EXT4_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
		return true
	}
	return false
}
