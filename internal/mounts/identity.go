package mounts

import (
	"cmp"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// SameFS reports whether both are one filesystem, and on btrfs one subvolume or snapshots of one. It compares the best
// identifier that both have: f_fsid is made from the device number on many filesystems, and device numbers may change
// at each boot. Records of older versions have only f_fsid.
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

// akin reports related subvolumes: a source that is a new snapshot for each backup counts as the same.
func akin(i facts.SourceIdentity, j facts.SourceIdentity) bool {
	if i.Subvolume == "" || j.Subvolume == "" || i.Subvolume == j.Subvolume {
		return true
	}
	return i.Subvolume == j.Parent || i.Parent == j.Subvolume || i.Parent != "" && i.Parent == j.Parent
}

// SameDir reports whether both can be the same directory.
func SameDir(i facts.SourceIdentity, j facts.SourceIdentity) bool {
	return SameFS(i, j) && (i.Inode == j.Inode || i.Inode == 0 || j.Inode == 0)
}

// TrueInodes reports filesystems on which names with one inode number are certainly one file. FUSE, 9p, overlay and
// network filesystems may give one number to several files.
func TrueInodes(fsType int64) bool { return keepsInodes(fsType) || fsType == unix.TMPFS_MAGIC }

// keepsInodes reports the common disk filesystems, on which the inode number of a file never changes; other filesystems
// make new numbers at each mount.
func keepsInodes(fsType int64) bool {
	switch fsType {
	case unix.EXT4_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC:
		return true
	}
	return false
}

// KeepInode stores the inode number of the directory, if the filesystem keeps inode numbers.
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

// Identify asks the kernel which filesystem dir is on. On btrfs the second word of f_fsid depends on the subvolume id
// (fs/btrfs/super.c), and different snapshots of a source may be backed up one after the other, so only the first word
// counts. Filesystems without a disk make a new f_fsid at each mount; XFS, FAT, exFAT, F2FS and squashfs use the device
// number.
func Identify(dir *os.File) (*facts.SourceIdentity, error) {
	var fs unix.Statfs_t
	if err := at.Retry(func() error { return unix.Fstatfs(int(dir.Fd()), &fs) }); err != nil {
		return nil, &os.PathError{Op: "statfs", Path: dir.Name(), Err: err}
	}
	id := &facts.SourceIdentity{FSType: int64(uint32(fs.Type))} // magic numbers have 32 bits, like the field on 32-bit machines
	m := ReadMount(dir)
	if m.Kind != "" {
		id.Source = sourceText(m)
	}
	switch id.FSType {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC, unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.V9FS_MAGIC, unix.NFS_SUPER_MAGIC:
		id.Instance = instance(dir, m)
		return id, nil
	case unix.FUSE_SUPER_MAGIC, unix.OVERLAYFS_SUPER_MAGIC:
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
	switch id.UUID = filesystemUUID(dir, m); {
	case id.UUID == "" && !lastingFSID(id.FSType):
		id.UUID = madeOf(m)
	case id.FSType == unix.OVERLAYFS_SUPER_MAGIC: // this is the id of the upper layer alone (Linux 6.7)
		id.UUID = hashed(id.UUID, cmp.Or(madeOf(m), m.Source))
	}
	if id.UUID == "" && id.FSID == "" {
		id.Instance = instance(dir, m)
	}
	return id, nil
}

// lastingFSID reports filesystems whose f_fsid is computed from data on the disk.
func lastingFSID(fsType int64) bool {
	switch fsType {
	case unix.EXT4_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
		return true
	}
	return false
}
