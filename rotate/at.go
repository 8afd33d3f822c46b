package rotate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// owner is the user, besides the caller, who may own a log, and who gets a new one: root works in directories of other
// users, who must be able to continue the log. For other callers it is the caller.
type owner struct{ uid, gid int }

func ownerIn(dir *os.File) (owner, error) {
	us := owner{os.Geteuid(), os.Getegid()}
	if us.uid != 0 {
		return us, nil
	}
	var st unix.Stat_t
	if err := control(dir, func(fd int) error { return unix.Fstat(fd, &st) }); err != nil {
		return us, &fs.PathError{Op: "fstat", Path: dir.Name(), Err: err}
	}
	return owner{int(st.Uid), int(st.Gid)}, nil
}

// openLog opens or creates name below dir and refuses everything but a regular file with one name, ours or the owner's
// of dir. Nothing is changed before those checks have passed.
func openLog(dir *os.File, name string, perm uint32) (*os.File, error) {
	path := filepath.Join(dir.Name(), name)
	owner, err := ownerIn(dir)
	if err != nil {
		return nil, err
	}
	for range maxReopens {
		fd, err := openAt(dir, name, 0, 0)
		if err == unix.ENOENT {
			fd, err = createAt(dir, name, perm, owner)
			if err == unix.EEXIST { // another process was first
				continue
			}
		}
		if err != nil {
			return nil, &fs.PathError{Op: "openat", Path: path, Err: explain(err)}
		}
		var st unix.Stat_t
		if err := ignoringEINTR(func() error { return unix.Fstat(fd, &st) }); err != nil {
			unix.Close(fd)
			return nil, &fs.PathError{Op: "fstat", Path: path, Err: err}
		}
		// Two rotations between open and fstat leave the file without a name.
		if st.Nlink == 0 {
			unix.Close(fd)
			continue
		}
		if err := secure(fd, &st, perm, owner); err != nil {
			unix.Close(fd)
			return nil, &fs.PathError{Op: "open log", Path: path, Err: err}
		}
		return os.NewFile(uintptr(fd), path), nil
	}
	return nil, &fs.PathError{Op: "open log", Path: path, Err: errReplaced}
}

// createAt creates a missing log, and changes its owner only if it created it.
func createAt(dir *os.File, name string, perm uint32, owner owner) (fd int, err error) {
	fd, err = openAt(dir, name, unix.O_CREAT|unix.O_EXCL, perm)
	if err != nil || owner.uid == os.Geteuid() {
		return fd, err
	}
	if err := ignoringEINTR(func() error { return unix.Fchown(fd, owner.uid, owner.gid) }); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("fchown", err)
	}
	return fd, nil
}

// openAt does not wait for the other end of a FIFO (O_NONBLOCK) and does not take over a terminal (O_NOCTTY).
func openAt(dir *os.File, name string, more int, perm uint32) (fd int, err error) {
	const flags = unix.O_RDWR | unix.O_APPEND |
		unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	err = control(dir, func(dirfd int) error {
		fd, err = unix.Openat(dirfd, name, flags|more, perm)
		return err
	})
	return fd, err
}

// explain names what open(2) has refused: with O_NOFOLLOW it returns ELOOP for a symbolic link, and it returns EISDIR
// for a directory and ENXIO for a socket.
func explain(err error) error {
	switch err {
	case unix.ELOOP:
		return fmt.Errorf("%w: it is a symbolic link: %w", ErrUnsafe, err)
	case unix.EISDIR, unix.ENXIO:
		return fmt.Errorf("%w: %w", ErrUnsafe, err)
	}
	return err
}

// secure checks an opened file, narrows its mode, and makes its descriptor an ordinary blocking one.
func secure(fd int, st *unix.Stat_t, perm uint32, owner owner) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%w: it is a %s", ErrUnsafe, kind(st.Mode))
	case st.Nlink != 1:
		return fmt.Errorf("%w: it has %d hard links", ErrUnsafe, st.Nlink)
	case int(st.Uid) != os.Geteuid() && int(st.Uid) != owner.uid:
		return fmt.Errorf("%w: it belongs to user id %d, not %d", ErrUnsafe, st.Uid, owner.uid)
	}
	if mode := uint32(st.Mode) & 0o7777; mode&^perm != 0 {
		if err := ignoringEINTR(func() error { return unix.Fchmod(fd, mode&perm) }); err != nil {
			return os.NewSyscallError("fchmod", err)
		}
	}
	return os.NewSyscallError("fcntl", unix.SetNonblock(fd, false))
}

func kind(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return "FIFO"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "device"
	}
	return "special file"
}

// isNamed reports whether the name below dir is this file.
func isNamed(log, dir *os.File, name string) (bool, error) {
	var open, named unix.Stat_t
	if err := control(log, func(fd int) error { return unix.Fstat(fd, &open) }); err != nil {
		return false, &fs.PathError{Op: "fstat", Path: log.Name(), Err: err}
	}
	err := control(dir, func(fd int) error { return unix.Fstatat(fd, name, &named, unix.AT_SYMLINK_NOFOLLOW) })
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, &fs.PathError{Op: "fstatat", Path: log.Name(), Err: err}
	}
	return open.Dev == named.Dev && open.Ino == named.Ino, nil
}

// renameLog replaces newname even if it is a symbolic link, which it does not follow. It fails only if newname is a
// directory.
func renameLog(dir *os.File, oldname, newname string) error {
	err := control(dir, func(fd int) error { return unix.Renameat(fd, oldname, fd, newname) })
	return linkError("renameat", dir, oldname, newname, err)
}

// renameLogBack undoes renameLog, unless another writer has begun a new log.
func renameLogBack(dir *os.File, oldname, newname string) error {
	err := control(dir, func(fd int) error {
		return unix.Renameat2(fd, oldname, fd, newname, unix.RENAME_NOREPLACE)
	})
	return linkError("renameat2", dir, oldname, newname, err)
}

func linkError(op string, dir *os.File, oldname, newname string, err error) error {
	if err == nil {
		return nil
	}
	return &os.LinkError{
		Op:  op,
		Old: filepath.Join(dir.Name(), oldname),
		New: filepath.Join(dir.Name(), newname),
		Err: err,
	}
}

func lock(log *os.File) error   { return flock(log, unix.LOCK_EX) }
func unlock(log *os.File) error { return flock(log, unix.LOCK_UN) }

func flock(log *os.File, how int) error {
	if err := control(log, func(fd int) error { return unix.Flock(fd, how) }); err != nil {
		return &fs.PathError{Op: "flock", Path: log.Name(), Err: err}
	}
	return nil
}

func sizeOf(log *os.File) (int64, error) {
	st, err := log.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func duplicate(dir *os.File) (*os.File, error) {
	var own int
	err := control(dir, func(fd int) (err error) {
		own, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "fcntl", Path: dir.Name(), Err: err}
	}
	return os.NewFile(uintptr(own), dir.Name()), nil
}

// control runs call on the file's descriptor, which cannot be closed or reused meanwhile, and repeats it when a signal
// interrupts it.
func control(f *os.File, call func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var callErr error
	err = conn.Control(func(fd uintptr) {
		callErr = ignoringEINTR(func() error { return call(int(fd)) })
	})
	if err != nil {
		return err
	}
	return callErr
}

func ignoringEINTR(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func isComponent(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}
