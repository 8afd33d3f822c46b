//go:build linux

package btrfs

// timespecSizes lists the sizes that struct btrfs_ioctl_timespec {u64, u32} may have, best guess first: on i386 a u64
// is aligned to 4 bytes and nothing is padded; a 64-bit kernel has no compat entry for GET_SUBVOL_INFO and wants its
// own layout.
func timespecSizes() []uintptr { return []uintptr{12, 16} }
