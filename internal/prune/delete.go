// Delete: deleting single backups.

package prune

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/space"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// DeleteOptions are rsbtbackup.DeleteOptions, where each field has its comment.
type DeleteOptions struct {
	Force bool
	Wait  bool

	DryRun   bool
	LockWait time.Duration
	Now      time.Time
	Logger   *slog.Logger
	Progress func(done, total int)
}

// DeleteReport is rsbtbackup.DeleteReport, where each field has its comment.
type DeleteReport struct {
	Dest    string
	DryRun  bool
	Deleted []string
	Frees   *uint64
	AtMost  bool
	Repairs []string
}

// Delete is rsbtbackup.Delete.
func Delete(ctx context.Context, dest string, refs []string, o DeleteOptions) (*DeleteReport, error) {
	report := &DeleteReport{Dest: dest, DryRun: o.DryRun}
	if len(refs) == 0 {
		return report, fail.Step("options", fail.Kindf(facts.ErrUsage, "no backup is named"))
	}
	if o.DryRun {
		return report, planDelete(ctx, dest, refs, o, report)
	}
	err := store.Change(ctx, dest, "delete", o.LockWait, o.Now, o.Logger, func(c *store.Locked) error {
		report.Dest, report.Repairs = c.Store.Path, c.Repairs
		doomed, err := findDoomed(c.State, refs, o)
		if err != nil {
			return err
		}
		report.Deleted, err = c.DeleteAll(ctx, doomed, store.Removal{Force: o.Force, Progress: o.Progress})
		if err == nil && o.Wait && len(report.Deleted) > 0 {
			err = waitForSpace(ctx, c, doomed)
		}
		return err
	})
	return report, err
}

// planDelete reads DEST without locking or changing it.
func planDelete(ctx context.Context, dest string, refs []string, o DeleteOptions, report *DeleteReport) error {
	s, err := store.Open(dest)
	if err != nil {
		return err
	}
	defer s.Close()
	report.Dest = s.Path
	st, err := s.ReadState(time.Local)
	if err != nil {
		return fail.Step("read", err)
	}
	doomed, err := findDoomed(st, refs, o)
	if err != nil {
		return err
	}
	decisions := keepAll(st.Backups)
	for _, b := range doomed {
		if b.Unreadable == "" {
			mark(decisions, b.Name)
		}
	}
	m := &space.Measurer{Store: s, Hidden: st.Hidden}
	frees, known, err := m.Total(ctx, decisions)
	if err != nil {
		return fail.Step("measure space", err)
	}
	report.Deleted = store.BackupNames(doomed)
	known = known && !slices.ContainsFunc(doomed, func(b facts.Snapshot) bool { return b.Unreadable != "" })
	if known {
		report.Frees, report.AtMost = &frees, m.AtMost
	}
	return nil
}

func findDoomed(st *store.State, refs []string, o DeleteOptions) ([]facts.Snapshot, error) {
	doomed, err := findAll(st, refs)
	if err == nil && !o.Force {
		return doomed, fail.Step("refused", checkDoomed(doomed, st))
	}
	return doomed, fail.Step("find", err)
}

func findAll(st *store.State, refs []string) ([]facts.Snapshot, error) {
	var found []facts.Snapshot
	seen := map[string]bool{}
	for _, ref := range refs {
		b, err := store.Find(st.All(), ref)
		if err != nil {
			return nil, store.ExplainForeign(st, ref, err)
		}
		if !seen[b.Name] {
			seen[b.Name] = true
			found = append(found, b)
		}
	}
	return found, nil
}

// checkDoomed is pure. It refuses to delete the newest backup, which is the base of the next one, and the newest
// complete one, which is the best to restore from.
func checkDoomed(doomed []facts.Snapshot, st *store.State) error {
	all := st.All()
	newest, complete := &all[len(all)-1], st.NewestComplete()
	for _, b := range doomed {
		switch {
		case b.Pinned():
			return store.PinnedError(b.Name, b.Record)
		case b.Current && (complete == nil || b.Name != complete.Name):
			return fail.Kindf(facts.ErrGuard, "%s is the current backup", b.Name)
		case complete != nil && b.Name == complete.Name:
			return fail.Kindf(facts.ErrGuard, "%s is the newest complete backup", b.Name)
		case b.Name == newest.Name, st.Newest() != nil && b.Name == st.Newest().Name:
			return fail.Kindf(facts.ErrGuard, "%s is the newest backup", b.Name)
		}
	}
	return nil
}
