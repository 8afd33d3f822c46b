//go:build linux

package btrfs

import (
	"os"
	"runtime"
	"unsafe"
)

// sendIoctl keeps the ids in their place: the kernel follows an address of which the garbage collector knows nothing.
func sendIoctl(subvol *os.File, args *sendArgs, sources []uint64) error {
	if len(sources) > 0 {
		var pin runtime.Pinner
		pin.Pin(&sources[0])
		defer pin.Unpin()
		args.CloneCount = uint64(len(sources))
		args.CloneSources = sendPointer(uintptr(unsafe.Pointer(&sources[0])))
	}
	return ioctl(subvol, reqSend, args)
}
