// What a comparison needs to know about a file, without following symlinks.

package at

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
)

// FileID identifies a file in related snapshots. The inode number alone does not: btrfs reuses numbers after a remount.
type FileID struct {
	Inode uint64
	birth unix.StatxTimestamp
}

// Known is false if the kernel returns no time of birth.
func (id FileID) Known() bool { return id.birth.Sec != 0 || id.birth.Nsec != 0 }

type Info struct {
	ID       FileID
	Mode     uint32 // with the type
	UID, GID uint32
	Links    uint32
	Size     int64
	Device   [2]uint32 // of a device node
	MTime    unix.StatxTimestamp
	ctime    unix.StatxTimestamp
}

func (st Info) Format() uint32 { return st.Mode & unix.S_IFMT }

func (st Info) IsDir() bool { return st.Format() == unix.S_IFDIR }

func (st Info) IsFile() bool { return st.Format() == unix.S_IFREG }

// IsBoundary reports a nested subvolume, or the stub that a snapshot has in its place.
func (st Info) IsBoundary() bool {
	const rootInode = 256
	return st.IsDir() && (st.ID.Inode == btrfs.StubInode || st.ID.Inode == rootInode)
}

func (st Info) FileSize() int64 {
	if st.IsFile() {
		return st.Size
	}
	return 0
}

func (st Info) TypeName() string { return KindOf(st.Mode) }

const statMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME

// InfoOf describes the entry name of dir, or dir itself for "".
func InfoOf(dir *os.File, name string) (Info, error) {
	flags := unix.AT_SYMLINK_NOFOLLOW
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	var sx unix.Statx_t
	err := Retry(func() error { return unix.Statx(int(dir.Fd()), name, flags, statMask, &sx) })
	if err != nil {
		return Info{}, Error("statx", dir, name, err)
	}
	st := Info{
		ID:   FileID{Inode: sx.Ino},
		Mode: uint32(sx.Mode), UID: sx.Uid, GID: sx.Gid, Links: sx.Nlink, Size: int64(sx.Size),
		Device: [2]uint32{sx.Rdev_major, sx.Rdev_minor}, MTime: sx.Mtime, ctime: sx.Ctime,
	}
	if sx.Mask&unix.STATX_BTIME != 0 {
		st.ID.birth = sx.Btime
	}
	return st, nil
}

// OpenPathInside opens path below dir, which may be of any kind. The kernel neither follows a symlink nor leaves dir
// (openat2, Linux 5.6). The last name is opened separately, because RESOLVE_NO_SYMLINKS also refuses to open a symlink
// itself with O_PATH.
func OpenPathInside(dir *os.File, path string, flags int) (*os.File, error) {
	const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV
	parent, err := Openat2(int(dir.Fd()), filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY, resolve)
	if err != nil {
		return nil, Error("open", dir, path, err)
	}
	var fd int
	err = Retry(func() (err error) {
		fd, err = unix.Openat(parent, filepath.Base(path), flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		return err
	})
	closeErr := unix.Close(parent)
	if err = cmp.Or(err, closeErr); err != nil {
		return nil, Error("open", dir, path, err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(dir.Name(), path)), nil
}

// LookInside describes path below root; "" is root.
func LookInside(root *os.File, path string) (Info, error) {
	if path == "" {
		return InfoOf(root, "")
	}
	f, err := OpenPathInside(root, path, unix.O_PATH)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	return InfoOf(f, "")
}

// ThroughSymlink is a hint for a path that does not exist: that one of its parents is a symlink, which ls and cat would
// follow. It is empty if none is.
func ThroughSymlink(root *os.File, path string) string {
	for i, c := range path {
		if c != '/' {
			continue
		}
		if target, err := ReadlinkInside(root, path[:i]); err == nil {
			return fmt.Sprintf("; %q is a symlink there, to %q, and is not followed", path[:i], target)
		}
	}
	return ""
}

// IsAbsent reports that the path does not exist, or that one of its parents is not a directory of this backup.
func IsAbsent(err error) bool {
	return IsNoDir(err) || errors.Is(err, unix.EXDEV)
}

// IsUnreadable reports an error of the file, not of the comparison.
func IsUnreadable(err error) bool {
	return errors.Is(err, fs.ErrPermission) || btrfs.IsDamage(err)
}
