package pending

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
)

// Measured is how much space pending adds on disk, and in which generation of it that was found.
type Measured struct {
	bytes, generation uint64
	err               error
}

// Measure finds out what pending adds to its base, which was made in the generation since. All data must have been
// flushed, so that its extents can be counted.
func Measure(work *os.File, since uint64) (m Measured) {
	var now btrfs.Info
	if now, m.err = btrfs.SubvolumeInfo(work); m.err == nil {
		m.generation = now.Generation // before anything is counted
		m.bytes, m.err = btrfs.AddedBytes(work, since)
	}
	return m
}

// Added returns what was measured, if everything has been flushed since and pending is still of that generation.
// Otherwise it is measured again. It is nil without an error if only root may know it.
func (m Measured) Added(work *os.File, since uint64) (*uint64, error) {
	if now, err := btrfs.SubvolumeInfo(work); err != nil || m.err != nil || now.Generation != m.generation {
		m = Measure(work, since)
	}
	switch {
	case errors.Is(m.err, unix.EPERM):
		return nil, nil
	case m.err != nil:
		return nil, m.err
	}
	return &m.bytes, nil
}
