// The dry run.

package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/freeze"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
)

// preview is a dry run: it compares the source with the base of a backup, and writes nothing.
func preview(ctx context.Context, x opened) (Report, error) {
	looked, err := x.look()
	if err != nil {
		return x.report(), err
	}
	read, err := looked.read()
	if err != nil {
		return looked.report(), err
	}
	if err := errors.Join(read.guard(ctx), read.findMarked(ctx), fail.Step("take snapshot of SRC", freeze.Foresee(read.src, read.freezeOptions()))); err != nil {
		return read.report(), err
	}
	planned := read.decide()
	opts := rsyncOptions(x.o, planned.plan, planned.src, 0)
	opts.DryRun, opts.Changes = true, x.o.Changes
	opts.ExtraFiles = []*os.File{x.dest.Dir}
	opts.Dest = filepath.Join(source.Inherited, planned.plan.against(x.dest.PendingName()))
	end := transferred{filled: filled{equipped: equipped{planned: planned}}, end: planned.run(ctx, opts)}
	verdict := judge(end.end, end.circumstances(nil))
	if verdict.notice != "" {
		x.tell.Notice(verdict.notice)
	}
	report := end.report()
	if verdict.err == nil && x.o.Prune != nil {
		report.Prune, err = planned.foreseePrune(verdict.status)
		return report, err
	}
	return report, fail.Step("transfer", verdict.err)
}
