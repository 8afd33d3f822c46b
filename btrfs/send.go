//go:build linux

package btrfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrWritable: the subvolume can be written to, and what was asked for needs a read-only one.
var ErrWritable = errors.New("not a read-only subvolume")

// SendOptions of Send. The zero value sends file data too, in stream version 1.
type SendOptions struct {
	NoFileData bool // in the place of data, say only which ranges of which file have new extents

	// Version of the stream; 0 is 1. Version 2 (Linux 6.0) has larger writes and the flags of chattr(1).
	Version uint32
	// Compressed sends compressed extents as they are on disk. It takes version 2.
	Compressed bool
	// CloneSources are read-only subvolumes that the receiver has: what is shared with them is cloned there, not sent.
	// The parent is none of them unless it is named here too; without, what it has is shared only where it has not
	// moved.
	CloneSources []*os.File
}

const sendOp = "BTRFS_IOC_SEND"

// Send writes to w the stream of commands that makes the subvolume subvol out of parent, or out of nothing when parent
// is nil (BTRFS_IOC_SEND). Both must be read-only and on the same filesystem. They need not be related, but then little
// comes out but "remove all, make all anew". The cost is that of the difference: what snapshots share is skipped
// unread. While it runs neither can be deleted nor made writable.
//
// Root only. Errors: the one of w, as it is; the cause of ctx once that is done; ErrNotBtrfs; ErrNotSubvolume;
// ErrWritable, with EPERM, when one of them is not read-only; EPERM without CAP_SYS_ADMIN, and for a subvolume that is
// deleted; EINVAL when the parent or a clone source is on another filesystem, and for compressed data without version
// 2; EPROTO for a version this kernel does not have; EOPNOTSUPP from a kernel that has version 1 only; EBADF for a file
// opened with O_PATH.
func Send(ctx context.Context, subvol, parent *os.File, w io.Writer, o SendOptions) error {
	s, err := StartSend(ctx, subvol, parent, o)
	if err != nil {
		return err
	}
	_, copyErr := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{s}, make([]byte, sendBuffer))
	if err = s.Close(); copyErr != nil && ctx.Err() == nil {
		return copyErr
	}
	return err
}

// sendBuffer is what is read at once. A write of the kernel's is of 144 KiB at most (Linux 6.18).
const sendBuffer = 256 << 10

// Sending is a stream that the kernel is writing: see StartSend.
type Sending struct {
	r      *os.File
	subvol string
	ctx    context.Context
	stop   func() bool
	ended  chan error
	result error // of the kernel, once known
	known  bool
}

// StartSend begins what Send does and returns the stream to be read, straight from the pipe that the kernel writes
// into: who makes a subvolume of it reads it without a further copy. subvol, parent and the clone sources must stay
// open until Close. The errors are those of Send.
func StartSend(ctx context.Context, subvol, parent *os.File, o SendOptions) (*Sending, error) {
	args, err := newSendArgs(subvol, parent, o)
	if err != nil {
		return nil, err
	}
	sources, err := sourceIDs(subvol, o.CloneSources)
	if err != nil {
		return nil, err
	}
	r, kernel, err := sendPipe()
	if err != nil {
		return nil, pathError("pipe2", subvol.Name(), err)
	}
	s := &Sending{r: r, subvol: subvol.Name(), ctx: ctx, ended: make(chan error, 1)}
	s.stop = context.AfterFunc(ctx, func() { _ = r.Close() }) // with nobody to read, the kernel ends with EPIPE
	go func() {
		err := first(sendTo(subvol, kernel, args, sources), kernel.Close())
		if err != nil {
			err = pathError(sendOp, subvol.Name(), explainSend(append([]*os.File{subvol, parent}, o.CloneSources...), err))
		}
		s.ended <- err
	}()
	return s, nil
}

// Read gives io.EOF only at the end of a whole stream: an error of the kernel comes in its place.
func (s *Sending) Read(p []byte) (int, error) {
	n := 0
	err := s.wait()
	if err == nil {
		n, err = s.r.Read(p)
	}
	switch {
	case err == nil:
		return n, nil
	case s.ctx.Err() != nil:
		return n, pathError(sendOp, s.subvol, context.Cause(s.ctx))
	case errors.Is(err, io.EOF):
		if failed := s.outcome(); failed != nil {
			return n, failed
		}
	}
	return n, err
}

