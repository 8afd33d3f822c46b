//go:build linux && !386

package btrfs

// sendPointer is the pointer in a btrfs_ioctl_send_args, with what follows it up to the next multiple of 8: on every
// 32-bit C ABI but that of i386 the struct has the size it has on 64 bits.
type sendPointer = uint64
