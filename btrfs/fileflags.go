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

// SetFileFlags replaces them (FS_IOC_SETFLAGS). NoCOW of a regular file that is not empty stays what it is, without
// an error (Linux 6.18).
//
// The owner may do this; Immutable and Append take root. Errors: EPERM; EROFS; EINVAL for flags that exclude each
// other; EOPNOTSUPP for one btrfs does not have; ETXTBSY for an active swap file.
func SetFileFlags(f *os.File, flags uint32) error {
	return pathError("FS_IOC_SETFLAGS", f.Name(), ioctl(f, reqSetFlags, &flags))
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
// Whoever may write to the file may do this. Errors: EOPNOTSUPP from a kernel without CONFIG_FS_VERITY; ENOTTY on
// another filesystem; EEXIST when it is on already; ETXTBSY while the file is open for writing.
func EnableVerity(f *os.File, v Verity) error {
	return pathError("FS_IOC_ENABLE_VERITY", f.Name(), enableVerity(f, v))
}
