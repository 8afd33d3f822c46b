//go:build linux

package btrfs

import (
	"structs"
	"unsafe"
)

// The structs and request numbers of linux/btrfs.h, in its order. No logic here: lay it beside the header. Every size
// is checked at compile time: a difference makes the constant negative and the build fail.

// btrfs_ioctl_vol_args
type volArgs struct {
	_    structs.HostLayout
	Fd   int64
	Name [4088]byte
}

// btrfs_ioctl_vol_args_v2
type volArgsV2 struct {
	_       structs.HostLayout
	Fd      int64
	TransID uint64
	Flags   uint64
	_       [4]uint64
	Name    [4040]byte
}

// btrfs_ioctl_vol_args_v2, with the subvolid member of its union
type volArgsID struct {
	_        structs.HostLayout
	Fd       int64
	TransID  uint64
	Flags    uint64
	_        [4]uint64
	SubvolID uint64
	_        [4032]byte
}

// Flags of btrfs_ioctl_vol_args_v2, and of SUBVOL_GETFLAGS and SUBVOL_SETFLAGS
const (
	subvolRdonly   = 1 << 1
	subvolSpecByID = 1 << 4
)

// btrfs_ioctl_ino_lookup_args
type inoLookupArgs struct {
	_        structs.HostLayout
	TreeID   uint64
	ObjectID uint64
	Name     [4080]byte
}

// btrfs_ioctl_ino_lookup_user_args
type inoLookupUserArgs struct {
	_      structs.HostLayout
	DirID  uint64
	TreeID uint64
	Name   [256]byte
	Path   [3824]byte
}

// btrfs_ioctl_search_key
type searchKey struct {
	_           structs.HostLayout
	TreeID      uint64
	MinObjectID uint64
	MaxObjectID uint64
	MinOffset   uint64
	MaxOffset   uint64
	MinTransID  uint64
	MaxTransID  uint64
	MinType     uint32
	MaxType     uint32
	NrItems     uint32
	_           uint32
	_           [4]uint64
}

// searchBufSize holds the largest item there can be (nodesize is at most 64 KiB) and many small ones.
const searchBufSize = 128 << 10

// btrfs_ioctl_search_args_v2, its flexible array given a length
type searchArgsV2 struct {
	_       structs.HostLayout
	Key     searchKey
	BufSize uint64
	Buf     [searchBufSize]byte
}

// btrfs_ioctl_search_args_v2 for one small item
type searchOneArgs struct {
	_       structs.HostLayout
	Key     searchKey
	BufSize uint64
	Buf     [512]byte
}

// btrfs_ioctl_space_info
type spaceInfo struct {
	_          structs.HostLayout
	Flags      uint64
	TotalBytes uint64
	UsedBytes  uint64
}

// spaceSlots is more than there are kinds of space (4) times profiles (9).
const spaceSlots = 64

// btrfs_ioctl_space_args, its flexible array given a length
type spaceArgs struct {
	_           structs.HostLayout
	SpaceSlots  uint64
	TotalSpaces uint64
	Spaces      [spaceSlots]spaceInfo
}

// btrfs_ioctl_dev_info_args
type devInfoArgs struct {
	_          structs.HostLayout
	DevID      uint64
	UUID       [16]byte
	BytesUsed  uint64
	TotalBytes uint64
	_          [379]uint64
	Path       [1024]byte
}

// btrfs_ioctl_fs_info_args
type fsInfoArgs struct {
	_              structs.HostLayout
	MaxID          uint64
	NumDevices     uint64
	FSID           [16]byte
	NodeSize       uint32
	SectorSize     uint32
	CloneAlignment uint32
	CsumType       uint16
	CsumSize       uint16
	Flags          uint64
	Generation     uint64
	MetadataUUID   [16]byte
	_              [944]byte
}

// btrfs_ioctl_get_dev_stats
type devStatsArgs struct {
	_       structs.HostLayout
	DevID   uint64
	NrItems uint64
	Flags   uint64
	Values  [5]uint64
	_       [121]uint64
}

// btrfs_ioctl_get_subvol_info_args. Tail is four btrfs_ioctl_timespec, of 12 bytes each on i386 and of 16 elsewhere,
// and 64 reserved bytes.
type subvolInfoArgs struct {
	_            structs.HostLayout
	TreeID       uint64
	Name         [256]byte
	ParentID     uint64
	DirID        uint64
	Generation   uint64
	Flags        uint64
	UUID         [16]byte
	ParentUUID   [16]byte
	ReceivedUUID [16]byte
	CTransID     uint64
	OTransID     uint64
	STransID     uint64
	RTransID     uint64
	Tail         [4*16 + 64]byte
}

