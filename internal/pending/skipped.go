package pending

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/subvol"
)

// RemoveSkipped removes entries of the base whose names are devices in the source. rsync skips the devices and leaves
// the old entries.
func RemoveSkipped(ctx context.Context, pending *os.File, paths []string) error {
	for _, path := range paths {
		if err := EmptySkipped(ctx, pending, path); err != nil {
			return err
		}
		err := at.UnlinkBeneath(pending, path, 0)
		if errors.Is(err, unix.EISDIR) {
			err = at.UnlinkBeneath(pending, path, unix.AT_REMOVEDIR)
		}
		if err != nil && !at.IsNoDir(err) {
			return err
		}
	}
	return nil
}

// EmptySkipped removes everything below a directory of the base that the transfer leaves out: rsync deletes nothing
// there.
func EmptySkipped(ctx context.Context, pending *os.File, path string) error {
	dir, err := at.OpenBeneath(pending, path)
	if at.IsNoDir(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(subvol.Empty(ctx, dir), dir.Close())
}
