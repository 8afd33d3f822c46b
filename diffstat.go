// What a comparison needs to know of a file, found without following anything.

package rsbtbackup

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

// fileID tells files in related snapshots apart. The number alone does not:
// btrfs gives one out again after a remount.
type fileID struct {
	inode uint64
	birth unix.StatxTimestamp
}

// known is false where the kernel tells no time of birth.
func (id fileID) known() bool { return id.birth.Sec != 0 || id.birth.Nsec != 0 }

type fileStat struct {
	id       fileID
	mode     uint32 // with the type
	uid, gid uint32
	links    uint32
	size     int64
	device   [2]uint32 // of a device node
	mtime    unix.StatxTimestamp
	ctime    unix.StatxTimestamp
}

func (st fileStat) format() uint32 { return st.mode & unix.S_IFMT }
func (st fileStat) isDir() bool    { return st.format() == unix.S_IFDIR }
func (st fileStat) isFile() bool   { return st.format() == unix.S_IFREG }

// isBoundary: a nested subvolume, or the stub a snapshot has in its place.
func (st fileStat) isBoundary() bool {
	const rootInode = 256
	return st.isDir() && (st.id.inode == btrfs.StubInode || st.id.inode == rootInode)
}

func (st fileStat) fileSize() int64 {
	if st.isFile() {
		return st.size
	}
	return 0
}

func (st fileStat) typeName() string { return kindOf(st.mode) }

const statMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME

// fileStatAt describes the entry name of dir, or dir itself for "".
func fileStatAt(dir *os.File, name string) (fileStat, error) {
	flags := unix.AT_SYMLINK_NOFOLLOW
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	var sx unix.Statx_t
	err := retry(func() error { return unix.Statx(int(dir.Fd()), name, flags, statMask, &sx) })
	if err != nil {
		return fileStat{}, atError("statx", dir, name, err)
	}
	st := fileStat{
		id:   fileID{inode: sx.Ino},
		mode: uint32(sx.Mode), uid: sx.Uid, gid: sx.Gid, links: sx.Nlink, size: int64(sx.Size),
		device: [2]uint32{sx.Rdev_major, sx.Rdev_minor}, mtime: sx.Mtime, ctime: sx.Ctime,
	}
	if sx.Mask&unix.STATX_BTIME != 0 {
		st.id.birth = sx.Btime
	}
	return st, nil
}

// openPathInside opens what is at path below dir, which may be of any kind. The
// kernel neither follows a symlink nor leaves dir (openat2, Linux 5.6). The
// last name is opened apart: RESOLVE_NO_SYMLINKS does not let O_PATH have a
// symlink itself.
func openPathInside(dir *os.File, path string, flags int) (*os.File, error) {
	const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV
	parent, err := openat2(int(dir.Fd()), filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY, resolve)
	if err != nil {
		return nil, atError("open", dir, path, err)
	}
	var fd int
	err = retry(func() (err error) {
		fd, err = unix.Openat(parent, filepath.Base(path), flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		return err
	})
	closeErr := unix.Close(parent)
	if err = cmp.Or(err, closeErr); err != nil {
		return nil, atError("open", dir, path, err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(dir.Name(), path)), nil
}

// lookInside describes what is at path below root; "" is root.
func lookInside(root *os.File, path string) (fileStat, error) {
	if path == "" {
		return fileStatAt(root, "")
	}
	f, err := openPathInside(root, path, unix.O_PATH)
	if err != nil {
		return fileStat{}, err
	}
	defer f.Close()
	return fileStatAt(f, "")
}

// isAbsent: nothing goes by that path, or something on the way to it is no
// directory of this backup.
func isAbsent(err error) bool {
	return isNoDir(err) || errors.Is(err, unix.EXDEV)
}

// isUnreadable: of the file, not of the comparison.
func isUnreadable(err error) bool {
	return errors.Is(err, fs.ErrPermission) || btrfs.IsDamage(err)
}
