// Measuring what deletions would free, from the extents the kernel lists. As backups descend from each other, what came
// after the making of one and is not in the next is in no other either: about that little the kernel is asked who else
// has it, such as a file copied from a backup by reflink. Without root the kernel tells neither (EPERM).

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

// Measurer keeps the extents of the backup it has read as the next of another, whose turn it mostly is then: to read a
// backup takes as long as it has files.
type Measurer struct {
	Store *store.Store
	// hidden are backups that something is mounted on: nobody knows what the others share with them, so nothing is
	// known of any.
	Hidden []string
	// AtMost is set when not all of what was asked for is known to be held by nothing else.
	AtMost bool
	held   map[extentsOf]*btrfs.ExtentSet
	alive  map[uint64]bool // the subvolumes there are
	asked  int             // about how many extents
}

// extentsOf names the extents in a backup that are younger than a generation.
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

// madeIn is the generation that nothing in b was younger than when it was made; 0 if b is nil.
func madeIn(b *facts.Snapshot) uint64 {
	if b == nil {
		return 0
	}
	return b.Made
}

// later is what somebody put into b when it had been made; most often nothing.
func (m *Measurer) later(b *facts.Snapshot) (*btrfs.ExtentSet, error) {
	if b == nil || !b.Touched {
		return &btrfs.ExtentSet{}, nil
	}
	return m.read(extentsOf{b.Name, b.Made})
}

// Sizes tells how much of b is in no backup up to older, and of that how much goes with all of going, b among them.
// Both neighbours may be nil.
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

// Measure fills in Frees where it is missing. What deletions free together is the sum: what several of them share
// counts for the last.
func (m *Measurer) Measure(ctx context.Context, decisions []facts.Decision) error {
	if len(m.Hidden) > 0 {
		return nil
	}
	going := goingOf(decisions)
	var older *facts.Snapshot // the nearest that is kept
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
			continue // deleted while we look: nothing is locked
		case err != nil:
			return err
		}
		decisions[i].Frees = &freed
	}
	return nil
}

// Total is what measure would find in all, for much less: of backups in a row that go, only the first is read in full,
// and of the others what each has added. It is not known without root, or when a backup is hidden, or deleted
// meanwhile.
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
	var older *facts.Snapshot // the nearest that is kept
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

// row is what goes with all of row, between older and newer, which stay.
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
		if i > 0 && !row[i-1].Touched { // else that one may have lost what this one inherited
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
