//go:build linux

package btrfs

import "os"

// CloneFile makes the content of dst that of src, sharing every block (FICLONE, a reflink). What dst held before is
// replaced, up to the size of src; bytes of dst past that stay, so start from an empty file. Metadata is not copied.
// It works across subvolumes, and on other filesystems with reflinks.
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
