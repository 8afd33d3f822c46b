//go:build linux

package btrfs

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

var (
	// ErrNotBtrfs: the file is on another kind of filesystem.
	ErrNotBtrfs = errors.New("not on a btrfs filesystem")

	// ErrNotSubvolume: the file is on btrfs, but it is not the root directory of a subvolume.
	ErrNotSubvolume = errors.New("not a subvolume")

	// ErrMountPoint: something is mounted on the directory.
	ErrMountPoint = errors.New("something is mounted there")

	// ErrInvalidName: the name is empty, ".", "..", longer than 255 bytes, or has a slash or a NUL in it.
	ErrInvalidName = errors.New("not a valid name for a directory entry")
)

// kindError says what an errno means here; errors.Is finds both.
type kindError struct {
	kind  error
	errno unix.Errno
}

func (e *kindError) Error() string   { return e.kind.Error() }
func (e *kindError) Unwrap() []error { return []error{e.kind, e.errno} }

// explain tells the two meanings of ENOTTY apart: no btrfs, or no such call in this kernel.
func explain(f *os.File, err error) error {
	if err != unix.ENOTTY {
		return err
	}
	if on, statErr := onBtrfs(f); statErr == nil && !on {
		return &kindError{ErrNotBtrfs, unix.ENOTTY}
	}
	return err
}

// explainSubvolume is explain for calls that want the root directory of a subvolume. For anything else they answer
// EINVAL, on the stub of a nested subvolume in a snapshot ENOTTY.
func explainSubvolume(f *os.File, err error) error {
	err = explain(f, err)
	if err != unix.EINVAL && err != unix.ENOTTY {
		return err
	}
	errno := err.(unix.Errno)
	if sub, statErr := rootOfSubvolume(f); statErr == nil && !sub {
		return &kindError{ErrNotSubvolume, errno}
	}
	return err
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

func linkError(op, from, to string, err error) error {
	if err == nil {
		return nil
	}
	return &os.LinkError{Op: op, Old: from, New: to, Err: err}
}

// isErrno is for errors that have left this package's functions, wrapped.
func isErrno(err error, errno unix.Errno) bool {
	return errors.Is(err, errno) && !errors.Is(err, ErrNotBtrfs)
}

// IsDamage reports the errors with which btrfs says that data or metadata cannot be read as it was written: a bad
// checksum or a failing device (EIO), invalid metadata (EUCLEAN), or data that cannot be decompressed (EBADMSG).
func IsDamage(err error) bool {
	return errors.Is(err, unix.EIO) || errors.Is(err, unix.EUCLEAN) || errors.Is(err, unix.EBADMSG)
}
