// Measuring what a prune would free, from the extents the kernel lists.

package rsbtbackup

import (
	"context"
	"errors"
	"os"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

// measure fills in Frees. Backups descend from each other, so an extent that
// is younger than the nearest older backup that is kept, and not in the next
// newer one, is in no other either. Without root the kernel does not list
// extents and Frees stays unknown.
func (s *store) measure(ctx context.Context, decisions []Decision) error {
	var since uint64 // of the nearest older backup that is kept
	for i := len(decisions) - 1; i >= 0; i-- {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		d := &decisions[i]
		if d.Keep {
			since = d.generation
			continue
		}
		var newer *Decision
		if i > 0 {
			newer = &decisions[i-1]
		}
		freed, err := s.freedBy(d.Name, since, newer)
		if errors.Is(err, unix.EPERM) {
			return nil
		}
		if err != nil {
			return err
		}
		d.Frees = &freed
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
