//go:build linux

package btrfs

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// magic is BTRFS_IOCTL_MAGIC in its place in a request number.
const magic = 0x94 << 8

const sizeShift = 16

// Request numbers
const (
	reqSync             = dirNone | magic | 8
	reqFiclone          = dirWrite | 4<<sizeShift | magic | 9
	reqFicloneRange     = dirWrite | unsafe.Sizeof(cloneRangeArgs{})<<sizeShift | magic | 13
	reqSnapDestroy      = dirWrite | unsafe.Sizeof(volArgs{})<<sizeShift | magic | 15
	reqTreeSearchV2     = dirRead | dirWrite | unsafe.Offsetof(searchArgsV2{}.Buf)<<sizeShift | magic | 17
	reqInoLookup        = dirRead | dirWrite | unsafe.Sizeof(inoLookupArgs{})<<sizeShift | magic | 18
	reqSpaceInfo        = dirRead | dirWrite | unsafe.Offsetof(spaceArgs{}.Spaces)<<sizeShift | magic | 20
	reqWaitSync         = dirWrite | 8<<sizeShift | magic | 22
	reqSnapCreateV2     = dirWrite | unsafe.Sizeof(volArgsV2{})<<sizeShift | magic | 23
	reqStartSync        = dirRead | 8<<sizeShift | magic | 24
	reqSubvolCreateV2   = dirWrite | unsafe.Sizeof(volArgsV2{})<<sizeShift | magic | 24
	reqSubvolGetflags   = dirRead | 8<<sizeShift | magic | 25
	reqSubvolSetflags   = dirWrite | 8<<sizeShift | magic | 26
	reqDevInfo          = dirRead | dirWrite | unsafe.Sizeof(devInfoArgs{})<<sizeShift | magic | 30
	reqFsInfo           = dirRead | unsafe.Sizeof(fsInfoArgs{})<<sizeShift | magic | 31
	reqSetReceived      = dirRead | dirWrite | magic | 37 // without its size, which timespecSizes decides
	reqSend             = dirWrite | unsafe.Sizeof(sendArgs{})<<sizeShift | magic | 38
	reqGetDevStats      = dirRead | dirWrite | unsafe.Sizeof(devStatsArgs{})<<sizeShift | magic | 52
	reqLogicalInoV2     = dirRead | dirWrite | unsafe.Sizeof(logicalInoArgs{})<<sizeShift | magic | 59
	reqGetSubvolInfo    = dirRead | magic | 60 // without its size, which timespecSizes decides
	reqGetSubvolRootref = dirRead | dirWrite | unsafe.Sizeof(rootrefArgs{})<<sizeShift | magic | 61
	reqInoLookupUser    = dirRead | dirWrite | unsafe.Sizeof(inoLookupUserArgs{})<<sizeShift | magic | 62
	reqSnapDestroyV2    = dirWrite | unsafe.Sizeof(volArgsV2{})<<sizeShift | magic | 63
	reqEncodedWrite     = dirWrite | unsafe.Sizeof(encodedArgs{})<<sizeShift | magic | 64
	reqSubvolSyncWait   = dirWrite | unsafe.Sizeof(subvolWait{})<<sizeShift | magic | 65
	reqGetFlags         = unix.FS_IOC_GETFLAGS // has the size of a long, although the kernel moves an int
	reqSetFlags         = unix.FS_IOC_SETFLAGS
	reqGetXFlags        = dirRead | unsafe.Sizeof(fsxattr{})<<sizeShift | 'X'<<8 | 31
	reqSetXFlags        = dirWrite | unsafe.Sizeof(fsxattr{})<<sizeShift | 'X'<<8 | 32
	reqEnableVerity     = dirWrite | unsafe.Sizeof(verityArgs{})<<sizeShift | 'f'<<8 | 133
	reqFiemap           = dirRead | dirWrite | unsafe.Offsetof(fiemapArgs{}.Extents)<<sizeShift | 'f'<<8 | 11
)

