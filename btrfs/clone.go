//go:build linux

package btrfs

import "os"

// CloneFile makes the content of dst that of src, sharing every block (FICLONE, a reflink). What dst held before is
// replaced, up to the size of src; bytes of dst past that stay, so start from an empty file. Metadata is not copied. It
// works across subvolumes, and on other filesystems with reflinks.
//
// src must be open for reading and dst for writing, otherwise EBADF. Errors are *os.LinkError: EXDEV across
// filesystems; EISDIR for a directory; EINVAL for what is no regular file, or when one of the two has no data
// checksums; EOPNOTSUPP (errors.ErrUnsupported) where there are no reflinks; ETXTBSY for an active swap file; ENOSPC.
func CloneFile(dst, src *os.File) error {
	err := withFd(src, func(fd uintptr) error {
		return ioctlValue(dst, reqFiclone, fd)
	})
	return linkError("FICLONE", src.Name(), dst.Name(), err)
}

// CloneRange makes length bytes of dst, from dstOffset, equal to those of src, from srcOffset, by sharing their blocks
// (FICLONERANGE). A length of 0 goes to the end of src. Offsets must be multiples of the block size, and so must the
// length, unless the range ends with src and reaches the end of dst. A shorter dst grows. A capability of dst is lost,
// as with every write (Linux 6.18).
//
// src must be open for reading and dst for writing, otherwise EBADF. Errors are *os.LinkError: those of CloneFile;
// EINVAL for what is not aligned, and for a range past the end of src.
func CloneRange(dst, src *os.File, dstOffset, srcOffset, length uint64) error {
	err := withFd(src, func(fd uintptr) error {
		args := cloneRangeArgs{SrcFd: int64(fd), SrcOffset: srcOffset, SrcLength: length, DestOffset: dstOffset}
		return ioctl(dst, reqFicloneRange, &args)
	})
	return linkError("FICLONERANGE", src.Name(), dst.Name(), err)
}
