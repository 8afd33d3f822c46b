//go:build linux

package btrfs

import (
	"bytes"
	"encoding/binary"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Info about a subvolume. A transaction id is the filesystem's own clock: it only grows.
type Info struct {
	ID       uint64 // only grows on one filesystem, so it orders subvolumes by creation; 5 is the top level
	ParentID uint64 // id of the subvolume it is nested in; 0 for the top level
	DirID    uint64 // inode number of the directory, in that subvolume, it is in; 0 for the top level
	Name     string // its name in that directory; empty for the top level
	ReadOnly bool

	UUID         UUID // zero for a top level made by an old mkfs
	ParentUUID   UUID // of the subvolume it is a snapshot of; zero for no snapshot
	ReceivedUUID UUID // set by btrfs receive

	Generation uint64 // transaction that last wrote to it
	CTransID   uint64 // transaction of the last change of it or of an inode in it
	OTransID   uint64 // transaction that created it
	STransID   uint64 // of the sender, for a received subvolume
	RTransID   uint64 // that received it

	CTime time.Time // of CTransID
	OTime time.Time // of OTransID
	STime time.Time // of STransID; zero if never
	RTime time.Time // of RTransID; zero if never
}

// SubvolumeInfo returns information about the subvolume that f is the root directory of (BTRFS_IOC_GET_SUBVOL_INFO,
// Linux 4.18). The ioctl answers for any file, about the subvolume that contains it; here that is ErrNotSubvolume.
//
// Anybody may do this. Errors: ErrNotBtrfs; ErrNotSubvolume; ENOENT when it has been deleted since it was opened; EBADF
// when f was opened with O_PATH.
func SubvolumeInfo(f *os.File) (Info, error) {
	const op = "BTRFS_IOC_GET_SUBVOL_INFO"
	if err := requireSubvolume(f); err != nil {
		return Info{}, pathError(op, f.Name(), err)
	}
	args, timespecSize, err := getSubvolInfo(f)
	if err != nil {
		return Info{}, pathError(op, f.Name(), explain(f, err))
	}
	return newInfo(args, timespecSize), nil
}

// requireSubvolume is for calls that answer on any inode, for the subvolume around it. On another filesystem they fail
// by themselves.
func requireSubvolume(f *os.File) error {
	looks, err := looksLikeSubvolume(f)
	if err != nil || looks {
		return err
	}
	on, err := onBtrfs(f)
	if err != nil {
		return err
	}
	if !on {
		return &kindError{ErrNotBtrfs, unix.ENOTTY}
	}
	return &kindError{ErrNotSubvolume, unix.EINVAL}
}

// getSubvolInfo asks with each struct size the kernel may have been compiled with.
func getSubvolInfo(f *os.File) (args *subvolInfoArgs, timespecSize uintptr, err error) {
	args = new(subvolInfoArgs)
	for _, timespecSize = range timespecSizes() {
		size := subvolInfoHead + 4*timespecSize + subvolInfoReserved
		err = ioctl(f, reqGetSubvolInfo|size<<sizeShift, args)
		if err != unix.ENOTTY {
			break
		}
	}
	return args, timespecSize, err
}

func newInfo(args *subvolInfoArgs, timespecSize uintptr) Info {
	times := [4]time.Time{}
	for i := range times {
		times[i] = timeOf(args.Tail[uintptr(i)*timespecSize:])
	}
	return Info{
		ID:           args.TreeID,
		ParentID:     args.ParentID,
		DirID:        args.DirID,
		Name:         cString(args.Name[:]),
		ReadOnly:     args.Flags&rootRdonly != 0,
		UUID:         args.UUID,
		ParentUUID:   args.ParentUUID,
		ReceivedUUID: args.ReceivedUUID,
		Generation:   args.Generation,
		CTransID:     args.CTransID,
		OTransID:     args.OTransID,
		STransID:     args.STransID,
		RTransID:     args.RTransID,
		CTime:        times[0],
		OTime:        times[1],
		STime:        times[2],
		RTime:        times[3],
	}
}

// timeOf reads one btrfs_ioctl_timespec. All zero means that it never happened.
func timeOf(b []byte) time.Time {
	sec, nsec := binary.NativeEndian.Uint64(b), binary.NativeEndian.Uint32(b[8:])
	if sec == 0 && nsec == 0 {
		return time.Time{}
	}
	return time.Unix(int64(sec), int64(nsec))
}

// cString is what stands before the first NUL.
func cString(b []byte) string {
	before, _, _ := bytes.Cut(b, []byte{0})
	return string(before)
}
