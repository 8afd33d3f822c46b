//go:build linux

package btrfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// SubvolumeNamed tells about the subvolume called name in the directory parent without opening it, for one that cannot
// be opened: as its root directory is damaged, or is not for the caller (BTRFS_IOC_GET_SUBVOL_ROOTREF and
// BTRFS_IOC_INO_LOOKUP_USER, Linux 4.18). All of Info is filled in for root; anybody else gets the ids and the name.
//
// The cost is that of asking for the name of each subvolume nested in the one parent is in. Errors: ErrNotSubvolume for
// a name that is none's; ErrNotBtrfs; EBADF when parent was opened with O_PATH.
func SubvolumeNamed(parent *os.File, name string) (Info, error) {
	const op = "BTRFS_IOC_GET_SUBVOL_ROOTREF"
	info, err := refNamed(parent, name)
	if err != nil {
		return Info{}, pathError(op, childPath(parent, name), explain(parent, err))
	}
	full, err := rootItemOf(parent, info)
	if isErrno(err, unix.EPERM) {
		return info, nil
	}
	return full, err
}

// refNamed finds the entry of a directory that leads to a subvolume.
func refNamed(parent *os.File, name string) (Info, error) {
	around, _, err := getSubvolInfo(parent)
	if err != nil {
		return Info{}, err
	}
	var st unix.Stat_t
	err = withFd(parent, func(fd uintptr) error {
		return retry(func() unix.Errno { return errnoOf(unix.Fstat(int(fd), &st)) })
	})
	if err != nil {
		return Info{}, err
	}
	refs, err := rootrefs(parent)
	if err != nil {
		return Info{}, err
	}
	for _, ref := range refs {
		if ref.DirID != st.Ino {
			continue
		}
		found, err := lookupUser(parent, ref)
		if err != nil {
			return Info{}, err
		}
		if found == name {
			return Info{ID: ref.TreeID, ParentID: around.TreeID, DirID: ref.DirID, Name: name}, nil
		}
	}
	return Info{}, &kindError{ErrNotSubvolume, unix.ENOENT}
}

// rootItemOf completes info from the tree of tree roots.
func rootItemOf(f *os.File, info Info) (Info, error) {
	const rootTree, rootItemKey = 1, 132
	key := AllItems(rootTree)
	key.MinObjectID, key.MaxObjectID = info.ID, info.ID
	key.MinType, key.MaxType = rootItemKey, rootItemKey
	for item, err := range TreeSearch(f, key) {
		if err != nil {
			return Info{}, err
		}
		return parseRootItem(info, item.Data)
	}
	return Info{}, pathError("BTRFS_IOC_TREE_SEARCH_V2", f.Name(), fmt.Errorf("subvolume %d: %w", info.ID, unix.ENOENT))
}

var errShortRootItem = errors.New("root item too short")

// parseRootItem reads a packed, little-endian struct btrfs_root_item. Before Linux 3.6 it ended where the UUIDs begin,
// and what wrote it since without knowing these left another generation there than its own.
func parseRootItem(info Info, b []byte) (Info, error) {
	const (
		generation = 160
		flags      = 208
		oldEnd     = 239 // generation_v2
		uuids      = 247
		transIDs   = 295
		times      = 327
		fullEnd    = 375

		readOnly = 1 << 0
	)
	if len(b) < oldEnd {
		return Info{}, fmt.Errorf("%w: %d bytes", errShortRootItem, len(b))
	}
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	info.Generation, info.ReadOnly = u64(generation), u64(flags)&readOnly != 0
	if len(b) < fullEnd || u64(oldEnd) != info.Generation {
		return info, nil
	}
	for i, uuid := range []*UUID{&info.UUID, &info.ParentUUID, &info.ReceivedUUID} {
		copy(uuid[:], b[uuids+16*i:])
	}
	for i, id := range []*uint64{&info.CTransID, &info.OTransID, &info.STransID, &info.RTransID} {
		*id = u64(transIDs + 8*i)
	}
	for i, at := range []*time.Time{&info.CTime, &info.OTime, &info.STime, &info.RTime} {
		if sec, nsec := u64(times+12*i), binary.LittleEndian.Uint32(b[times+12*i+8:]); sec != 0 || nsec != 0 {
			*at = time.Unix(int64(sec), int64(nsec))
		}
	}
	return info, nil
}
