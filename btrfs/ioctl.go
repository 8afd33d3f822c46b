//go:build linux

package btrfs

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioctl runs one request with a pointer argument. The error is nil, a bare unix.Errno, or fs.ErrClosed.
func ioctl[T any](f *os.File, request uintptr, arg *T) error {
	return withFd(f, func(fd uintptr) error {
		err := retry(func() unix.Errno {
			_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(unsafe.Pointer(arg)))
			return errno
		})
		runtime.KeepAlive(arg)
		return err
	})
}

// ioctlValue runs one request whose argument is a number, not a pointer.
func ioctlValue(f *os.File, request, arg uintptr) error {
	return withFd(f, func(fd uintptr) error {
		return retry(func() unix.Errno {
			_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, arg)
			return errno
		})
	})
}

// withFd lends the descriptor of f to do. While do runs it cannot be closed, and so not be reused for another file, by
// somebody else.
func withFd(f *os.File, do func(fd uintptr) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := conn.Control(func(fd uintptr) { result = do(fd) }); err != nil {
		return closedError(err)
	}
	return result
}

// closedError gives the one error of RawConn.Control the name that package os has for it.
func closedError(err error) error {
	if errors.Is(err, fs.ErrClosed) {
		return err
	}
	return errors.Join(fs.ErrClosed, err)
}

func retry(call func() unix.Errno) error {
	for {
		switch errno := call(); errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}
