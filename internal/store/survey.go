package store

import (
	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
)

// Compresses tells whether new files in DEST are stored compressed, by the
// mount or by an attribute of DEST. It is for a forecast: what is not known is no.
func (s *Store) Compresses() bool {
	const compressed = 0x4 // FS_COMPR_FL
	flags, err := unix.IoctlGetUint32(int(s.Dir.Fd()), unix.FS_IOC_GETFLAGS)
	return err == nil && flags&compressed != 0 || mounts.ReadMount(s.Dir).Compressed
}
