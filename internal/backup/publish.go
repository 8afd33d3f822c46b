// Publishing: from the end of rsync to the backup, or to a pending that the next run can trust.

package backup

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/pending"
	"github.com/rsbtbackup/rsbtbackup/internal/prune"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// judge decides from the end of rsync and the state of the source.
func (x transferred) judge() judged {
	v := judge(x.end, x.circumstances(x.src.CheckLeftOut(x.work)))
	if v.notice != "" {
		x.tell.Notice(v.notice)
	}
	if text := x.drop(); v.err == nil && text != "" {
		x.tell.Notice(text)
	}
	return judged{x, v}
}

// drop warns about far more deleted files than usual.
func (x transferred) drop() string {
	base := x.plan.base
	if base == nil || base.Record == nil || base.Record.Stats == nil || x.end.Stats == nil {
		return ""
	}
	had, gone := base.Record.Stats.Files, x.end.Stats.Deleted
	if len(x.end.Unread.Paths) == 0 { // otherwise the others may be where rsync could not look
		gone = max(gone, had-x.end.Stats.Files)
	}
	if !isDrop(had, gone, x.state.Backups) {
		return ""
	}
	return fmt.Sprintf("%d of the %d files of the last backup, %s, are gone from SRC; to see which: rsbtbackup diff %s latest~1 latest", gone, had, base.Name, say.QuoteSome([]string{x.dest.Path}))
}

func (x transferred) circumstances(tookDest error) circumstances {
	return circumstances{
		src: x.src, gone: x.src.StillThere(), base: x.plan.base, newest: x.newest, baseEmpty: x.baseEmpty,
		maxDelete: x.plan.maxDelete, resumed: x.plan.work == store.WorkResume, tookDest: tookDest,
		refuse23: x.o.RefusePartial, force: x.o.Force,
	}
}

// abandon ends a run that publishes nothing. A pending that is kept is flushed, so that the next run can trust it.
func (x judged) abandon() error {
	err := fail.Step("transfer", x.verdict.err)
	if errors.Is(x.verdict.err, facts.ErrGuard) {
		err = fail.Step("refused", x.verdict.err)
	}
	switch {
	case x.dest.KeepLock: // some rsync still writes
		return err
	case x.verdict.drop:
		return errors.Join(err, x.discard())
	}
	x.tell.Log.Info("flushing what was copied, to be resumed")
	return errors.Join(err, x.keepPending())
}

// keepPending flushes pending for the next run, and notes how far that may trust it.
func (x filled) keepPending() error {
	if x.plan.unproven {
		return x.writtenOut()
	}
	if x.tree != nil { // otherwise pending is what it was
		x.note.Seen = x.keepCatalog()
	}
	return x.flush()
}

// keepCatalog keeps the catalog that pending was made ready for, if there is one.
func (x filled) keepCatalog() store.Seen {
	if x.walked == nil || x.unsure {
		return store.Seen{}
	}
	sum, err := x.walked.Finish(nil, nil)
	if err == nil {
		err = x.dest.KeepWorkCatalog()
	}
	if err != nil {
		x.tell.Log.Warn("the next run trusts sizes and times: the catalog of the source could not be stored", "error", err)
		return store.Seen{}
	}
	return store.Seen{Catalog: hex.EncodeToString(sum), Generations: x.walked.Generations}
}

// stopped handles an error before rsync. A resumed pending is kept if the run was only cancelled.
func (x filled) stopped(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || x.plan.work != store.WorkResume {
		return err
	}
	return errors.Join(err, x.keepPending())
}

// settle flushes pending and punches its holes. If this run has written no data, there is none that the disk can have
// refused, and the snapshot brings everything else.
func (x judged) settle(ctx context.Context) error {
	if written := !x.end.Result.Started.IsZero() || x.end.Stats.Transferred > 0 || x.patched.Written > 0; written {
		if err := x.flush(); err != nil {
			return err
		}
	}
	if err := x.punchHoles(ctx); err != nil {
		return fail.Step("punch holes", err)
	}
	if ctx.Err() != nil {
		return fail.Step("transfer", context.Cause(ctx))
	}
	return nil
}

// discard removes pending, if it is there, even if ctx is cancelled: it must not be resumed.
func (x opened) discard() error {
	return fail.Step("discard pending", at.IgnoreNotExist(x.dest.DiscardPending(context.Background(), store.PendingState{Kind: store.Subvolume}, x.o.Now)))
}

// flush flushes pending, or poisons and discards it.
func (x filled) flush() error {
	if err := x.writtenOut(); err != nil {
		return err
	}
	err := x.enter(store.PhaseSynced)
	if fail.IsFull(err) {
		// With the existing note the next run trusts pending less.
		x.tell.Log.Warn("no space to record that the backup is flushed", "error", err)
		return nil
	}
	return fail.Step("write the note of pending", err)
}

