//go:build linux

package btrfs

import (
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// InodeRef is one place that uses a block: a file in a subvolume.
type InodeRef struct {
	Inode  uint64
	Offset uint64 // in the file, in bytes
	Root   uint64 // id of the subvolume
}

// LogicalInodes lists everything that uses the data block at a logical address, as in Extent.Address, in any subvolume
// of the filesystem of f (BTRFS_IOC_LOGICAL_INO_V2, Linux 4.15). Of an extent that is not compressed only those
// references count that cover the very block; a compressed one is read whole, so all do. What is not committed yet may
// be missing: Sync first. InodePath gives the names.
//
// Root only. Errors: ErrNotBtrfs; EPERM; ENOENT where there is no extent at that address; ENOTTY on an older kernel;
// EBADF when f was opened with O_PATH.
func LogicalInodes(f *os.File, address uint64) ([]InodeRef, error) {
	for size := refsBufSize; ; size *= 4 {
		refs, missed, err := logicalInodes(f, address, min(size, maxRefsBufSize), 0)
		if err != nil {
			return nil, pathError("BTRFS_IOC_LOGICAL_INO_V2", f.Name(), explain(f, err))
		}
		if !missed || size >= maxRefsBufSize {
			return refs, nil
		}
	}
}

// ExtentHolders lists the subvolumes that use any part of the data extent that begins at a logical address, in the
// order of their ids, those deleted but not yet cleaned up too (BTRFS_IOC_LOGICAL_INO_V2 with IGNORE_OFFSET, Linux
// 4.15).
//
// Root only. Errors: those of LogicalInodes; EIO where the metadata that tells cannot be read.
func ExtentHolders(f *os.File, address uint64) ([]uint64, error) {
	const op, first = "BTRFS_IOC_LOGICAL_INO_V2", 4 << 10
	for size := first; ; size *= 8 {
		refs, missed, err := logicalInodes(f, address, min(size, maxRefsBufSize), ignoreOffset)
		if err != nil {
			return nil, pathError(op, f.Name(), explain(f, err))
		}
		if missed && size < maxRefsBufSize {
			continue
		}
		roots := make([]uint64, len(refs))
		for i, ref := range refs {
			roots[i] = ref.Root
		}
		slices.Sort(roots)
		return slices.Compact(roots), nil
	}
}

// parseRefs reads the triples of a btrfs_data_container.
func parseRefs(values []uint64) []InodeRef {
	refs := make([]InodeRef, 0, len(values)/3)
	for ; len(values) >= 3; values = values[3:] {
		refs = append(refs, InodeRef{Inode: values[0], Offset: values[1], Root: values[2]})
	}
	return refs
}

// Extent is a piece of a file that has data on disk.
type Extent struct {
	Offset uint64 // in the file, in bytes
	Length uint64 // in the file, in bytes
	// Address is the logical address of its first byte or, compressed, of the whole compressed extent. It is 0 for data
	// stored inline in metadata.
	Address    uint64
	Compressed bool
	Inline     bool
}

// Extents lists the pieces of the file f that have data on disk and touch the given range, in the order of the file
// (FS_IOC_FIEMAP). Holes and preallocated space are left out; so is data that has no address yet, which nothing in a
// read-only snapshot is. A file in many pieces is asked about in several calls; if it changes meanwhile the answers do
// not fit together.
//
// Anybody who can open the file may do this. Errors: EBADF when f was opened with O_PATH; EOPNOTSUPP for what is no
// regular file, or on a filesystem that cannot tell.
func Extents(f *os.File, offset, length uint64) ([]Extent, error) {
	var all []Extent
	for length > 0 {
		page, err := fiemap(f, offset, length)
		if err != nil {
			return nil, pathError("FS_IOC_FIEMAP", f.Name(), explainFiemap(err))
		}
		for _, e := range page {
			if extent, ok := e.extent(); ok {
				all = append(all, extent)
			}
		}
		if len(page) == 0 || page[len(page)-1].Flags&fiemapLast != 0 {
			return all, nil
		}
		last := page[len(page)-1]
		next := last.Logical + last.Length
		if next <= offset || next-offset >= length {
			return all, nil
		}
		offset, length = next, length-(next-offset)
	}
	return all, nil
}

func explainFiemap(err error) error {
	if errors.Is(err, unix.ENOTTY) {
		return unix.EOPNOTSUPP
	}
	return err
}

func (e fiemapExtent) extent() (Extent, bool) {
	if e.Flags&(fiemapUnknown|fiemapDelalloc|fiemapUnwritten) != 0 {
		return Extent{}, false
	}
	inline := e.Flags&fiemapInline != 0
	extent := Extent{Offset: e.Logical, Length: e.Length, Compressed: e.Flags&fiemapEncoded != 0, Inline: inline}
	if !inline {
		extent.Address = e.Physical
	}
	return extent, true
}
