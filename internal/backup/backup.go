package backup

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/freeze"
	"github.com/rsbtbackup/rsbtbackup/internal/pending"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// A run is a chain of values. Each step takes the value of the step before it and returns the next one, which holds
// that value and what the step found out or did. The report is made from the last value, also if the run fails.
type (
	// opened is the locked DEST, with the options of the run.
	opened struct {
		o    Options
		dest *store.Store
		tell *say.Teller
	}
	// looked is what SRC is.
	looked struct {
		opened
		src *source.Source
	}
	// read is what DEST holds.
	read struct {
		looked
		state     *store.State
		newest    *facts.Snapshot // of the readable ones, or nil
		baseEmpty bool            // the newest backup is empty
	}
	// planned is what to do.
	planned struct {
		read
		plan *plan
	}
	// equipped is planned, with the rsync to run.
	equipped struct {
		planned
		program string
		version rsyncexec.Version
		frozen  *freeze.Snapshot // the snapshot that SRC is read from; nil: SRC itself is read
	}
	// filled is pending, prepared for rsync. The plan is the one by which it was filled.
	filled struct {
		equipped
		scanned
		work *os.File
		tree *pending.Prepared
		note store.WorkNote
	}
	// transferred is how rsync ended, and what is known about the source since.
	transferred struct {
		filled
		end   transfer.End
		known known
	}
	// judged is what to do with pending.
	judged struct {
		transferred
		verdict verdict
	}
	// published is the new backup.
	published struct {
		judged
		added *uint64
		scan  *facts.Scan
		name  string // empty if publishing failed
	}
)

// outcome is the last value of a run.
type outcome interface{ report() Report }

// Run makes one backup; see rsbtbackup.Backup. The report is never nil.
func Run(ctx context.Context, o Options) (*Report, error) {
	o = normalise(o, time.Now())
	report, err := run(ctx, o)
	report.Ended = time.Now().UTC()
	return &report, err
}

func run(ctx context.Context, o Options) (report Report, err error) {
	if err := o.check(); err != nil {
		return o.report(), fail.Step("options", err)
	}
	dest, err := store.OpenLocked(ctx, o.Dest, "backup", o.LockWait)
	if err != nil {
		return o.report(), err
	}
	defer func() { err = errors.Join(err, dest.Close()) }()
	dest.LockWait = o.LockWait
	if o.DryRun {
		return preview(ctx, opened{o, dest, &say.Teller{Log: store.LoggerOrSilence(o.Logger)}})
	}
	sink, log, err := dest.OpenLog(o.Logger)
	if err != nil {
		return opened{o, dest, &say.Teller{}}.report(), err
	}
	dest.KeepReserve()
	defer func() { dest.EndReserve(errors.Is(err, facts.ErrNoSpace)) }()
	defer store.CloseLog(sink, o.Logger)
	begun := opened{o, dest, &say.Teller{Log: log}}
	end, err := begun.backUp(ctx)
	report = end.report()
	logEnd(log, report, err)
	if o.Prune != nil && !report.Skipped && (err == nil || errors.Is(err, facts.ErrIncomplete)) {
		var pruneErr error
		report.Prune, pruneErr = begun.prune(ctx, sink)
		err = errors.Join(err, pruneErr)
	}
	return report, err
}

// backUp has the steps of the commit protocol in their order.
func (x opened) backUp(ctx context.Context) (end outcome, err error) {
	answer := x.probe(ctx)
	defer answer() //nolint:errcheck // a run that ends early waits for it to end, too
	looked, err := x.look()
	if err != nil {
		return x, err
	}
	read, err := looked.read()
	if err != nil {
		return looked, err
	}
	if err := read.guard(ctx); err != nil {
		return read, err
	}
	planned := read.decide()
	equipped, err := planned.equip(answer)
	if err != nil {
		return planned, err
	}
	if err := equipped.repair(ctx); err != nil {
		return equipped, err
	}
	equipped.logStart()
	if equipped, err = equipped.freeze(ctx); err != nil {
		return equipped, err
	}
	defer equipped.thaw()
	filled, err := equipped.begin(ctx)
	if err != nil {
		return filled.equipped, err
	}
	defer func() { err = errors.Join(err, filled.close()) }()
	transferred, err := filled.transfer(ctx)
	if err != nil {
		return transferred, filled.stopped(ctx, err)
	}
	judged := transferred.judge()
	if judged.verdict.err != nil {
		return judged, judged.abandon()
	}
	if why, err := judged.needed(ctx); err != nil {
		return judged, fail.Step("compare with the last backup", err)
	} else if why == "" {
		return judged.skip(ctx)
	} else if x.o.SkipUnchanged {
		x.tell.Log.Info("the backup is published", "why", why)
	}
	if err := judged.settle(ctx); err != nil {
		return judged, err
	}
	return judged.publish(ctx)
}
