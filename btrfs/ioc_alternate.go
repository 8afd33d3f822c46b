//go:build linux && (mips || mipsle || mips64 || mips64le || ppc || ppc64 || ppc64le || sparc64)

package btrfs

// Direction bits of a request number, from asm/ioctl.h of mips, powerpc and sparc: one bit each, none has a bit too.
const (
	dirNone  = 1 << 29
	dirRead  = 2 << 29
	dirWrite = 4 << 29
)
