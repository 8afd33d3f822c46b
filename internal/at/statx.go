package at

import "golang.org/x/sys/unix"

// StatOf converts the result of statx(2) with STATX_BASIC_STATS to that of stat(2). The types of the fields of a Stat_t
// differ between architectures.
func StatOf(x *unix.Statx_t) (st unix.Stat_t) {
	set(&st.Dev, unix.Mkdev(x.Dev_major, x.Dev_minor))
	set(&st.Rdev, unix.Mkdev(x.Rdev_major, x.Rdev_minor))
	set(&st.Ino, x.Ino)
	set(&st.Mode, uint64(x.Mode))
	set(&st.Nlink, uint64(x.Nlink))
	set(&st.Size, x.Size)
	set(&st.Blocks, x.Blocks)
	set(&st.Blksize, uint64(x.Blksize))
	st.Uid, st.Gid = x.Uid, x.Gid
	st.Atim, st.Mtim, st.Ctim = timespec(x.Atime), timespec(x.Mtime), timespec(x.Ctime)
	return st
}

func timespec(t unix.StatxTimestamp) (ts unix.Timespec) {
	set(&ts.Sec, uint64(t.Sec))
	set(&ts.Nsec, uint64(t.Nsec))
	return ts
}

func set[T int32 | uint32 | int64 | uint64](field *T, value uint64) { *field = T(value) }
