// Removing subvolumes: by name below the descriptor of DEST, so nothing is
// followed, and as an ordinary user by emptying them.

package rsbtbackup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

// removeSubvolume deletes the subvolume name in dir with everything in it,
// subvolumes nested in it included. Without root, on a filesystem not mounted
// with user_subvol_rm_allowed, the kernel refuses the ioctl (EPERM) but lets
// an owner empty a subvolume and remove it as a directory.
func removeSubvolume(ctx context.Context, dir *os.File, name string) error {
	err := btrfs.DeleteSubvolume(dir, name)
	if errors.Is(err, unix.ENOTEMPTY) {
		if err := removeNested(ctx, dir, name); err != nil {
			return err
		}
		err = btrfs.DeleteSubvolume(dir, name)
	}
	if os.Geteuid() != 0 && refused(err) {
		if empty := emptySubvolume(ctx, dir, name); empty != nil {
			return errors.Join(err, empty)
		}
		return unlinkAt(dir, name, unix.AT_REMOVEDIR)
	}
	return err
}

// refused tells whether the ioctl was refused for want of privilege. To root
// the same errors mean something else (the default subvolume, one being sent,
// an active swap file), and emptying would destroy what was rightly refused.
func refused(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EROFS)
}

// removeNested deletes the subvolumes inside name, deepest first.
func removeNested(ctx context.Context, dir *os.File, name string) error {
	sub, err := btrfs.OpenDirAt(dir, name)
	if err != nil {
		return err
	}
	defer sub.Close()
	// A read-only subvolume does not let go of its children (EROFS).
	if err := btrfs.SetReadOnly(sub, false); err != nil {
		return err
	}
	children, err := btrfs.Children(sub)
	if err != nil {
		return err
	}
	for _, c := range children {
		parent, err := openBeneath(sub, filepath.Dir(c.Path))
		if err != nil {
			return err
		}
		err = removeSubvolume(ctx, parent, filepath.Base(c.Path))
		if err := errors.Join(err, parent.Close()); err != nil {
			return fmt.Errorf("nested subvolume: %w", err)
		}
	}
	return nil
}

// openBeneath opens the directory at path below dir. The kernel follows no
// symlink on the way and does not leave dir (openat2, Linux 5.6).
func openBeneath(dir *os.File, path string) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	}
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Openat2(int(dir.Fd()), path, &how)
		return err
	})
	if err != nil {
		return nil, atError("open", dir, path, err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(dir.Name(), path)), nil
}

// emptySubvolume is how an owner without privileges makes a subvolume go: it
// must be writable, then everything in it can be unlinked.
func emptySubvolume(ctx context.Context, dir *os.File, name string) error {
	sub, err := btrfs.OpenDirAt(dir, name)
	if err != nil {
		return err
	}
	defer sub.Close()
	ro, err := btrfs.ReadOnly(sub)
	if err != nil {
		return err
	}
	if ro {
		if err := btrfs.SetReadOnly(sub, false); err != nil {
			return err
		}
	}
	return emptyDir(ctx, sub)
}

// emptyDir removes everything below dir through descriptors, following
// nothing.
func emptyDir(ctx context.Context, dir *os.File) error {
	if err := unix.Fchmod(int(dir.Fd()), 0o700); err != nil {
		return atError("chmod", dir, "", err)
	}
	list, err := openDirAt(dir, ".")
	if err != nil {
		return err
	}
	defer list.Close()
	for {
		entries, err := list.ReadDir(readBatch)
		for _, e := range entries {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := removeEntry(ctx, dir, e); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func removeEntry(ctx context.Context, dir *os.File, e fs.DirEntry) error {
	if !e.IsDir() {
		return unlinkAt(dir, e.Name(), 0)
	}
	// A directory that is empty, a stub or an empty subvolume goes at once.
	err := unlinkAt(dir, e.Name(), unix.AT_REMOVEDIR)
	if !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	sub, err := openOwn(dir, e.Name(), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	if err := errors.Join(emptyDir(ctx, sub), sub.Close()); err != nil {
		return err
	}
	return unlinkAt(dir, e.Name(), unix.AT_REMOVEDIR)
}