// wait returns when there is something to read, or nothing will follow. The pipe is not one that Go's scheduler waits
// for: the kernel would wake the scheduler for each piece that it writes, of which a small file has a dozen.
func (s *Sending) wait() error {
	conn, err := s.r.SyscallConn()
	for ready := false; err == nil && !ready; {
		err = conn.Control(func(fd uintptr) {
			n, pollErr := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, pollMoment)
			ready = n > 0 || pollErr != nil && !errors.Is(pollErr, unix.EINTR)
		})
	}
	if err != nil {
		return pathError("read", s.r.Name(), os.ErrClosed) // RawConn has no other error
	}
	return nil
}

// pollMoment is in milliseconds. It ends in time to see that the pipe was closed, and before Go's scheduler takes the
// processor from a thread that waits for 10 ms.
const pollMoment = 5

// SyscallConn is for those who move the stream with splice(2): its Control, as Go's scheduler does not wait for the
// pipe. At its end they have to Read: that tells whether it is whole.
func (s *Sending) SyscallConn() (syscall.RawConn, error) { return s.r.SyscallConn() }

// outcome waits for the kernel.
func (s *Sending) outcome() error {
	if !s.known {
		s.result, s.known = <-s.ended, true
	}
	return s.result
}

// Close ends it, and returns when the kernel has released the subvolumes. Its error is that of the kernel, which is
// EPIPE when the stream was not read to its end.
func (s *Sending) Close() error {
	s.stop()
	closeErr := ignoreClosed(s.r.Close())
	err := s.outcome()
	if s.ctx.Err() != nil {
		return pathError(sendOp, s.subvol, context.Cause(s.ctx))
	}
	return first(err, closeErr)
}

func newSendArgs(subvol, parent *os.File, o SendOptions) (*sendArgs, error) {
	// The ioctl answers on any inode, for the subvolume around it.
	if err := requireSubvolume(subvol); err != nil {
		return nil, pathError(sendOp, subvol.Name(), err)
	}
	args := &sendArgs{Version: o.Version}
	if o.NoFileData {
		args.Flags |= sendNoFileData
	}
	if o.Version != 0 {
		args.Flags |= sendVersion
	}
	if o.Compressed {
		args.Flags |= sendCompressed
	}
	if parent == nil {
		return args, nil
	}
	var err error
	args.ParentRoot, err = idBeside(subvol, parent, "parent")
	return args, err
}

func sourceIDs(subvol *os.File, sources []*os.File) ([]uint64, error) {
	ids := make([]uint64, len(sources))
	for i, f := range sources {
		var err error
		if ids[i], err = idBeside(subvol, f, "clone source"); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// idBeside is the id of f, which means another subvolume on another filesystem.
func idBeside(subvol, f *os.File, what string) (uint64, error) {
	same, err := sameFilesystem(subvol, f)
	if err == nil && !same {
		err = fmt.Errorf("%s %s is on another filesystem: %w", what, f.Name(), unix.EINVAL)
	}
	if err != nil {
		return 0, pathError(sendOp, subvol.Name(), err)
	}
	info, err := SubvolumeInfo(f)
	return info.ID, err
}

func sameFilesystem(a, b *os.File) (bool, error) {
	var ids [2][16]byte
	for i, f := range []*os.File{a, b} {
		args := fsInfoArgs{}
		if err := ioctl(f, reqFsInfo, &args); err != nil {
			return false, explain(f, err)
		}
		ids[i] = args.FSID
	}
	return ids[0] == ids[1], nil
}

// sendPipe makes a pipe of which both ends block: a full one must not be an error (EAGAIN) to the kernel.
func sendPipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	// A larger pipe lets the kernel go on while the reader makes a file. What an ordinary limit forbids stays small.
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, sendPipeSize)
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

// sendPipeSize is what every user may have, by default (/proc/sys/fs/pipe-max-size).
const sendPipeSize = 1 << 20

// sendTo has every signal wait: one that interrupts the kernel while the pipe is full makes it restart the ioctl, and
// the stream begins anew in the middle (Linux 6.18).
func sendTo(subvol, out *os.File, args *sendArgs, sources []uint64) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	all, old := unix.Sigset_t{}, unix.Sigset_t{}
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &old); err != nil {
		return err
	}
	defer func() { err = first(err, unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)) }()
	return withFd(out, func(fd uintptr) error {
		args.SendFd = int64(fd)
		return sendIoctl(subvol, args, sources)
	})
}

// explainSend finds out which meaning of EPERM it is.
func explainSend(subvols []*os.File, err error) error {
	if !errors.Is(err, unix.EPERM) {
		return explain(subvols[0], err)
	}
	for _, f := range subvols {
		if f == nil {
			continue
		}
		if ro, flagErr := ReadOnly(f); flagErr == nil && !ro {
			return fmt.Errorf("%s: %w", f.Name(), &kindError{ErrWritable, unix.EPERM})
		}
	}
	return err
}

// first keeps a bare errno bare.
func first(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
