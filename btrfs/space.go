//go:build linux

package btrfs

import "os"

// Space that is set aside for one kind of block.
type Space struct {
	Kind    string // "data", "metadata", "system", "data+metadata" (small filesystems), or "reserve"
	Profile string // "single", "dup", "raid0", "raid1", "raid1c3", "raid1c4", "raid10", "raid5" or "raid6"
	Flags   uint64 // the kernel's BTRFS_BLOCK_GROUP_ bits, both of the above
	Total   uint64 // bytes set aside, each counted once, not once per copy
	Used    uint64 // bytes in use
}

// SpaceInfo returns how the filesystem has divided its space (BTRFS_IOC_SPACE_INFO). It grows a kind when that is full,
// so for the space left for data use statfs(2), whose Bavail takes the unallocated part and the copies into account.
// The "reserve" is a part of metadata.
//
// Anybody may do this. Errors: ErrNotBtrfs; EBADF when f was opened with O_PATH.
func SpaceInfo(f *os.File) ([]Space, error) {
	args := spaceArgs{SpaceSlots: spaceSlots}
	if err := ioctl(f, reqSpaceInfo, &args); err != nil {
		return nil, pathError("BTRFS_IOC_SPACE_INFO", f.Name(), explain(f, err))
	}
	spaces := make([]Space, 0, args.TotalSpaces)
	for _, s := range args.Spaces[:min(args.TotalSpaces, spaceSlots)] {
		spaces = append(spaces, Space{
			Kind:    spaceKind(s.Flags),
			Profile: spaceProfile(s.Flags),
			Flags:   s.Flags,
			Total:   s.TotalBytes,
			Used:    s.UsedBytes,
		})
	}
	return spaces, nil
}

func spaceKind(flags uint64) string {
	const (
		data     = 1 << 0
		system   = 1 << 1
		metadata = 1 << 2
		reserve  = 1 << 49
	)
	switch {
	case flags&reserve != 0:
		return "reserve"
	case flags&system != 0:
		return "system"
	case flags&data != 0 && flags&metadata != 0:
		return "data+metadata"
	case flags&data != 0:
		return "data"
	case flags&metadata != 0:
		return "metadata"
	}
	return "unknown"
}

func spaceProfile(flags uint64) string {
	names := [...]string{"raid0", "raid1", "dup", "raid10", "raid5", "raid6", "raid1c3", "raid1c4"}
	const firstBit = 3
	for i, name := range names {
		if flags&(1<<(firstBit+i)) != 0 {
			return name
		}
	}
	return "single"
}
