// Which other subvolumes hold an extent, in DEST or outside.

package space

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
)

// Going are the ids of the backups that are to be deleted.
type Going map[uint64]bool

func goingOf(decisions []facts.Decision) Going {
	going := Going{}
	for _, d := range decisions {
		if !d.Keep {
			going[d.ID] = true
		}
	}
	return going
}

// maxAsked limits how many extents one measurement asks about, the largest of each backup first: 70 microseconds each
// on a busy machine (Linux 6.18).
const maxAsked = 200_000

// heldByNothingElse is the size of the extents that only the subvolumes in going hold. Beyond maxAsked, or if the
// kernel cannot tell, it is an upper bound.
func (m *Measurer) heldByNothingElse(ctx context.Context, extents *btrfs.ExtentSet, going Going) (uint64, error) {
	if err := m.findAlive(); err != nil {
		return 0, err
	}
	bytes := extents.Bytes()
	for address, size := range extents.Largest() {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if m.asked >= maxAsked {
			m.AtMost = true
			break
		}
		m.asked++
		holders, err := btrfs.ExtentHolders(m.Store.Dir, address)
		switch {
		case errors.Is(err, unix.ENOENT): // deleted meanwhile
			bytes -= size
		case btrfs.IsDamage(err), errors.Is(err, unix.ENOTTY):
			m.AtMost = true
		case err != nil:
			return 0, err
		case slices.ContainsFunc(holders, func(id uint64) bool { return m.alive[id] && !going[id] }):
			bytes -= size
		}
	}
	return bytes, nil
}

// findAlive skips deleted subvolumes, which hold their extents until the cleaner has run.
func (m *Measurer) findAlive() error {
	if m.alive != nil {
		return nil
	}
	ids, err := btrfs.SubvolumeIDs(m.Store.Dir)
	if err != nil {
		return err
	}
	const topLevel = 5
	m.alive = map[uint64]bool{topLevel: true}
	for _, id := range ids {
		m.alive[id] = true
	}
	return nil
}
