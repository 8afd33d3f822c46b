// Skipping: a run that found nothing new publishes nothing, if asked for.

package backup

import (
	"context"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/changed"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// skipped is a run that published nothing because nothing has changed.
type skipped struct {
	judged
	scan *facts.Scan
}

// needed says why a backup must be published; empty if it would equal the last one.
func (x judged) needed(ctx context.Context) (why string, err error) {
	if !x.o.SkipUnchanged {
		return "it was asked for", nil
	}
	run := changed.Run{
		Base: x.plan.base, Resumed: x.plan.work != store.WorkSnapshot, Status: x.verdict.status, Clean: x.end.Err == nil,
		OtherSource: x.src.IsChanged(x.plan.base), Rules: x.o.rules(), LeftOut: say.QuoteForJSON(x.src.Beyond),
		Doubt: x.state.Doubt != "" || x.state.BrokenSince(x.plan.base),
	}
	if x.end.Stats != nil {
		run.Literal, run.Deleted = x.end.Stats.Literal, x.end.Stats.Deleted
	}
	why = changed.Why(run)
	if why != "" || !x.scanned.full() && x.scanned.list.Empty() {
		return why, nil
	}
	base, err := at.OpenDir(x.dest.Dir, x.plan.baseName())
	if err != nil {
		return "", err
	}
	defer base.Close()
	return changed.Compare(ctx, base, x.work, x.mayDiffer()), nil
}

// mayDiffer is the part of pending that rsync looked at; nil if that is everything.
func (x filled) mayDiffer() *changed.Part {
	if x.scanned.full() || len(x.list.Fresh) > 0 {
		return nil
	}
	// rsync sends the attributes of ways, too.
	return &changed.Part{Dirs: x.list.Dirs, Names: slices.Concat(x.list.Names, x.list.Ways())}
}

// skip only notes in the record of the last backup that nothing has changed.
func (x judged) skip(ctx context.Context) (skipped, error) {
	s := skipped{judged: x, scan: x.keep()}
	scan := *s.scan
	if scan.Catalog == "" && x.plan.base.Record.Scan != nil {
		scan.Catalog = x.plan.base.Record.Scan.Catalog // it is still valid
	}
	err := x.dest.WriteUnchanged(ctx, *x.plan.base, x.o.Now, &scan)
	if err := x.discard(); err != nil {
		x.tell.Notice(err.Error()) // the next run removes it
	}
	return s, fail.Step("record that nothing has changed", err)
}

func (x skipped) report() Report {
	r := x.judged.report()
	r.Skipped, r.Scan = true, x.scan
	return r
}
