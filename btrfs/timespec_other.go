//go:build linux && !386

package btrfs

// timespecSizes lists the sizes that struct btrfs_ioctl_timespec {u64, u32} may have: padded to 8 bytes by every C ABI
// but that of i386 (arm too, although Go aligns a uint64 to 4 bytes there).
func timespecSizes() []uintptr { return []uintptr{16} }
