package mounts

import (
	"os"

	"golang.org/x/sys/unix"
)

// Instance identifies the boot, and within it the time from the first mount of the filesystem to its last unmount: the
// lifetime of its page cache. In-place writes whose data was still in memory at a power cut or an unmount can have left
// the new time and size with the old bytes, so what was written in another instance is compared by checksum.
type Instance struct {
	BootID string `json:"boot_id"`
	// SysInode is the result of SysInode, the same in every mount namespace; services of systemd have their own ones.
	SysInode uint64 `json:"sys_inode,omitempty"`
	// MountID is used if there is no /sys.
	MountID uint64 `json:"mount_id"`
}

// Known is false if the kernel did not tell; such an instance equals no other.
func (i Instance) Known() bool { return i.BootID != "" && (i.MountID != 0 || i.SysInode != 0) }

// ReadInstance asks the kernel for that of the filesystem of dir. Only unique mount ids (Linux 6.8) count: others are
// reused after an unmount.
func ReadInstance(dir *os.File) Instance {
	var i Instance
	if id, err := BootID(); err == nil {
		i.BootID = id
	}
	if i.SysInode = SysInode(dir); i.SysInode != 0 {
		return i
	}
	var st unix.Statx_t
	err := unix.Statx(int(dir.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID_UNIQUE, &st)
	if err == nil && st.Mask&unix.STATX_MNT_ID_UNIQUE != 0 {
		i.MountID = st.Mnt_id
	}
	return i
}
