//go:build linux

package btrfs

// sendPointer is the pointer in a btrfs_ioctl_send_args. A 64-bit kernel with compat support knows this layout by the
// size in the request number, as BTRFS_IOC_SEND_32: 68 bytes, which is not asserted here because staticcheck, unlike
// the compiler, aligns uint64 to 8 on 386 and would not agree.
type sendPointer = uint32
