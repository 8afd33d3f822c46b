// Preallocated files: blocks that were never written are holes, and only the list of extents of the file shows them.

package pending

import (
	"errors"

	"golang.org/x/sys/unix"
)

const (
	// preallocated is the minimum size of a file whose extents are listed.
	preallocated = 1 << 20
	// asked limits how many extents of a file are listed: the first ones stand for the others.
	asked = 64
)

// mayBePreallocated reports whether a file that has all its blocks is large enough to be examined.
func mayBePreallocated(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size >= preallocated && !mayBeSparse(st)
}

// unwrittenOf is how many bytes of the file name in dir were never written, if it is worth a look.
func unwrittenOf(dir int, name string, st *unix.Stat_t) int64 {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Openat(dir, name, flags|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) {
		fd, err = unix.Openat(dir, name, flags, 0)
	}
	if err != nil {
		return 0 // rsync reports why
	}
	defer unix.Close(fd)
	return unwritten(fd, st)
}

func unwritten(fd int, st *unix.Stat_t) (sum int64) {
	if !mayBePreallocated(st) {
		return 0
	}
	offset := int64(0)
	for range asked {
		hole, err := unix.Seek(fd, offset, unix.SEEK_HOLE)
		if err != nil || hole >= st.Size {
			break
		}
		if offset, err = unix.Seek(fd, hole, unix.SEEK_DATA); err != nil { // ENXIO: no more data
			offset = st.Size
		}
		if offset-hole >= holeUnit {
			sum += offset - hole
		}
	}
	return sum
}
