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

// Entries is the total number of entries.
func Entries(s facts.ReflinkStats) int64 {
	return s.Files + s.Directories + s.Symlinks + s.Specials + s.HardLinks
}

// ShareBlocks reports whether both are on one btrfs, and files created in dst inherit nothing (default ACLs, btrfs
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

// cloneReaches reports whether a file in dst can share blocks with one in src. Before Linux 5.19 it cannot if they are
// on two mounts, even of one filesystem: the kernel then returns EXDEV, and otherwise EISDIR for these directories.
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

// readUmask reads /proc, because umask(2) can only return the umask by changing it.
func readUmask() uint32 {
	status, err := os.ReadFile("/proc/self/status") // since Linux 4.7
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
