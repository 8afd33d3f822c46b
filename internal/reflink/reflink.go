package reflink

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
)

// Entries is how many there are in all.
func Entries(s facts.ReflinkStats) int64 {
	return s.Files + s.Directories + s.Symlinks + s.Specials + s.HardLinks
}

// ShareBlocks tells whether both are on one btrfs, and what is made in dst inherits nothing (default ACLs, btrfs
// properties) that a copy must not have.
func ShareBlocks(dst, src *os.File) (bool, error) {
	a, err := mounts.Identify(dst)
	if err != nil || a.FSType != unix.BTRFS_SUPER_MAGIC {
		return false, err
	}
	b, err := mounts.Identify(src)
	if err != nil || a.UUID != b.UUID || a.FSID != b.FSID {
		return false, err
	}
	if attributes, err := at.ListXattrs(dst); err != nil || len(attributes) > 0 {
		return false, err
	}
	return cloneReaches(dst, src)
}

// cloneReaches tells whether a file in dst can share blocks with one in src. Before Linux 5.19 it cannot where they are
// reached by two mounts, be it of one filesystem: the kernel says EXDEV before it looks at what it is given, and EISDIR
// after that.
func cloneReaches(dst, src *os.File) (bool, error) {
	probe, err := at.Open(dst, ".", unix.O_TMPFILE|unix.O_WRONLY, 0o600)
	if err != nil {
		return false, err
	}
	defer probe.Close()
	err = at.Retry(func() error { return unix.IoctlFileClone(int(probe.Fd()), int(src.Fd())) })
	if errors.Is(err, unix.EXDEV) {
		return false, at.Error("FICLONE", dst, "", err)
	}
	return true, nil
}

// readUmask asks /proc: umask(2) can only be read by changing it.
func readUmask() uint32 {
	status, err := os.ReadFile("/proc/self/status") // has it since Linux 4.7
	if err != nil {
		return 0o777
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		if text, ok := strings.CutPrefix(line, "Umask:"); ok {
			if mask, err := strconv.ParseUint(strings.TrimSpace(text), 8, 32); err == nil {
				return uint32(mask)
			}
		}
	}
	return 0o777
}
