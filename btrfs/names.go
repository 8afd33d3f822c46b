//go:build linux

package btrfs

import (
	"encoding/binary"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// StubInode is the inode number of the empty directory that a snapshot shows where a subvolume was nested
// (BTRFS_EMPTY_SUBVOL_DIR_OBJECTID).
const StubInode = 2

const inodeRefKey, inodeExtrefKey = 12, 13 // BTRFS_INODE_REF_KEY, BTRFS_INODE_EXTREF_KEY

// InodeNames lists the paths of an inode in the subvolume whose root directory is root, relative to that, from the back
// references the inode has. It needs CAP_SYS_ADMIN.
func InodeNames(root *os.File, inode uint64) ([]string, error) {
	key := AllItems(0)
	key.MinObjectID, key.MaxObjectID = inode, inode
	key.MinType, key.MaxType = inodeRefKey, inodeExtrefKey
	var names []string
	for item, err := range TreeSearch(root, key) {
		if err != nil {
			return nil, err
		}
		refs, err := parseInodeRefs(item.Data, item.Type == inodeExtrefKey, item.Offset)
		if err != nil {
			return nil, pathError("names of inode", root.Name(), err)
		}
		for _, ref := range refs {
			dir, err := InodePath(root, 0, ref.dir)
			if err != nil {
				return nil, err
			}
			names = append(names, path.Join(dir, ref.name))
		}
	}
	return names, nil
}

type inodeName struct {
	dir  uint64
	name string
}

// parseInodeRefs reads packed struct btrfs_inode_ref or btrfs_inode_extref. The former have the directory in the key.
func parseInodeRefs(b []byte, ext bool, dir uint64) ([]inodeName, error) {
	var refs []inodeName
	for len(b) > 0 {
		head := 10 // index, length
		if ext {
			head = 18 // directory, index, length
		}
		if len(b) < head {
			return nil, fmt.Errorf("inode reference of %d bytes: %w", len(b), unix.EPROTO)
		}
		if ext {
			dir = binary.LittleEndian.Uint64(b)
		}
		size := int(binary.LittleEndian.Uint16(b[head-2:]))
		if len(b) < head+size {
			return nil, fmt.Errorf("inode reference of %d bytes: %w", len(b), unix.EPROTO)
		}
		refs = append(refs, inodeName{dir, string(b[head : head+size])})
		b = b[head+size:]
	}
	return refs, nil
}