// writtenOut is flush without the note for the next run.
func (x filled) writtenOut() error {
	err := x.dest.Flush()
	if err == nil {
		return nil
	}
	err = fail.Step("flush", fmt.Errorf("the disk refused data of this backup, which is discarded: %w", err))
	poison := x.enter(store.PhasePoisoned)
	if discard := x.discard(); discard != nil {
		return errors.Join(err, discard, poison)
	}
	return err
}

// punchHoles keeps sparse files sparse; its writes must reach the disk too.
func (x judged) punchHoles(ctx context.Context) error {
	if x.plan.first() || x.o.WholeFiles {
		return nil // rsync made them
	}
	if s := x.end.Stats; x.plan.work == store.WorkSnapshot && s != nil && s.Literal+s.Matched < pending.HoleRange {
		return nil // there is no range as large as that
	}
	changed, err := pending.PunchHoles(ctx, x.work, x.src, x.plan.base.Generation, func() error { return x.enter(store.PhaseTransfer) })
	if err != nil || !changed {
		return err
	}
	return x.flush()
}

// publish makes pending a backup, points cur to it and cleans up. Once the record is written only an error stops it;
// before that pending is kept.
func (x judged) publish(ctx context.Context) (published, error) {
	p := published{judged: x, added: x.measure(), scan: x.keep()}
	name, err := x.dest.Publish(ctx, x.work, x.plan.naming, p.record())
	if fail.IsFull(err) && x.dest.UseReserve() {
		name, err = x.dest.Publish(ctx, x.work, x.plan.naming, p.record())
	}
	if err != nil {
		return p, fail.Step("publish", err)
	}
	p.name = name
	if x.verdict.status == facts.Complete {
		if err := x.dest.SetCur(name); err != nil {
			return p, fail.Step("point cur to "+name, err)
		}
	}
	if err := x.discard(); err != nil {
		// The backup exists; the next run removes what is left.
		x.tell.Notice(err.Error())
	}
	if x.verdict.status == facts.Incomplete {
		return p, fail.Step("transfer", p.incomplete())
	}
	return p, nil
}

// measure finds out how much space the backup adds. It is nil if unknown; that is no error.
func (x judged) measure() *uint64 {
	added, err := x.known.measured.Added(x.work, x.plan.since())
	if err != nil {
		x.tell.Notice(fmt.Sprintf("the space that the backup adds on disk is unknown: %v", err))
	}
	return added
}

// record is the record of the backup.
func (x published) record() facts.Record {
	host, err := os.Hostname()
	if err != nil {
		x.tell.Log.Warn("host name unknown", "error", err)
	}
	r := x.report()
	return facts.Record{
		Version: 1, Status: x.verdict.status,
		Source: x.src.Shown, SourceBytes: facts.InvalidUTF8(x.src.Shown), SourceFS: x.src.Identity, Mounts: x.src.Mounts, LeftOut: say.QuoteForJSON(x.src.Beyond), Host: host,
		Started: r.Started, Ended: time.Now().UTC(),
		Base: r.Base, Resumed: r.Resumed, Pending: x.note.WorkUUID, Rules: x.o.rules(),
		RsbtbackupVersion: x.o.Version, RsyncVersion: r.RsyncVersion,
		RsyncExit: r.RsyncExit, Stats: r.Stats, AddedBytes: x.added, Notices: r.Notices, Scan: x.scan, SnapshotAt: x.frozen.At().UTC(),
	}
}

// incomplete is the error of a backup published with something missing.
func (x published) incomplete() error {
	text := "rsync could not read everything"
	if c := x.end.Result.Complaints; len(c) > 0 {
		text += ": " + c[0] + say.AndMore(x.end.Failed)
	}
	return fail.Kindf(facts.ErrIncomplete, "%s is %w: %s", x.name, facts.ErrIncomplete, text)
}

// foreseePrune is what prune would decide after the backup. What its deletions would free is not known before.
func (x planned) foreseePrune(status facts.Status) (*prune.Report, error) {
	next := facts.Snapshot{Name: x.plan.naming.Name, Time: x.o.Now.Truncate(time.Second), Status: status}
	p := &prune.Report{Dest: x.dest.Path, DryRun: true, Decisions: prune.Foresee(x.state.Backups, next, x.o.Prune.Policy, x.o.Now)}
	var err error
	p.Free, p.Total, err = x.dest.Space()
	return p, fail.Step("measure space", err)
}

// prune runs after publishing, under the lock that is still held.
func (x opened) prune(ctx context.Context, sink *store.ActivityLog) (*prune.Report, error) {
	state, err := x.dest.ReadState(x.o.Now.Location())
	if err != nil {
		return &prune.Report{Dest: x.dest.Path}, fail.Step("prune", err)
	}
	c := &store.Locked{Store: x.dest, Sink: sink, Log: x.tell.Log, Now: x.o.Now, State: state}
	report, err := prune.Locked(ctx, c, *x.o.Prune)
	return report, fail.Step("prune", err)
}
