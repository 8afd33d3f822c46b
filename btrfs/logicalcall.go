//go:build linux

package btrfs

import (
	"os"
	"runtime"
	"structs"
	"unsafe"
)

// logicalInodes asks with a buffer of so many bytes. missed tells that there are more references than fit in.
func logicalInodes(f *os.File, address uint64, size int, flags uint64) (refs []InodeRef, missed bool, err error) {
	const head = int(unsafe.Sizeof(dataContainer{}))
	buf := make([]uint64, size/8)
	// The kernel follows the address inside args, of which the garbage collector knows nothing.
	var pin runtime.Pinner
	pin.Pin(&buf[0])
	defer pin.Unpin()
	args := logicalInoArgs{Logical: address, Size: uint64(size), Flags: flags, Inodes: uint64(uintptr(unsafe.Pointer(&buf[0])))}
	if err := ioctl(f, reqLogicalInoV2, &args); err != nil {
		return nil, false, err
	}
	container := (*dataContainer)(unsafe.Pointer(&buf[0]))
	values := buf[head/8:]
	return parseRefs(values[:min(int(container.ElemCnt), len(values))]), container.ElemMissed > 0, nil
}

func fiemap(f *os.File, offset, length uint64) ([]fiemapExtent, error) {
	args := fiemapArgs{Start: offset, Length: length, ExtentCount: fiemapSlots}
	if err := ioctl(f, reqFiemap, &args); err != nil {
		return nil, err
	}
	return args.Extents[:min(args.MappedExtents, fiemapSlots)], nil
}

// WriteOut writes out what is held back of the data of the regular file f, and waits until FileExtents would tell of it
// (FS_IOC_FIEMAP with FIEMAP_FLAG_SYNC). Errors: those of Extents; EIO for data that the disk refuses.
func WriteOut(f *os.File) error {
	args := fiemapArgs{Length: 1, Flags: fiemapSync, ExtentCount: 1}
	return pathError("FS_IOC_FIEMAP", f.Name(), explainFiemap(ioctl(f, reqFiemap, &args)))
}

// fiemapSync is FIEMAP_FLAG_SYNC.
const fiemapSync = 1

// fiemapSlots is how many extents one call asks for.
const fiemapSlots = 128

// struct fiemap of linux/fiemap.h, its flexible array given a length
type fiemapArgs struct {
	_             structs.HostLayout
	Start         uint64
	Length        uint64
	Flags         uint32
	MappedExtents uint32
	ExtentCount   uint32
	_             uint32
	Extents       [fiemapSlots]fiemapExtent
}

// struct fiemap_extent
type fiemapExtent struct {
	_        structs.HostLayout
	Logical  uint64
	Physical uint64
	Length   uint64
	_        [2]uint64
	Flags    uint32
	_        [3]uint32
}

// FIEMAP_EXTENT_ flags
const (
	fiemapLast      = 0x1
	fiemapUnknown   = 0x2
	fiemapDelalloc  = 0x4
	fiemapEncoded   = 0x8
	fiemapInline    = 0x200
	fiemapUnwritten = 0x800
)
