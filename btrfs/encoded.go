//go:build linux

package btrfs

import (
	"os"
)

// Encoded describes data that is compressed as btrfs has it on disk.
type Encoded struct {
	Offset          uint64 // in the file, of the first byte of the range
	Len             uint64 // of the range
	UnencodedLen    uint64 // of the data when it is decompressed, with zeros added or the end cut off; at most 128 KiB
	UnencodedOffset uint64 // in the decompressed data, of the first byte of the range
	Compression     uint32 // one of the constants below
	Encryption      uint32 // 0; there is none so far
}

// Compressions of Encoded, BTRFS_ENCODED_IO_COMPRESSION_*
const (
	CompressionZlib   = 1
	CompressionZstd   = 2
	CompressionLZO4K  = 3 // by the size of a block, which must be that of the filesystem
	CompressionLZO64K = 7
)

// WriteEncoded puts compressed data into f as it is (BTRFS_IOC_ENCODED_WRITE, Linux 5.18). The kernel does not look
// whether it can be decompressed. Up to a fix of 2026 it does not report every write error either: see SyncFS.
//
// Root only. Errors: ErrNotBtrfs; ENOTTY on an older kernel; EINVAL for what this filesystem does not store so: offsets
// that are not aligned, another block size, a file without checksums, more than 128 KiB; ENOSPC also where plain data
// would have room; EPERM; EBADF when f is not open for writing.
func WriteEncoded(f *os.File, e Encoded, data []byte) error {
	return pathError("BTRFS_IOC_ENCODED_WRITE", f.Name(), explain(f, encodedWrite(f, e, data)))
}
