package sendstream

import "time"

// A Command is one of the types below, by value. Paths are relative to the root of the subvolume, which is "", and are
// those of the moment: commands before it have renamed what they refer to. Slices in it are valid until the next
// command is read.
type Command any

// UUID of a subvolume.
type UUID [16]byte

// Subvol starts the stream of a whole subvolume.
type Subvol struct {
	Path     string // the name it had
	UUID     UUID
	CTransID uint64
}

// Snapshot starts the stream of what differs from a parent.
type Snapshot struct {
	Path           string // the name it had
	UUID           UUID
	CTransID       uint64
	ParentUUID     UUID
	ParentCTransID uint64
}

// Kind of a new inode.
type Kind int

// The kinds of Make.
const (
	File Kind = iota
	Dir
	Node // block or character device
	FIFO
	Socket
	Symlink
)

// Make creates an inode, empty and most often under a temporary name such as "o257-9-0".
type Make struct {
	Kind   Kind
	Path   string
	Inode  uint64
	Mode   uint64 // of a Node, FIFO and Socket
	RDev   uint64 // of a Node, FIFO and Socket
	Target string // of a Symlink
}

// Rename moves a file or directory to a free name.
type Rename struct{ Path, To string }

// Link gives what is at Target the further name Path.
type Link struct{ Path, Target string }

// Unlink removes a name of what is no directory.
type Unlink struct{ Path string }

// Rmdir removes an empty directory.
type Rmdir struct{ Path string }

// SetXattr sets an extended attribute; an ACL or a capability is one too.
type SetXattr struct {
	Path, Name string
	Value      []byte
}

// RemoveXattr removes an extended attribute.
type RemoveXattr struct{ Path, Name string }

// Write puts data into a file.
type Write struct {
	Path   string
	Offset uint64
	Data   []byte
}

// EncodedWrite puts compressed data into a file (version 2).
type EncodedWrite struct {
	Path                                            string
	Offset                                          uint64
	UnencodedFileLen, UnencodedLen, UnencodedOffset uint64
	Compression, Encryption                         uint32
	Data                                            []byte
}

// Clone copies a range of a file the receiver has.
type Clone struct {
	Path         string
	Offset, Len  uint64
	From         string // in the subvolume below
	FromUUID     UUID
	FromCTransID uint64
	FromOffset   uint64
}

// UpdateExtent replaces Write in a stream without data.
type UpdateExtent struct {
	Path        string
	Offset, Len uint64
}

// Truncate sets the size of a file.
type Truncate struct {
	Path string
	Size uint64
}

// Fallocate allocates or punches a range (version 2).
type Fallocate struct {
	Path        string
	Mode        uint32
	Offset, Len uint64
}

// FileAttr sets the flags of an inode (version 2). They are those btrfs has on disk, not those of chattr(1).
type FileAttr struct {
	Path  string
	Flags uint64 // of InodeNoDataSum and the others
}

// Flags of FileAttr, BTRFS_INODE_*
const (
	InodeNoDataSum  = 1 << 0
	InodeNoDataCOW  = 1 << 1
	InodeNoCompress = 1 << 3
	InodeSync       = 1 << 5
	InodeImmutable  = 1 << 6
	InodeAppend     = 1 << 7
	InodeNoDump     = 1 << 8
	InodeNoAtime    = 1 << 9
	InodeDirSync    = 1 << 10
	InodeCompress   = 1 << 11
)

// EnableVerity turns on fs-verity (version 3).
type EnableVerity struct {
	Path      string
	Algorithm uint8  // FS_VERITY_HASH_ALG_*
	BlockSize uint32 // of the hash tree
	Salt      []byte // may be empty
	Signature []byte // may be empty
}

// Chmod sets the permission bits.
type Chmod struct {
	Path string
	Mode uint64
}

// Chown sets owner and group.
type Chown struct {
	Path     string
	UID, GID uint64
}

// Utimes sets times. It is always the last command on an inode.
type Utimes struct {
	Path                string
	Atime, Mtime, Ctime time.Time
}

// End is the last command of a stream.
type End struct{}
