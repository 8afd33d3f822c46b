package metrics

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// replace replaces or creates a file atomically: a reader gets the old one or the new one. The text is made while no
// other run writes, so that the newest is written last. No symlink is followed, neither at the file nor at its
// directory; the directories above belong to the administrator.
func replace(file string, text func() string) (err error) {
	dir, err := openDir(filepath.Dir(file))
	if err != nil {
		return err
	}
	defer dir.Close()
	lock(dir)
	name := filepath.Base(file)
	hidden := fmt.Sprintf(".%s.%d", name, os.Getpid()) // node_exporter reads only *.prom
	f, err := create(dir, hidden)
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	_, err = f.WriteString(text())
	err = errors.Join(err, f.Chmod(0o644), f.Sync()) // a full disk may be reported only by the sync
	if err == nil && f.Name() == "" {
		err = link(f, dir, hidden)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = unix.Renameat(int(dir.Fd()), hidden, int(dir.Fd()), name)
	}
	if err != nil {
		_ = unix.Unlinkat(int(dir.Fd()), hidden, 0) // it may not be there
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// Try reports whether the file could be written, and writes nothing.
func Try(file string) error {
	dir, err := openDir(filepath.Dir(file))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Faccessat(int(dir.Fd()), ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return &os.PathError{Op: "write to", Path: dir.Name(), Err: err}
	}
	return nil
}

func openDir(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == nil {
		return os.NewFile(uintptr(fd), path), nil
	}
	if info, lerr := os.Lstat(path); lerr == nil && info.Mode()&os.ModeSymlink != 0 {
		return nil, fmt.Errorf("open %s: it is a symlink, which is not followed: name the directory it leads to", path)
	}
	return nil, &os.PathError{Op: "open", Path: path, Err: err}
}

// lock waits for another run that writes, for at most a second: without the lock the figures may only be older by one
// run.
func lock(dir *os.File) {
	for range 20 {
		if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// create makes a file without a name, of which a kill leaves nothing; if the filesystem does not support that
// (EOPNOTSUPP; EISDIR and ENOENT if it does not know the flag), a file with a name.
func create(dir *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), ""), nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.ENOENT) {
		return nil, err
	}
	_ = unix.Unlinkat(int(dir.Fd()), name, 0) // left behind by a process with the same number
	fd, err = unix.Openat(int(dir.Fd()), name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// link gives the file a name. /proc is the way without privileges; see open(2).
func link(f, dir *os.File, name string) error {
	_ = unix.Unlinkat(int(dir.Fd()), name, 0) // left behind by a process with the same number
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), int(dir.Fd()), name, unix.AT_SYMLINK_FOLLOW)
}
