// Restore: restoring a backup, or parts of it, with rsync, after a reflink copy if the target is on the filesystem of
// DEST.

package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/reflink"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// A restore is a chain of values. Each step takes the value of the step before it and makes the next one; the report is
// made from the last value.
type (
	// asked is what the user wants. paths are clean, none below another; no paths mean everything.
	asked struct {
		o     Options
		paths []string
		tell  *say.Teller
	}
	// opened is the backup, and how it was made.
	opened struct {
		asked
		view   *store.View
		stored rsyncexec.Stored
	}
	// aimed adds the target.
	aimed struct {
		opened
		target *target
	}
	// cleared is a target that is ready for rsync: what must stay is known, obstacles are removed.
	cleared struct {
		aimed
		open   []string // the paths that rsync restores
		stay   []string // below the target, what rsync must not touch
		barred []string // those of them that block more than themselves, as messages
	}
	// copied is what was restored.
	copied struct {
		cleared
		reflinked *facts.ReflinkStats // nil if nothing was
		end       transfer.End        // the zero value if rsync was not run
	}
)

// outcome is the last value of a restore.
type outcome interface{ report() Report }

// Run restores; see rsbtbackup.Restore. The report is never nil.
func Run(ctx context.Context, o Options) (*Report, error) {
	started := time.Now().UTC()
	got, err := run(ctx, o)
	report := got.report()
	report.Start, report.End = started, time.Now().UTC()
	return &report, err
}

func run(ctx context.Context, o Options) (got outcome, err error) {
	paths, err := o.check()
	asked := asked{o, paths, &say.Teller{Log: store.LoggerOrSilence(o.Logger)}}
	if err != nil {
		return asked, fail.Step("options", err)
	}
	view, err := store.OpenView(o.Dest, o.Backup)
	if err != nil {
		return asked, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	opened := opened{asked, view, source.StoredAs(view.Snap)}
	if err := opened.checkPaths(); err != nil {
		return opened, fail.Step("find", err)
	}
	if err := opened.checkDelete(); err != nil {
		return opened, fail.Step("refused", err)
	}
	if err := opened.noticeFake(); err != nil {
		return opened, fail.Step("read", view.Explain(err))
	}
	target, err := opened.openTarget(ctx)
	if err != nil {
		return opened, fail.Step("target", err)
	}
	defer func() { err = errors.Join(err, target.close()) }()
	return aimed{opened, target}.restore(ctx)
}

// restore copies, and then asks whether the data has reached the disk: rsync only writes to the page cache.
func (x aimed) restore(ctx context.Context) (copied, error) {
	done, err := x.copy(ctx)
	if err == nil || errors.Is(err, facts.ErrIncomplete) {
		err = errors.Join(err, fail.Step("check times", done.noticeTimes(ctx)), fail.Step("check names", done.checkNames(ctx)))
	}
	started := done.reflinked != nil || !done.end.Result.Started.IsZero()
	if x.o.DryRun || !started || err != nil && ctx.Err() != nil {
		return done, err
	}
	refused := x.target.flush()
	if refused == nil {
		return done, err
	}
	if err != nil {
		refused = fmt.Errorf("%w; before that: %v", refused, err) // nothing is certainly restored
	}
	return done, fail.Step("flush", refused)
}

// leftAlone reports whether paths were asked for, and all of them stay as they are in the target.
func (x cleared) leftAlone() bool { return len(x.paths) > 0 && len(x.open) == 0 }

// copy copies by reflink what it can. rsync does the rest, and reports what failed.
func (x aimed) copy(ctx context.Context) (copied, error) {
	done := copied{cleared: cleared{aimed: x, open: x.paths}}
	if x.reflinkFits() {
		shared, err := x.reflink(ctx)
		if n := shared.Stats; reflink.Entries(n) > 0 {
			done.reflinked = &n
		}
		if err != nil {
			return done, fail.Step("copy", x.view.Explain(err))
		}
		if !shared.Left {
			return done, fail.Step("copy", x.view.Gone())
		}
	}
	way, err := x.prepare(ctx)
	done.cleared = way
	if err != nil {
		return done, fail.Step("compare with the target", x.view.Explain(err))
	}
	if way.leftAlone() { // rsync has nothing to do
		if len(way.barred) == 0 || x.o.DryRun {
			return done, nil
		}
		return done, fail.Step("compare with the target", done.incomplete(way.barred...))
	}
	way, end, lookErr := way.transfer(ctx)
	done.cleared, done.end = way, end
	if end.WholeSeconds() {
		x.tell.Notice(fmt.Sprintf("the rsync at %s is older than 3.1 (protocol %d), which drops fractions of seconds: --overwrite=if-changed will treat each such file as changed", x.target.shown, end.Protocol))
	}
	for _, text := range end.UnheldTexts("") {
		x.tell.Notice(text)
	}
	err = done.judge()
	if gone := x.view.Gone(); gone != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w; %s is not complete", gone, x.target.shown)
	}
	return done, errors.Join(fail.Step("transfer", err), fail.Step("check ACLs", x.view.Explain(lookErr)))
}

// checkPaths looks each path up without following symlinks: a file behind a symlink has another path, and rsync would
// restore it under this one.
func (x opened) checkPaths() error {
	for _, path := range x.paths {
		dir, err := at.OpenBeneath(x.view.Root, filepath.Dir(path))
		if err == nil {
			_, err = at.Stat(dir, filepath.Base(path))
			err = errors.Join(err, dir.Close())
		}
		switch {
		case err == nil:
		case errors.Is(err, unix.ELOOP):
			return fail.Kindf(facts.ErrNoPath, "%q in %s: one of its parents is a symlink; give the path that it leads to", path, x.view.Snap.Name)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
			return x.view.Explain(fail.Kindf(facts.ErrNoPath, "%q is not in %s", path, x.view.Snap.Name))
		default:
			return x.view.Explain(err)
		}
	}
	return nil
}
