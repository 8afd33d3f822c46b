// Measuring what a prune would free, from the extents the kernel lists.

package rsbtbackup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

// measure fills in Frees where it is missing. Backups descend from each other,
// so an extent that is younger than the nearest older backup that is kept, and
// not in the next newer one, is in no other either. Without root the kernel does
// not list extents and Frees stays unknown.
func (s *store) measure(ctx context.Context, decisions []Decision) error {
	var since uint64 // of the nearest older backup that is kept
	for i, d := range slices.Backward(decisions) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if d.Keep {
			since = d.generation
			continue
		}
		if d.Frees != nil {
			continue
		}
		var newer *Decision
		if i > 0 {
			newer = &decisions[i-1]
		}
		freed, err := s.freedBy(d.Name, since, newer)
		switch {
		case errors.Is(err, unix.EPERM):
			return nil
		case errors.Is(err, fs.ErrNotExist):
			continue // deleted while we look: nothing is locked
		case err != nil:
			return err
		}
		decisions[i].Frees = &freed
	}
	return nil
}

func (s *store) freedBy(name string, since uint64, newer *Decision) (uint64, error) {
	f, err := btrfs.OpenDirAt(s.dir, name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var next *os.File
	if newer != nil {
		if next, err = btrfs.OpenDirAt(s.dir, newer.Name); err != nil {
			return 0, err
		}
		defer next.Close()
	}
	return btrfs.FreedBytes(f, since, next)
}