// subvolInfoHead is what precedes the timespecs of btrfs_ioctl_get_subvol_info_args.
const subvolInfoHead = unsafe.Offsetof(subvolInfoArgs{}.Tail)

// subvolInfoReserved is what follows them.
const subvolInfoReserved = 64

// rootRdonly is BTRFS_ROOT_SUBVOL_RDONLY, the on-disk flag that GET_SUBVOL_INFO shows; not subvolRdonly.
const rootRdonly = 1 << 0

// the anonymous struct in btrfs_ioctl_get_subvol_rootref_args
type rootref struct {
	_      structs.HostLayout
	TreeID uint64
	DirID  uint64
}

// btrfs_ioctl_get_subvol_rootref_args
type rootrefArgs struct {
	_         structs.HostLayout
	MinTreeID uint64
	Rootref   [255]rootref
	NumItems  uint8
	_         [7]byte
}

// btrfs_ioctl_received_subvol_args. Tail is two btrfs_ioctl_timespec, of 12 bytes each on i386 and of 16 elsewhere, the
// flags, and 128 reserved bytes.
type receivedArgs struct {
	_        structs.HostLayout
	UUID     [16]byte
	STransID uint64
	RTransID uint64
	Tail     [2*16 + receivedReserved]byte
}

// receivedHead is what precedes the timespecs of btrfs_ioctl_received_subvol_args.
const receivedHead = unsafe.Offsetof(receivedArgs{}.Tail)

// receivedReserved is what follows the timespecs of btrfs_ioctl_received_subvol_args.
const receivedReserved = 8 + 128

// btrfs_ioctl_send_args, which is btrfs_ioctl_send_args_32 on 386
type sendArgs struct {
	_            structs.HostLayout
	SendFd       int64
	CloneCount   uint64
	CloneSources sendPointer // address of CloneCount ids
	ParentRoot   uint64
	Flags        uint64
	Version      uint32
	_            [28]byte
}

// BTRFS_SEND_FLAG_, flags of btrfs_ioctl_send_args
const (
	sendNoFileData = 1 << 0
	sendVersion    = 1 << 3
	sendCompressed = 1 << 4
)

// btrfs_ioctl_encoded_io_args, which is btrfs_ioctl_encoded_io_args_32 on 32 bits
type encodedArgs struct {
	_               structs.HostLayout
	Iov             uintptr // address of IovCnt iovecs
	IovCnt          uintptr
	Offset          int64
	Flags           uint64
	Len             uint64
	UnencodedLen    uint64
	UnencodedOffset uint64
	Compression     uint32
	Encryption      uint32
	_               [64]byte
}

// struct file_clone_range of linux/fs.h
type cloneRangeArgs struct {
	_          structs.HostLayout
	SrcFd      int64
	SrcOffset  uint64
	SrcLength  uint64
	DestOffset uint64
}

// struct fsxattr of linux/fs.h
type fsxattr struct {
	_          structs.HostLayout
	XFlags     uint32
	ExtSize    uint32
	NExtents   uint32
	ProjID     uint32
	CowExtSize uint32
	_          [8]byte
}

// struct fsverity_enable_arg of linux/fsverity.h
type verityArgs struct {
	_             structs.HostLayout
	Version       uint32
	HashAlgorithm uint32
	BlockSize     uint32
	SaltSize      uint32
	Salt          uint64 // address
	SigSize       uint32
	_             uint32
	Sig           uint64 // address
	_             [11]uint64
}

// btrfs_ioctl_logical_ino_args
type logicalInoArgs struct {
	_       structs.HostLayout
	Logical uint64
	Size    uint64
	_       [3]uint64
	Flags   uint64
	Inodes  uint64 // address of a dataContainer
}

// ignoreOffset is BTRFS_LOGICAL_INO_ARGS_IGNORE_OFFSET, a flag of btrfs_ioctl_logical_ino_args.
const ignoreOffset = 1 << 0

// btrfs_data_container, without its flexible array val
type dataContainer struct {
	_            structs.HostLayout
	BytesLeft    uint32
	BytesMissing uint32
	ElemCnt      uint32
	ElemMissed   uint32
}

// The kernel takes at most 16 MiB for LOGICAL_INO_V2.
const (
	refsBufSize    = 64 << 10
	maxRefsBufSize = 16 << 20
)

// btrfs_ioctl_subvol_wait (Linux 6.13)
type subvolWait struct {
	_        structs.HostLayout
	SubvolID uint64
	Mode     uint32
	Count    uint32
}

// subvolSyncCount is BTRFS_SUBVOL_SYNC_COUNT, a mode of btrfs_ioctl_subvol_wait.
const subvolSyncCount = 2
