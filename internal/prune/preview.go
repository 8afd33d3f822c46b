// The dry run: what prune would delete, and what that would free.

package prune

import (
	"context"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/space"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// preview reads DEST without locking or changing it.
func preview(ctx context.Context, dest string, o Options) (*Report, error) {
	s, err := store.Open(dest)
	if err != nil {
		return &Report{Dest: dest, DryRun: true}, err
	}
	defer s.Close()
	p, refused, err := foresee(ctx, s, o)
	report := p.report(s.Path)
	report.DryRun, report.Refused = true, refused
	return report, err
}

// foresee decides as prune does. refused says why a run without Force would delete nothing.
func foresee(ctx context.Context, s *store.Store, o Options) (p pruned, refused string, err error) {
	now := store.Now(o.Now)
	has, err := measureRoom(s)
	if err != nil {
		return pruned{}, "", err
	}
	if err := space.Possible(o.MinFree, has.total); err != nil {
		return pruned{room: has}, "", fail.Step("options", err)
	}
	st, err := s.ReadState(now.Location())
	if err != nil {
		return pruned{room: has}, "", fail.Step("read", err)
	}
	if err := unusual(st, o, now, readNote(s)); err != nil && !o.Force {
		refused = err.Error()
	}
	m := &space.Measurer{Store: s, Hidden: st.Hidden}
	p = pruned{decisions: Decide(st.Backups, o.Policy, now), room: has}
	if err := m.Measure(ctx, p.decisions); err != nil {
		return p, refused, fail.Step("measure space", err)
	}
	if !space.IsZero(o.MinFree) {
		p, err = foreseeSpace(ctx, s, m, o, p, st.Hidden)
	}
	p.atMost = m.AtMost
	return p, refused, err
}

// foreseeSpace estimates, from the sizes of file data, what forSpace would delete: nothing, with ErrNoSpace, if all of
// it is too little. Without root sizes are unknown, and there is no estimate.
func foreseeSpace(ctx context.Context, s *store.Store, m *space.Measurer, o Options, p pruned, hidden []string) (pruned, error) {
	if len(hidden) > 0 && !p.reached(o.MinFree) {
		return p.sizesUnknown(s.Path, o, hidden)
	}
	free, err := unused(s, p.free)
	if err != nil {
		return p, fail.Step("measure space", err)
	}
	next, left := p, remaining(p.decisions)
	for asked := false; ; asked = true {
		frees, known := sum(next.decisions)
		if !known || space.Reached(o.MinFree, free+frees, p.total) {
			return next, nil
		}
		if !asked {
			if out, err := inReach(ctx, m, o, free, p); err != nil {
				return out, err
			}
		}
		i := expendable(left, o.keepMin())
		if i < 0 {
			return p.outOfReach(s.Path, o, free+frees)
		}
		next.decisions = letGo(next.decisions, left[i].Name)
		left = slices.Delete(left, i, i+1)
		if err := m.Measure(ctx, next.decisions); err != nil {
			return p, fail.Step("measure space", err)
		}
	}
}

// unused is the free space. If that is 0, perhaps only because there is no space for metadata, it is the space not in
// use: deleting frees metadata.
func unused(s *store.Store, free uint64) (uint64, error) {
	if free > 0 {
		return free, nil
	}
	fs, err := s.Statfs()
	return fs.Bfree * uint64(fs.Bsize), err
}

// inReach estimates whether deleting all backups that may be deleted frees enough.
func inReach(ctx context.Context, m *space.Measurer, o Options, free uint64, p pruned) (pruned, error) {
	all := slices.Clone(p.decisions)
	left := remaining(all)
	for i := expendable(left, o.keepMin()); i >= 0; i = expendable(left, o.keepMin()) {
		mark(all, left[i].Name)
		left = slices.Delete(left, i, i+1)
	}
	frees, known, err := m.Total(ctx, all)
	if err == nil && known && !space.Reached(o.MinFree, free+frees, p.total) {
		return p.outOfReach(m.Store.Path, o, free+frees)
	}
	return p, fail.Step("measure space", err)
}

// undeleted is p without the backups already deleted.
func (p pruned) undeleted() pruned {
	p.decisions = slices.DeleteFunc(slices.Clone(p.decisions), func(d facts.Decision) bool { return !d.Keep })
	return p
}
