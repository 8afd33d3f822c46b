//go:build linux && !mips && !mipsle && !mips64 && !mips64le && !ppc && !ppc64 && !ppc64le && !sparc64

package btrfs

// Direction bits of a request number, from asm-generic/ioctl.h.
const (
	dirNone  = 0 << 30
	dirWrite = 1 << 30
	dirRead  = 2 << 30
)
