package replica

import (
	"os"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
)

// noticeSameDisk warns about a target that is on the same disk as DEST.
func (c *copying) noticeSameDisk(target *os.File) error {
	if c.store == nil {
		return nil
	}
	a, err := btrfs.FilesystemUUID(c.store.Dir)
	if err != nil {
		return fail.Step("read", err)
	}
	b, err := btrfs.FilesystemUUID(target)
	if err != nil {
		return fail.Step("TARGET", err)
	}
	if a == b {
		c.report.Notices = append(c.report.Notices, "TARGET is on the same filesystem as DEST: this is no second copy against losing the disk")
	}
	return nil
}
