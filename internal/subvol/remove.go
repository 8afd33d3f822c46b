// Removing subvolumes: by name below the descriptor of DEST, so nothing is followed, and as an ordinary user by
// emptying them.

package subvol

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
)

// Remove deletes the subvolume name in dir with everything in it, subvolumes nested in it included. Without root, on a
// filesystem not mounted with user_subvol_rm_allowed, the kernel refuses the ioctl (EPERM) but lets an owner empty a
// subvolume and remove it as a directory.
func Remove(ctx context.Context, dir *os.File, name string) error {
	err := btrfs.DeleteSubvolume(dir, name)
	if errors.Is(err, unix.ENOTEMPTY) {
		if err := removeNested(ctx, dir, name); err != nil {
			return err
		}
		err = btrfs.DeleteSubvolume(dir, name)
	}
	if !Refused(err) || Privileged(dir) {
		return err
	}
	return removeAsOwner(ctx, dir, name)
}

// Refused reports whether the caller lacks the right to delete by ioctl, or, for a privileged caller, whether the
// subvolume is in use: by a send, for an active swap file, or as the default subvolume.
func Refused(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EROFS)
}

// Privileged asks the kernel with a call that has the same condition as deletion: CAP_SYS_ADMIN outside of any user
// namespace. In a container neither the user id nor the capabilities of the process show that.
func Privileged(dir *os.File) bool {
	for _, err := range btrfs.TreeSearch(dir, btrfs.AllItems(0)) {
		return err == nil
	}
	return true
}

// removeNested deletes the subvolumes inside name, deepest first.
func removeNested(ctx context.Context, dir *os.File, name string) error {
	sub, err := btrfs.OpenDirAt(dir, name)
	if err != nil {
		return err
	}
	defer sub.Close()
	// The children of a read-only subvolume cannot be deleted (EROFS).
	if err := makeWritable(sub); err != nil {
		return err
	}
	children, err := btrfs.Children(sub)
	if err != nil {
		return err
	}
	for _, c := range children {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := removeChild(ctx, sub, c); err != nil {
			return fmt.Errorf("nested subvolume: %w", err)
		}
	}
	return nil
}

func removeChild(ctx context.Context, sub *os.File, c btrfs.Child) error {
	if c.Path == "" {
		return nil // deleted meanwhile, or not visible: if it is still there, the next call returns ENOTEMPTY
	}
	parent, err := at.OpenInside(sub, filepath.Dir(c.Path))
	if err != nil {
		return err
	}
	return errors.Join(Remove(ctx, parent, filepath.Base(c.Path)), parent.Close())
}

// removeAsOwner removes a subvolume as an owner without privileges: it makes it writable, empties it and removes it as
// a directory.
func removeAsOwner(ctx context.Context, dir *os.File, name string) error {
	sub, err := openWide(dir, name)
	if err != nil {
		return err
	}
	defer sub.Close()
	if err := makeWritable(sub); err != nil {
		return err
	}
	// With user_subvol_rm_allowed only the read-only flag prevented the deletion.
	if err := btrfs.DeleteSubvolume(dir, name); err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := Empty(ctx, sub); err != nil {
		return err
	}
	return at.Unlink(dir, name, unix.AT_REMOVEDIR)
}

// MayEmpty asks the kernel, with a call that changes nothing, whether the caller may do what removeAsOwner begins with:
// the owner of a subvolume may set its read-only flag, also to its current value.
func MayEmpty(dir *os.File, name string) error {
	sub, err := openWide(dir, name)
	if err != nil {
		return err
	}
	defer sub.Close()
	ro, err := btrfs.ReadOnly(sub)
	if err != nil {
		return err
	}
	return btrfs.SetReadOnly(sub, ro)
}

// makeWritable clears the read-only flag of a subvolume.
func makeWritable(sub *os.File) error {
	ro, err := btrfs.ReadOnly(sub)
	if err != nil || !ro {
		return err
	}
	return btrfs.SetReadOnly(sub, false)
}

// Empty removes everything below dir through descriptors, without following symlinks.
func Empty(ctx context.Context, dir *os.File) error {
	if err := Widen(dir); err != nil {
		return err
	}
	for {
		entries, err := dir.ReadDir(walk.ReadBatch)
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
		return at.Unlink(dir, e.Name(), 0)
	}
	// An empty directory, a stub or an empty subvolume can be removed immediately.
	err := at.Unlink(dir, e.Name(), unix.AT_REMOVEDIR)
	if !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	sub, err := openWide(dir, e.Name())
	if err != nil {
		return err
	}
	if err := errors.Join(emptyNested(ctx, sub), sub.Close()); err != nil {
		return err
	}
	return at.Unlink(dir, e.Name(), unix.AT_REMOVEDIR)
}

// emptyNested empties a directory that may be the root of a nested subvolume.
func emptyNested(ctx context.Context, dir *os.File) error {
	nested, err := btrfs.IsSubvolume(dir)
	if err != nil {
		return err
	}
	if nested {
		if err := makeWritable(dir); err != nil {
			return err
		}
	}
	return Empty(ctx, dir)
}

// openWide opens a directory whose mode, copied from the source, may deny access even to its owner.
func openWide(dir *os.File, name string) (*os.File, error) {
	f, err := at.OpenInside(dir, name)
	if !errors.Is(err, unix.EACCES) {
		return f, err
	}
	if err := at.Chmod(dir, name, 0o700); err != nil {
		return nil, err
	}
	return at.OpenInside(dir, name)
}

// Widen lets the owner list and change a directory.
func Widen(dir *os.File) error {
	st, err := at.Stat(dir, ".")
	if errors.Is(err, unix.EACCES) {
		// Mode 0400 can be opened but not searched.
		err = nil
	}
	if err != nil || st.Mode&0o700 == 0o700 {
		return err
	}
	return at.Error("chmod", dir, "", unix.Fchmod(int(dir.Fd()), 0o700))
}
