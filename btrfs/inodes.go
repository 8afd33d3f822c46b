//go:build linux

package btrfs

import (
	"encoding/binary"
	"fmt"
	"iter"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// ChangedInode is an inode that something happened to.
type ChangedInode struct {
	Inode uint64
	// Written: some of its data is new as well. Of a file that is written without copy on write it is not known.
	Written bool
	// Dirs are the directories, by inode number, that have a name of it: none once it is deleted. The root of a
	// subvolume is in itself.
	Dirs []uint64
}

// ChangedInodes walks the inodes, in the subvolume f is in, that were written after the end of transaction
// sinceGeneration: their data, their attributes, their names, or, of a directory, what is in it. To be read can be
// enough, for that gives an inode a new time of access. Sync first: the open transaction is read, less what the kernel
// holds back. The cost is that of the change. An error comes last, with an empty ChangedInode.
//
// Root only. Errors: those of TreeSearch.
func ChangedInodes(f *os.File, sinceGeneration uint64) iter.Seq2[ChangedInode, error] {
	return func(yield func(ChangedInode, error) bool) {
		refs := refSearch{file: f}
		tell := func(c ChangedInode) bool {
			if c.Inode == 0 {
				return true
			}
			var err error
			if c.Dirs, err = refs.dirs(c.Inode); err != nil {
				yield(ChangedInode{}, err)
				return false
			}
			return yield(c, nil)
		}
		var now ChangedInode // what the items are of, if that has changed
		for item, err := range searchFrom(f, inodePage(sinceGeneration), inodeKey(sinceGeneration)) {
			if err != nil {
				yield(ChangedInode{}, err)
				return
			}
			switch {
			case item.Type == inodeItemKey:
				if !tell(now) {
					return
				}
				now, err = changedInode(item, sinceGeneration)
			case item.Type == extentDataKey && item.ObjectID == now.Inode:
				var e fileExtent
				e, err = parseExtent(item.Data)
				now.Written = now.Written || e.generation > sinceGeneration
			}
			if err != nil {
				yield(ChangedInode{}, pathError("BTRFS_IOC_TREE_SEARCH_V2", f.Name(), fmt.Errorf("inode %d: %w", item.ObjectID, err)))
				return
			}
		}
		tell(now)
	}
}

const (
	inodeItemKey = 1 // BTRFS_INODE_ITEM_KEY

	itemHeaderSize = 32       // struct btrfs_ioctl_search_header
	maxItemSize    = 64 << 10 // of metadata blocks

	lastFreeObjectID = 1<<64 - 256 // BTRFS_LAST_FREE_OBJECTID
)

func inodeKey(since uint64) SearchKey {
	key := AllItems(0)
	key.MinObjectID, key.MaxObjectID = firstFreeObjectID, lastFreeObjectID
	key.MinTransID = since + 1
	return key
}

func inodePage(since uint64) searchKey { return firstPage(inodeKey(since)) }

// changedInode reads a packed, little-endian struct btrfs_inode_item. It is empty for one that only shares a block of
// metadata with something new.
func changedInode(item Item, since uint64) (ChangedInode, error) {
	const transIDAt, size = 8, 160
	if len(item.Data) < size {
		return ChangedInode{}, fmt.Errorf("item of %d bytes: %w", len(item.Data), unix.EPROTO)
	}
	if binary.LittleEndian.Uint64(item.Data[transIDAt:]) <= since {
		return ChangedInode{}, nil
	}
	return ChangedInode{Inode: item.ObjectID}, nil
}

// refSearch asks for the names of inodes, one after the other.
type refSearch struct {
	file  *os.File
	args  searchArgsV2
	items []Item
}

// dirs lists the directories that have a name of the inode.
func (s *refSearch) dirs(inode uint64) ([]uint64, error) {
	key := AllItems(0)
	key.MinObjectID, key.MaxObjectID = inode, inode
	key.MinType, key.MaxType = inodeRefKey, inodeExtrefKey
	var dirs []uint64
	s.args.Key = firstPage(key)
	for more := true; more; {
		var err error
		if s.items, err = searchPage(s.file, &s.args, s.items[:0]); err != nil {
			return nil, pathError("BTRFS_IOC_TREE_SEARCH_V2", s.file.Name(), explain(s.file, err))
		}
		used := uintptr(0)
		for _, item := range s.items {
			used += itemHeaderSize + uintptr(len(item.Data))
			refs, err := parseInodeRefs(item.Data, item.Type == inodeExtrefKey, item.Offset)
			if err != nil {
				return nil, pathError("BTRFS_IOC_TREE_SEARCH_V2", s.file.Name(), fmt.Errorf("names of inode %d: %w", inode, err))
			}
			for _, ref := range refs {
				dirs = append(dirs, ref.dir)
			}
		}
		// The kernel stops early only for lack of room for one more item.
		more = used+itemHeaderSize+maxItemSize > searchBufSize && s.args.Key.advance(s.items[len(s.items)-1])
	}
	slices.Sort(dirs)
	return slices.Compact(dirs), nil
}
