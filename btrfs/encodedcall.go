//go:build linux

package btrfs

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// encodedWrite keeps the data and the iovec in their places: the kernel follows addresses of which the garbage
// collector knows nothing.
func encodedWrite(f *os.File, e Encoded, data []byte) error {
	if len(data) == 0 {
		return unix.EINVAL
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	iov := &unix.Iovec{Base: &data[0]}
	iov.SetLen(len(data))
	pin.Pin(iov.Base)
	pin.Pin(iov)
	return ioctl(f, reqEncodedWrite, &encodedArgs{
		Iov:             uintptr(unsafe.Pointer(iov)),
		IovCnt:          1,
		Offset:          int64(e.Offset),
		Len:             e.Len,
		UnencodedLen:    e.UnencodedLen,
		UnencodedOffset: e.UnencodedOffset,
		Compression:     e.Compression,
		Encryption:      e.Encryption,
	})
}

// enableVerity likewise.
func enableVerity(f *os.File, v Verity) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	args := verityArgs{Version: 1, HashAlgorithm: v.HashAlgorithm, BlockSize: v.BlockSize}
	if len(v.Salt) > 0 {
		pin.Pin(&v.Salt[0])
		args.SaltSize, args.Salt = uint32(len(v.Salt)), uint64(uintptr(unsafe.Pointer(&v.Salt[0])))
	}
	if len(v.Signature) > 0 {
		pin.Pin(&v.Signature[0])
		args.SigSize, args.Sig = uint32(len(v.Signature)), uint64(uintptr(unsafe.Pointer(&v.Signature[0])))
	}
	return ioctl(f, reqEnableVerity, &args)
}
