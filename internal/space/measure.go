// Measuring what deletions would free, from the extents that the kernel lists. Backups descend from each other, so data
// newer than one backup that is not in the next is in no other backup. For this small rest the kernel is asked which
// other files hold it, such as a reflink copy of a file in a backup. Only root may query this (EPERM).

package space

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// Measurer keeps the extents of the backup that it read as the successor of another, because that is mostly measured
// next. Reading a backup takes time proportional to its files.
type Measurer struct {
	Store *store.Store
	// Hidden are backups that something is mounted on. What the others share with them is not known, so no size is.
	Hidden []string
	// AtMost is set if sizes are upper bounds: other files may hold some of the data.
	AtMost bool
	held   map[extentsOf]*btrfs.ExtentSet
	alive  map[uint64]bool // the existing subvolumes
	asked  int             // how many extents were asked about
}

// extentsOf selects the extents in a backup that are newer than a generation.
type extentsOf struct {
	name  string
	since uint64
}

func (m *Measurer) read(of extentsOf) (*btrfs.ExtentSet, error) {
	if set := m.held[of]; set != nil {
		return set, nil
	}
	set := &btrfs.ExtentSet{}
	return set, m.add(set, of)
}

func (m *Measurer) add(set *btrfs.ExtentSet, of extentsOf) error {
	f, err := btrfs.OpenDirAt(m.Store.Dir, of.name)
	if err != nil {
		return err
	}
	defer f.Close()
	return set.Add(f, of.since)
}

// madeIn is the generation in which b was made: nothing in it was newer then; 0 if b is nil.
func madeIn(b *facts.Snapshot) uint64 {
	if b == nil {
		return 0
	}
	return b.Made
}

// later returns the extents written into b after it was made; usually none.
func (m *Measurer) later(b *facts.Snapshot) (*btrfs.ExtentSet, error) {
	if b == nil || !b.Touched {
		return &btrfs.ExtentSet{}, nil
	}
	return m.read(extentsOf{b.Name, b.Made})
}

// Sizes returns how much of b is in no backup up to older, and how much of that is freed by deleting all of going, b
// among them. Both neighbours may be nil.
func (m *Measurer) Sizes(ctx context.Context, b, older, newer *facts.Snapshot, going Going) (added, freed uint64, err error) {
	since := madeIn(older)
	own, err := m.read(extentsOf{b.Name, since})
	if err != nil {
		return 0, 0, err
	}
	later, err := m.later(older)
	if err != nil {
		return 0, 0, err
	}
	next := &btrfs.ExtentSet{}
	if newer != nil {
		if next, err = m.read(extentsOf{newer.Name, since}); err != nil {
			return 0, 0, err
		}
	}
	m.held = map[extentsOf]*btrfs.ExtentSet{}
	if newer != nil {
		m.held[extentsOf{newer.Name, since}] = next
	}
	if older != nil && older.Touched {
		m.held[extentsOf{older.Name, older.Made}] = later
	}
	freed, err = m.heldByNothingElse(ctx, own.Without(later, next), going)
	return own.Bytes(later), freed, err
}

// Measure fills in Frees where it is missing. The sum is what all deletions free: data that several of them share
// counts for the last.
func (m *Measurer) Measure(ctx context.Context, decisions []facts.Decision) error {
	if len(m.Hidden) > 0 {
		return nil
	}
	going := goingOf(decisions)
	var older *facts.Snapshot // the nearest backup that is kept
	for i, d := range slices.Backward(decisions) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if d.Keep {
			older = &decisions[i].Snapshot
			continue
		}
		if d.Frees != nil {
			continue
		}
		var newer *facts.Snapshot
		if i > 0 {
			newer = &decisions[i-1].Snapshot
		}
		_, freed, err := m.Sizes(ctx, &d.Snapshot, older, newer, going)
		switch {
		case errors.Is(err, unix.EPERM):
			return nil
		case errors.Is(err, fs.ErrNotExist):
			continue // deleted meanwhile: nothing is locked
		case err != nil:
			return err
		}
		decisions[i].Frees = &freed
	}
	return nil
}

// Total is the sum that Measure would find, at a lower cost: of consecutive backups that are deleted only the first is
// read completely, and of the others what each has added. It is not known without root, or if a backup is hidden or
// deleted meanwhile.
func (m *Measurer) Total(ctx context.Context, decisions []facts.Decision) (bytes uint64, known bool, err error) {
	if len(m.Hidden) > 0 {
		return 0, false, nil
	}
	bytes, err = m.sumRows(ctx, decisions)
	if errors.Is(err, unix.EPERM) || errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	return bytes, err == nil, err
}

func (m *Measurer) sumRows(ctx context.Context, decisions []facts.Decision) (bytes uint64, err error) {
	var older *facts.Snapshot // the nearest backup that is kept
	var row []facts.Snapshot
	going := goingOf(decisions)
	end := func(next *facts.Snapshot) error {
		freed, err := m.row(ctx, row, older, next, going)
		bytes, row, older = bytes+freed, nil, next
		return err
	}
	for i, d := range slices.Backward(decisions) {
		if !d.Keep {
			row = append(row, d.Snapshot)
		} else if err := end(&decisions[i].Snapshot); err != nil {
			return 0, err
		}
	}
	return bytes, end(nil)
}

// row is what deleting all of row frees, between older and newer, which are kept.
func (m *Measurer) row(ctx context.Context, row []facts.Snapshot, older, newer *facts.Snapshot, going Going) (freed uint64, err error) {
	if len(row) == 0 {
		return 0, nil
	}
	var all btrfs.ExtentSet
	since := madeIn(older)
	for i, b := range row {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		from := since
		if i > 0 && !row[i-1].Touched { // otherwise that one may have lost data that this one inherited
			from = row[i-1].Made
		}
		if err := m.add(&all, extentsOf{b.Name, from}); err != nil {
			return 0, err
		}
	}
	later, err := m.later(older)
	if err != nil {
		return 0, err
	}
	next := &btrfs.ExtentSet{}
	if newer != nil {
		if next, err = m.read(extentsOf{newer.Name, since}); err != nil {
			return 0, err
		}
	}
	return m.heldByNothingElse(ctx, all.Without(later, next), going)
}
