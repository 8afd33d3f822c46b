//go:build linux

package btrfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// firstFreeObjectID is the inode number of the root directory of every subvolume, and of nothing else on btrfs.
const firstFreeObjectID = 256

// OpenDir opens the directory at path for reading, close-on-exec. Symbolic links are followed, the last one too:
// resolve once, then work on the *os.File. On a filesystem other than btrfs the error matches ErrNotBtrfs; what is not
// a directory gives ENOTDIR.
func OpenDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	on, err := IsBtrfs(f)
	if err == nil && !on {
		err = pathError("open", path, ErrNotBtrfs)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// OpenDirAt opens the directory name inside parent for reading, close-on-exec, without following a symbolic link: that,
// like anything else that is not a directory, gives ENOTDIR. It also does not enter a mount (ErrMountPoint), because
// DeleteSubvolume and the other calls by name act on what is below it. So the result is on the filesystem of parent, in
// the same subvolume or the root of another. Name of the result is parent.Name() + "/" + name. It takes Linux 5.6
// (openat2).
func OpenDirAt(parent *os.File, name string) (*os.File, error) {
	const op = "openat2"
	path := childPath(parent, name)
	if err := checkName(name); err != nil {
		return nil, pathError(op, path, err)
	}
	fd, err := openat(parent, name)
	if err == unix.EXDEV {
		err = &kindError{ErrMountPoint, unix.EXDEV}
	}
	if err != nil {
		return nil, pathError(op, path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

func openat(parent *os.File, name string) (fd int, err error) {
	err = withFd(parent, func(dir uintptr) error {
		return retry(func() unix.Errno {
			var err error
			fd, err = unix.Openat2(int(dir), name, &unix.OpenHow{
				Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
				Resolve: unix.RESOLVE_NO_XDEV,
			})
			return errnoOf(err)
		})
	})
	return fd, err
}

// IsBtrfs reports whether f is on btrfs, by fstatfs(2).
func IsBtrfs(f *os.File) (bool, error) {
	on, err := onBtrfs(f)
	return on, pathError("fstatfs", f.Name(), err)
}

// IsSubvolume reports whether f is the root directory of a subvolume: on btrfs, and inode 256. The stub directories
// that a snapshot has in the place of nested subvolumes are none.
func IsSubvolume(f *os.File) (bool, error) {
	sub, err := rootOfSubvolume(f)
	return sub, pathError("fstat", f.Name(), err)
}

// rootOfSubvolume is IsSubvolume with a bare errno.
func rootOfSubvolume(f *os.File) (bool, error) {
	looks, err := looksLikeSubvolume(f)
	if err != nil || !looks {
		return false, err
	}
	return onBtrfs(f)
}

// looksLikeSubvolume is rootOfSubvolume for what is on btrfs.
func looksLikeSubvolume(f *os.File) (bool, error) {
	var st unix.Stat_t
	err := withFd(f, func(fd uintptr) error {
		return retry(func() unix.Errno { return errnoOf(unix.Fstat(int(fd), &st)) })
	})
	return err == nil && st.Ino == firstFreeObjectID && st.Mode&unix.S_IFMT == unix.S_IFDIR, err
}

// onBtrfs is IsBtrfs with a bare errno.
func onBtrfs(f *os.File) (bool, error) {
	st, err := statfs(f)
	return err == nil && uint32(st.Type) == unix.BTRFS_SUPER_MAGIC, err
}

func statfs(f *os.File) (st unix.Statfs_t, err error) {
	err = withFd(f, func(fd uintptr) error {
		return retry(func() unix.Errno { return errnoOf(unix.Fstatfs(int(fd), &st)) })
	})
	return st, err
}

// errnoOf takes back the errno that a call of x/sys/unix returned as an error.
func errnoOf(err error) unix.Errno {
	if err == nil {
		return 0
	}
	return err.(unix.Errno)
}
