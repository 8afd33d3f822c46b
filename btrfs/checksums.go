//go:build linux

package btrfs

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// NoCOW reports whether f has the attribute of chattr +C (FS_IOC_GETFLAGS): what is written to such a file, or to a
// file made in such a directory, has no checksum. Anybody may ask.
func NoCOW(f *os.File) (bool, error) {
	const noCOW = 0x00800000 // FS_NOCOW_FL
	var flags uint32         // an int, whatever the number of the request says
	err := ioctl(f, unix.FS_IOC_GETFLAGS, &flags)
	return flags&noCOW != 0, pathError("FS_IOC_GETFLAGS", f.Name(), explain(f, err))
}

// LacksChecksums reports whether the data of the regular file f has no checksums, so that it cannot be verified. That
// is so for a file written with nodatacow, and with nodatasum, which only root may query (INODE_ITEM by
// BTRFS_IOC_TREE_SEARCH_V2): for anybody else certain is false if it says no. Data stored inline in metadata has the
// checksum of that.
//
// Errors: ErrNotBtrfs; EIO for metadata that cannot be read; EBADF when f was opened with O_PATH.
func LacksChecksums(f *os.File) (lacks, certain bool, err error) {
	noCOW, err := NoCOW(f)
	if err != nil || noCOW {
		return noCOW, err == nil, err
	}
	var st unix.Stat_t
	err = withFd(f, func(fd uintptr) error {
		return retry(func() unix.Errno { return errnoOf(unix.Fstat(int(fd), &st)) })
	})
	if err != nil {
		return false, false, pathError("fstat", f.Name(), err)
	}
	flags, err := inodeFlags(f, st.Ino)
	if err == unix.EPERM {
		return false, false, nil
	}
	const noDataSum = 1 << 0 // BTRFS_INODE_NODATASUM
	return flags&noDataSum != 0, err == nil, pathError("BTRFS_IOC_TREE_SEARCH_V2", f.Name(), err)
}

// inodeFlags asks for one item only: this is done for each file of a tree.
func inodeFlags(f *os.File, inode uint64) (uint64, error) {
	const inodeItem, flagsAt = 1, 64
	args := &searchOneArgs{Key: searchKey{
		MinObjectID: inode, MaxObjectID: inode, MinType: inodeItem, MaxType: inodeItem,
		MaxOffset: 0, MaxTransID: afterEverything, NrItems: 1,
	}}
	args.BufSize = uint64(len(args.Buf))
	if err := ioctl(f, reqTreeSearchV2, args); err != nil {
		return 0, err
	}
	items, err := parseItems(nil, args.Buf[:], args.Key.NrItems)
	if err != nil {
		return 0, err
	}
	if len(items) != 1 || len(items[0].Data) < flagsAt+8 {
		return 0, fmt.Errorf("inode %d: %d items: %w", inode, len(items), unix.EPROTO)
	}
	return binary.LittleEndian.Uint64(items[0].Data[flagsAt:]), nil
}

// Checksums is the kind that a filesystem has of its data: the number of the algorithm (BTRFS_CSUM_TYPE_*) and the
// bytes of one, of a block of BlockSize. No item of a tree is larger than NodeSize.
type Checksums struct{ Algorithm, Size, BlockSize, NodeSize uint32 }

// ChecksumKind asks for it, by any file of the filesystem (BTRFS_IOC_FS_INFO). Size is 0 before Linux 5.10.
//
// Anybody may do this. Errors: ErrNotBtrfs; EBADF when f was opened with O_PATH.
func ChecksumKind(f *os.File) (Checksums, error) {
	const csumInfo = 1 // BTRFS_FS_INFO_FLAG_CSUM_INFO
	fs := fsInfoArgs{Flags: csumInfo}
	err := ioctl(f, reqFsInfo, &fs)
	return Checksums{uint32(fs.CsumType), uint32(fs.CsumSize), fs.SectorSize, fs.NodeSize}, pathError("BTRFS_IOC_FS_INFO", f.Name(), explain(f, err))
}
