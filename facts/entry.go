package facts

import (
	"fmt"
	"strconv"
	"time"
)

// Permissions are the twelve lower bits of a mode: set-id, sticky and access.
type Permissions uint32

// MarshalText writes them in octal, "0644".
func (p Permissions) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%04o", uint32(p)), nil }

// UnmarshalText reads what MarshalText writes.
func (p *Permissions) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 12)
	*p = Permissions(n)
	return err
}

// Entry is one file, directory or other object in a backup.
type Entry struct {
	Path  string      `json:"path"` // relative to the root of the backup, which is "."
	Kind  string      `json:"kind"` // file, directory, symlink, fifo, socket, block device or character device
	Mode  Permissions `json:"mode"`
	UID   uint32      `json:"uid"`
	GID   uint32      `json:"gid"`
	Size  int64       `json:"size"` // bytes
	MTime time.Time   `json:"mtime"`
	Links uint64      `json:"links"` // names of the inode
	Inode uint64      `json:"inode"`
	// Link is the target of a symlink, unchanged.
	Link string `json:"link,omitempty"`
	// Device is major:minor of a device.
	Device string `json:"device,omitempty"`
}
