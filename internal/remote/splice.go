package remote

import (
	"errors"
	"syscall"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"golang.org/x/sys/unix"
)

const (
	// plenty keeps the command busy for a while.
	plenty = 512 << 10
	// little is not worth a packet of its own.
	little = 32 << 10
)

// Splice moves what is in another pipe, at most a piece, without copying it, as patiently as Write. It waits until
// there is something. It moves nothing at the end of the other pipe, after it was closed, and where the kernel cannot
// do it here. For a moment it waits in the kernel: Go's scheduler would take longer for that than all the rest.
func (p *pipe) Splice(from syscall.RawConn) (n int, err error) {
	to, err := p.f.SyscallConn()
	if err != nil {
		return 0, err
	}
	_ = from.Read(func(in uintptr) bool {
		if !ready(in, unix.POLLIN) {
			return false
		}
		left := 0
		// It is soon enough to go on when there is more.
		if n, left, err = p.take(to, int(in)); n > 0 && (left >= plenty || n < little && held(in) == 0) {
			_, _ = unix.Poll(nil, 1)
		}
		return true
	})
	return n, err
}

// take waits while the pipe is full. left is what it has afterwards. There is no deadline, which would take as long as
// the rest, until there is something to wait for.
func (p *pipe) take(to syscall.RawConn, in int) (n, left int, err error) {
	done := false
	try := func(out uintptr) bool {
		n, err = splice(in, int(out))
		if errors.Is(err, unix.EAGAIN) && ready(out, unix.POLLOUT) {
			n, err = splice(in, int(out))
		}
		left, done = held(out), !errors.Is(err, unix.EAGAIN)
		return done
	}
	var waitErr error
	if p.s.ctx.Err() == nil {
		waitErr = to.Control(func(out uintptr) { try(out) })
	}
	if waitErr == nil && !done {
		waitErr = p.move(func() error { return to.Write(try) })
	}
	if p.moved += n; p.moved >= piece {
		p.begin()
	}
	if waitErr != nil || !errors.Is(err, unix.EPIPE) {
		return n, left, waitErr
	}
	return n, left, err
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
