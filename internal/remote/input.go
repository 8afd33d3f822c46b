package remote

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"golang.org/x/sys/unix"
)

// input is what the command reads. The pipe is not one that Go's scheduler waits for: the kernel would wake the
// scheduler each time that the command takes something, which takes longer than all the rest of passing on a stream.
type input struct {
	pipe
	f     *os.File
	until atomic.Pointer[time.Time] // what has to wait ends then
}

// inputPipe is the end for the command, and one that does not block.
func inputPipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	r, w = os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe")
	// Only now, or Go's scheduler would be told.
	if err := unix.SetNonblock(fds[1], true); err != nil {
		return nil, nil, errors.Join(os.NewSyscallError("fcntl", err), r.Close(), w.Close())
	}
	return r, w, nil
}

func newInput(s *Session, f *os.File) *input {
	in := &input{f: f}
	in.pipe = pipe{s: s, set: in.setDeadline, silent: "has taken nothing"}
	in.begin()
	return in
}

func (in *input) Close() error { return in.f.Close() }

func (in *input) setDeadline(t time.Time) error {
	in.until.Store(&t)
	return nil
}

func (in *input) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		in.begin()
		end := min(len(b), n+piece)
		err = in.whenThereIsRoom(func() error {
			moved, err := in.f.Write(b[n:end])
			n += moved
			return err
		})
	}
	return n, err
}

// whenThereIsRoom calls it again each time that the pipe was full, as patiently as the session is.
func (in *input) whenThereIsRoom(call func() error) error {
	return in.move(func() error {
		for !in.over() {
			if err := call(); !errors.Is(err, unix.EAGAIN) {
				return err
			}
			if err := in.wait(); err != nil {
				return err
			}
		}
		return os.ErrDeadlineExceeded
	})
}

// wait returns when the pipe has room or nobody reads it, with an error after the deadline.
func (in *input) wait() error {
	conn, err := in.f.SyscallConn()
	for room := false; err == nil && !room; {
		err = conn.Control(func(fd uintptr) { room = ready(fd, unix.POLLOUT) })
		if err == nil && !room && in.late() {
			err = os.ErrDeadlineExceeded
		}
	}
	return err
}

func (in *input) late() bool {
	until := in.until.Load()
	return until != nil && !until.IsZero() && !time.Now().Before(*until)
}

// over reports whether the session has ended, and with it the time for what is still on its way. A child of the command
// may go on reading.
func (in *input) over() bool { return in.s.ctx.Err() != nil && in.late() }

const (
	// plenty keeps the command busy for a while.
	plenty = 512 << 10
	// little is not worth a packet of its own.
	little = 32 << 10
)

// Splice moves what is in another pipe, at most a piece, without copying it, as patiently as Write. It waits until
// there is something. It moves nothing at the end of the other pipe, after it was closed, and where the kernel cannot
// do it here.
func (in *input) Splice(from syscall.RawConn) (n int, err error) {
	for came := false; !came; {
		closed := from.Control(func(fd uintptr) {
			if came = ready(fd, unix.POLLIN); came {
				n, err = in.take(fd)
			}
		})
		if closed != nil {
			return n, nil
		}
	}
	return n, err
}

// take waits while the pipe to the command is full. For a moment it does not return: it is soon enough to go on when
// there is more.
func (in *input) take(from uintptr) (n int, err error) {
	conn, err := in.f.SyscallConn()
	if err != nil {
		return 0, err
	}
	left := 0
	waitErr := in.whenThereIsRoom(func() error {
		closed := conn.Control(func(to uintptr) {
			n, err = splice(int(from), int(to))
			left = held(to)
		})
		if closed == nil && errors.Is(err, unix.EAGAIN) {
			return err
		}
		return closed
	})
	if waitErr != nil {
		return n, waitErr
	}
	if in.moved += n; in.moved >= piece {
		in.begin()
	}
	if n > 0 && (left >= plenty || n < little && held(from) == 0) {
		_, _ = unix.Poll(nil, 1)
	}
	if !errors.Is(err, unix.EPIPE) {
		return n, nil
	}
	return n, err
}

func splice(in, out int) (n int, err error) {
	err = at.Retry(func() error {
		moved, err := unix.Splice(in, nil, out, nil, piece, unix.SPLICE_F_NONBLOCK)
		n = int(max(moved, 0))
		return err
	})
	return n, err
}

// moment is in milliseconds. Go's scheduler takes the processor from a thread that waits for 10 ms.
const moment = 5

// ready waits for a moment. It is true also at the end.
func ready(pipe uintptr, what int16) bool {
	n := 0
	err := at.Retry(func() (err error) {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(pipe), Events: what}}, moment)
		return err
	})
	return n > 0 || err != nil
}

// held is how many bytes are in a pipe.
func held(pipe uintptr) int {
	n, _ := unix.IoctlGetInt(int(pipe), unix.TIOCINQ)
	return n
}
