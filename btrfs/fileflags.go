//go:build linux

package btrfs

import "os"

// Flags of FileFlags, FS_*_FL of linux/fs.h
const (
	FlagCompress   = 0x4
	FlagSync       = 0x8
	FlagImmutable  = 0x10
	FlagAppend     = 0x20
	FlagNoDump     = 0x40
	FlagNoAtime    = 0x80
	FlagNoCompress = 0x400
	FlagDirSync    = 0x10000
	FlagNoCOW      = 0x800000
)

// FileFlags returns the flags of chattr(1) of a regular file or directory (FS_IOC_GETFLAGS).
//
// Anybody may do this. Errors: ENOTTY on what has none; EBADF when f was opened with O_PATH.
func FileFlags(f *os.File) (flags uint32, err error) {
	err = ioctl(f, reqGetFlags, &flags)
	return flags, pathError("FS_IOC_GETFLAGS", f.Name(), err)
}

// SetFileFlags replaces them, by FS_IOC_FSSETXATTR if that is enough, else by FS_IOC_SETFLAGS, which also sets the
// property btrfs.compression to the default of the mount or removes it. NoCOW of a regular file that is not empty stays
// what it is, without an error (Linux 6.18).
//
// The owner may do this; Immutable and Append take root. Errors: EPERM; EROFS; EINVAL for flags that exclude each
// other; EOPNOTSUPP for one btrfs does not have; ETXTBSY for an active swap file.
func SetFileFlags(f *os.File, flags uint32) error {
	have, err := FileFlags(f)
	if err != nil {
		return err
	}
	if changed := have ^ flags; changed == 0 || changed&^xFlags() != 0 {
		return pathError("FS_IOC_SETFLAGS", f.Name(), ioctl(f, reqSetFlags, &flags))
	}
	var args fsxattr
	if err := ioctl(f, reqGetXFlags, &args); err != nil {
		return pathError("FS_IOC_FSGETXATTR", f.Name(), err)
	}
	for _, pair := range xFlagPairs {
		args.XFlags &^= pair.x
		if flags&pair.fs != 0 {
			args.XFlags |= pair.x
		}
	}
	return pathError("FS_IOC_FSSETXATTR", f.Name(), ioctl(f, reqSetXFlags, &args))
}

// xFlagPairs are the flags that FS_IOC_FSSETXATTR knows by other names, FS_XFLAG_*.
var xFlagPairs = []struct{ fs, x uint32 }{
	{FlagImmutable, 0x8}, {FlagAppend, 0x10}, {FlagSync, 0x20}, {FlagNoAtime, 0x40}, {FlagNoDump, 0x80},
}

func xFlags() (all uint32) {
	for _, pair := range xFlagPairs {
		all |= pair.fs
	}
	return all
}

// Verity are the parameters of fs-verity.
type Verity struct {
	HashAlgorithm uint32 // FS_VERITY_HASH_ALG_*
	BlockSize     uint32
	Salt          []byte
	Signature     []byte
}

// EnableVerity turns on fs-verity for f, which must be open for reading only, by everybody (FS_IOC_ENABLE_VERITY).
//
// The caller needs the right to write to the file. Errors: EOPNOTSUPP from a kernel without CONFIG_FS_VERITY; ENOTTY on
// another filesystem; EEXIST when it is on already; ETXTBSY while the file is open for writing.
func EnableVerity(f *os.File, v Verity) error {
	return pathError("FS_IOC_ENABLE_VERITY", f.Name(), enableVerity(f, v))
}