const (
	_ = -(unsafe.Sizeof(volArgs{}) ^ 4096)
	_ = -(unsafe.Offsetof(volArgs{}.Name) ^ 8)
	_ = -(unsafe.Sizeof(volArgsV2{}) ^ 4096)
	_ = -(unsafe.Offsetof(volArgsV2{}.Name) ^ 56)
	_ = -(unsafe.Sizeof(volArgsID{}) ^ 4096)
	_ = -(unsafe.Offsetof(volArgsID{}.SubvolID) ^ 56)
	_ = -(unsafe.Sizeof(inoLookupArgs{}) ^ 4096)
	_ = -(unsafe.Sizeof(inoLookupUserArgs{}) ^ 4096)
	_ = -(unsafe.Offsetof(inoLookupUserArgs{}.Path) ^ 272)
	_ = -(unsafe.Sizeof(searchKey{}) ^ 104)
	_ = -(unsafe.Offsetof(searchKey{}.NrItems) ^ 64)
	_ = -(unsafe.Offsetof(searchArgsV2{}.Buf) ^ 112)
	_ = -(unsafe.Offsetof(searchOneArgs{}.Buf) ^ 112)
	_ = -(unsafe.Sizeof(spaceInfo{}) ^ 24)
	_ = -(unsafe.Offsetof(spaceArgs{}.Spaces) ^ 16)
	_ = -(unsafe.Sizeof(devInfoArgs{}) ^ 4096)
	_ = -(unsafe.Offsetof(devInfoArgs{}.Path) ^ 3072)
	_ = -(unsafe.Sizeof(fsInfoArgs{}) ^ 1024)
	_ = -(unsafe.Offsetof(fsInfoArgs{}.Flags) ^ 48)
	_ = -(unsafe.Sizeof(devStatsArgs{}) ^ 1032)
	_ = -(unsafe.Offsetof(devStatsArgs{}.Values) ^ 24)
	_ = -(unsafe.Sizeof(subvolInfoArgs{}) ^ 504)
	_ = -(unsafe.Offsetof(subvolInfoArgs{}.UUID) ^ 296)
	_ = -(unsafe.Offsetof(subvolInfoArgs{}.Tail) ^ 376)
	_ = -(unsafe.Sizeof(receivedArgs{}) ^ 200)
	_ = -(unsafe.Offsetof(receivedArgs{}.Tail) ^ 32)
	_ = -(unsafe.Sizeof(encodedArgs{}) ^ (112 + 2*unsafe.Sizeof(uintptr(0))))
	_ = -(unsafe.Offsetof(encodedArgs{}.Offset) ^ 2*unsafe.Sizeof(uintptr(0)))
	_ = -(unsafe.Sizeof(cloneRangeArgs{}) ^ 32)
	_ = -(unsafe.Sizeof(fsxattr{}) ^ 28)
	_ = -(unsafe.Sizeof(verityArgs{}) ^ 128)
	_ = -(unsafe.Offsetof(verityArgs{}.Sig) ^ 32)
	_ = -(unsafe.Sizeof(rootref{}) ^ 16)
	_ = -(unsafe.Sizeof(rootrefArgs{}) ^ 4096)
	_ = -(unsafe.Offsetof(rootrefArgs{}.NumItems) ^ 4088)
	_ = -(unsafe.Sizeof(logicalInoArgs{}) ^ 56)
	_ = -(unsafe.Sizeof(dataContainer{}) ^ 16)
	_ = -(unsafe.Sizeof(subvolWait{}) ^ 16)
	_ = -(unsafe.Offsetof(fiemapArgs{}.Extents) ^ 32)
	_ = -(unsafe.Sizeof(fiemapExtent{}) ^ 56)
)

// The direction bits of this architecture, checked against requests that x/sys/unix knows on every one.
const (
	_ = -(uintptr(reqFiclone) ^ unix.FICLONE)
	_ = -(uintptr(reqFicloneRange) ^ unix.FICLONERANGE)
	_ = -(uintptr(reqEnableVerity) ^ unix.FS_IOC_ENABLE_VERITY)
	_ = -(uintptr(dirRead|dirWrite|24<<sizeShift|magic|54) ^ unix.FIDEDUPERANGE)
	_ = -(uintptr(dirNone|0x12<<8|97) ^ unix.BLKFLSBUF)
	_ = -(uintptr(dirRead|4<<sizeShift|'R'<<8) ^ unix.RNDGETENTCNT)
)
