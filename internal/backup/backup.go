// Backup: the whole run, step by step. Each step has a file of its own:
// state.go reads, guard.go refuses, plan.go decides, repair.go cleans up,
// prepare.go and transfer.go fill pending, judge.go weighs rsync's end,
// commit.go publishes.

package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/pending"
	"github.com/rsbtbackup/rsbtbackup/internal/prune"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Progress is how far the transfer is; see rsyncexec.Progress.
type Progress = rsyncexec.Progress

// Options say what to back up, where to and how. Source and Dest are
// required; the zero value of everything else is a good default.
type Options struct {
	// Source is a local directory, host:/path, user@host:/path,
	// [v6::addr]:/path, host::module/path or rsync://host/module/path. Its
	// contents are backed up.
	Source string
	// Dest is a directory that Init has prepared.
	Dest string

	// WholeFiles makes rsync write a changed file anew and rename it into
	// place, instead of writing only the changed blocks into the old one.
	WholeFiles bool
	// Checksum compares every file by content, not by size and time.
	Checksum bool
	// OneFileSystem stays on the filesystem of Source; nested btrfs
	// subvolumes count as others, and are warned of.
	OneFileSystem bool
	// Filter, Exclude and ExcludeFrom are rules and files of rules as
	// rsync(1) reads them. Where DEST lies inside Source, each path to it must
	// be left out by name, such as with "/backup" in Exclude: see
	// DestInsideError.
	Filter, Exclude, ExcludeFrom []string
	Bwlimit                      string // as rsync's --bwlimit
	Rsh                          string // as rsync's --rsh
	// Timeout ends the run when nothing was transferred for so long. 0 is 30
	// minutes for a remote source whose files are compared by size and time, no
	// limit otherwise: rsync is silent while it reads a file to compare it.
	Timeout time.Duration
	// RsyncArgs are further options for rsync; those that would break the
	// layout or make a backup that is no copy are refused.
	RsyncArgs []string
	// RsyncProgram is the rsync to run; empty looks it up in PATH.
	RsyncProgram string

	// RefusePartial keeps a transfer that could not read everything (rsync
	// exit 23) pending, instead of publishing it as incomplete.
	RefusePartial bool
	// MaxDeletePercent stops the run when more than this share of the files
	// in the last backup is gone from Source; 0 does not, unless that was made
	// from another Source: then more than half of them stop it.
	MaxDeletePercent int
	// Force overrides the guards. A Dest inside Source is left out unasked.
	Force bool

	// Prune, if set, is run after publishing, and only then. Its DryRun,
	// LockWait, Now and Logger are those of the backup. A dry run foresees
	// what its Policy would delete.
	Prune *prune.Options

	// DryRun reports what would be transferred and changes nothing.
	DryRun bool
	// Changes, if set, is told in a dry run of every entry that would differ
	// from that in the newest backup, or in the unfinished one to be resumed.
	Changes func(rsyncexec.Change)
	// LockWait is how long to wait for another run; 0 fails at once. The records, if
	// locked, are waited for a minute by default, and ten at least for publishing.
	LockWait time.Duration

	Now      time.Time    // the time the backup is named after; zero is the present
	Logger   *slog.Logger // nil is silence; activity.log is written either way
	Progress func(rsyncexec.Progress)
	// Version of the calling program, for the record.
	Version string
}

// Run makes one backup of o.Source in o.Dest. When it returns nil, the
// backup is complete, cur names it, and both survive an immediate power cut.
// With ErrIncomplete it is published too, but rsync could not read everything.
// With any other error earlier backups are untouched, and nothing was published
// unless the report has a name: then the backup is there, and what failed came
// after it. What was transferred but not published is kept for the next run
// where it can be trusted.
//
// Other errors match ErrUsage, ErrDest, ErrNotBtrfs, ErrNotInitialized,
// ErrLocked, ErrSource, ErrGuard, ErrNoSpace, context.Cause(ctx), or carry an
// *rsyncexec.ExitError. The report is never nil.
//
// Several backups, to different destinations, may run in one process.
func Run(ctx context.Context, o Options) (*Report, error) {
	r := &run{o: o, report: &Report{Source: o.Source, Dest: o.Dest}}
	err := r.backup(ctx)
	r.report.Ended = time.Now().UTC()
	return r.report, err
}

// run is one backup under way.
type run struct {
	o      Options
	report *Report
	store  *store.Store
	sink   *store.ActivityLog
	log    *slog.Logger
	src    *source.Source
	state  *store.State
	plan   *plan
	note   store.WorkNote
	// version of the rsync that was found; zero in a dry run.
	version rsyncexec.Version
	// baseEmpty: the newest backup holds nothing.
	baseEmpty bool
	// failed is how many files rsync complained of.
	failed int
}

func (r *run) backup(ctx context.Context) (err error) {
	if err := r.checkOptions(); err != nil {
		return fail.Step("options", err)
	}
	if r.store, err = store.OpenLocked(ctx, r.o.Dest, "backup", r.o.LockWait); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.store.Close()) }()
	r.store.LockWait = r.o.LockWait
	r.report.Dest = r.store.Path
	if r.o.DryRun {
		r.log = store.LoggerOrSilence(r.o.Logger)
		return r.dryRun(ctx)
	}
	sink, log, err := r.store.OpenLog(r.o.Logger)
	if err != nil {
		return err
	}
	r.sink, r.log = sink, log
	err = r.make(ctx)
	r.logEnd(err)
	if r.o.Prune != nil && (err == nil || errors.Is(err, facts.ErrIncomplete)) {
		err = errors.Join(err, r.prune(ctx))
	}
	store.CloseLog(sink, r.o.Logger)
	return err
}

// make is the commit protocol, in its order.
func (r *run) make(ctx context.Context) (err error) {
	if err := r.look(); err != nil {
		return err
	}
	if err := r.read(); err != nil {
		return err
	}
	if err := r.src.CheckDirRules(ctx, r.o.OneFileSystem, r.o.Filter, r.o.RsyncArgs); err != nil {
		return fail.Step("source", err)
	}
	// A missing rsync is noticed before DEST is touched.
	if r.o.RsyncProgram, r.version, err = rsyncexec.Probe(ctx, r.o.RsyncProgram); err != nil {
		return fail.Step("transfer", err)
	}
	if err := r.repair(ctx); err != nil {
		return err
	}
	r.log.Info("backup started", "source", r.src.Shown, "dest", r.store.Path, "name", r.plan.naming.Name, "base", r.report.Base, "resumed", r.report.Resumed)
	pending, tree, err := r.begin(ctx)
	if err != nil {
		return err
	}
	defer pending.Close()
	end, err := r.transfer(ctx, pending, tree)
	if err != nil {
		return err
	}
	v := r.judge(end)
	if v.err == nil {
		if err := r.src.CheckLeftOut(pending); err != nil {
			v = verdict{err: err, drop: true}
		}
	}
	if v.err != nil {
		return r.abandon(v)
	}
	if err := r.flush(); err != nil {
		return err
	}
	if err := r.punchHoles(ctx, pending); err != nil {
		return fail.Step("punch holes", err)
	}
	if ctx.Err() != nil {
		return fail.Step("transfer", context.Cause(ctx))
	}
	return r.commit(ctx, pending, v)
}

// checkOptions refuses what could never work, before anything is opened.
func (r *run) checkOptions() error {
	o := &r.o
	if o.MaxDeletePercent < 0 || o.MaxDeletePercent > 100 {
		return fail.Kindf(facts.ErrUsage, "max-delete-percent %d: want 0 to 100", o.MaxDeletePercent)
	}
	if err := rsyncexec.CheckExtra(o.RsyncArgs); err != nil {
		return fail.Kind(facts.ErrUsage, err)
	}
	if err := source.CheckRules(o.Filter, o.ExcludeFrom, o.RsyncArgs); err != nil {
		return err
	}
	spec, err := rsyncexec.ParseSource(o.Source)
	if err != nil {
		return fail.Kindf(facts.ErrUsage, "SRC: %w", err)
	}
	if spec.Kind == rsyncexec.Local && rsyncexec.RemoteOptionAsked(o.RsyncArgs) {
		// rsync 3.2.7 then writes to a directory of a random name, and exits 0.
		return fail.Kindf(facts.ErrUsage, "--remote-option is for a remote SRC: in a local copy there is no other end")
	}
	if o.Prune != nil {
		if err := o.Prune.Check(); err != nil {
			return err
		}
	}
	if rsyncexec.DryRunAsked(o.RsyncArgs) {
		o.DryRun = true
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	r.report.Started, r.report.DryRun = o.Now.UTC(), o.DryRun
	return nil
}

// look finds out what SRC is.
func (r *run) look() (err error) {
	if r.src, err = source.Describe(r.o.Source, r.store.Path, r.store.Dir, source.Mark{Marker: store.MarkerPath, Holder: store.HolderPath}); err != nil {
		return fail.Step("source", err)
	}
	r.report.Source = r.src.Shown
	return nil
}

// read looks at DEST, asks the guards and makes the plan.
func (r *run) read() (err error) {
	if r.state, err = r.store.ReadState(r.o.Now.Location()); err != nil {
		return fail.Step("read", err)
	}
	newest, err := r.findNewest()
	if err != nil {
		return fail.Step("read", err)
	}
	leftOut := rsyncexec.LeftOut(r.o.Filter, r.o.Exclude, r.o.RsyncArgs)
	r.src.LeaveOut(r.o.OneFileSystem, leftOut)
	if err := r.compareMounts(newest, leftOut); err != nil {
		return fail.Step("read", err)
	}
	if err := checkGuards(guardInput{
		src: r.src, newest: newest, baseEmpty: r.baseEmpty, oneFS: r.o.OneFileSystem,
		leftOut: leftOut, force: r.o.Force,
	}); err != nil {
		return fail.Step("guard", err)
	}
	if r.o.MaxDeletePercent == 0 && (otherSource(newest, r.src) || otherFilesystem(newest, r.src)) {
		r.o.MaxDeletePercent = otherSourceDeletes
	}
	r.decide()
	return nil
}

// compareMounts compares what is mounted below SRC with what was at the newest
// backup. Of one that was made from another source, on one filesystem, or by an
// older version nothing is known.
func (r *run) compareMounts(newest *facts.Snapshot, leftOut []string) error {
	if r.o.OneFileSystem || !r.src.Local() || newest == nil || newest.Record == nil || newest.Record.Mounts == nil || newest.Record.SourceName() != r.src.Shown {
		return nil
	}
	base, err := at.OpenDir(r.store.Dir, newest.Name)
	if err != nil {
		return err
	}
	defer base.Close()
	changed, err := source.ChangedMounts(newest.Record.Mounts, r.src.Mounts, base, r.src.Spec.Path)
	r.src.Changed = slices.DeleteFunc(changed, func(c source.ChangedMount) bool { return source.IsLeftOut(c.Path, leftOut) })
	return err
}

// decide makes the plan from what was read.
func (r *run) decide() {
	r.plan = makePlan(r.state, r.src, r.o.Now, r.o.MaxDeletePercent > 0 && !r.o.Force)
	r.plan.checksum = r.plan.checksum || r.o.Checksum
	if r.plan.base != nil {
		r.report.Base = r.plan.base.Name
	}
	r.report.Resumed = r.plan.work == store.WorkResume
}

// findNewest returns the newest backup that can be listed, which the guards and
// the plan go by. Of those that are damaged there is nothing to be had.
func (r *run) findNewest() (newest *facts.Snapshot, err error) {
	for newest = r.state.Newest(); newest != nil; newest = r.state.Newest() {
		r.baseEmpty, err = r.store.IsEmpty(newest.Name)
		if !btrfs.IsDamage(err) {
			break
		}
		r.state.SetAside(*newest, err)
	}
	if lost := r.state.Broken; r.state.BrokenSince(newest) && errors.Is(lost[len(lost)-1].WhyNot, fs.ErrPermission) {
		return nil, store.Unreadable(lost[len(lost)-1]) // it is intact, and what the next one must go on from
	}
	return newest, err
}

// noticeBroken tells what the run did not go on from.
func (r *run) noticeBroken() {
	for _, b := range r.state.Broken {
		text := fmt.Sprintf("%s is damaged, nothing in it can be read", b.Name)
		if errors.Is(b.WhyNot, fs.ErrPermission) {
			text = store.Unreadable(b).Error()
		}
		if base := r.state.Newest(); base != nil && store.Younger(b, *base) {
			text += ": this backup goes on from " + base.Name
		}
		r.notice(text)
	}
}

// repair puts DEST right for this run.
func (r *run) repair(ctx context.Context) (err error) {
	if r.report.Repairs, err = r.store.Repair(ctx, r.state, r.o.Now, r.log); err != nil {
		return fail.Step("repair", err)
	}
	r.state.WarnOfHidden(r.log)
	r.noticeBroken()
	if r.plan.why != "" {
		r.log.Log(ctx, r.plan.level(), r.plan.said())
		r.report.Repairs = append(r.report.Repairs, r.plan.said())
	}
	if newest := r.state.Newest(); store.MetadataDamaged(newest) {
		r.notice(fmt.Sprintf("metadata of the last backup, %s, is known to be damaged: everything is copied anew, and shares no space with it", newest.Name))
	}
	switch base := r.plan.base; {
	case otherFilesystem(base, r.src):
		r.notice(fmt.Sprintf("%s is on another filesystem than at the last backup, %s: contents are compared", r.src.Shown, base.Name))
	case len(r.src.Changed) > 0:
		r.notice(source.MountChanges(r.src.Changed))
	case sourceChanged(base, r.src):
		r.notice(fmt.Sprintf("the last backup, %s, was made from another source, %q on %s: contents are compared", r.plan.base.Name, r.plan.base.Record.SourceName(), r.plan.base.Record.Host))
	}
	if r.plan.discard {
		if err := r.store.DiscardPending(ctx, r.state.Pending.Kind, r.o.Now); err != nil {
			return fail.Step("discard pending", err)
		}
	}
	return r.waitForSpace(ctx, false)
}

// soonFull is as much as rsync may write before the kernel's cleaner, which
// wakes every half a minute, has begun with what was deleted.
const soonFull = 16 << 30

// waitForSpace lets what was deleted, by whomever, give its space back before
// it is needed: where little is left, or always.
func (r *run) waitForSpace(ctx context.Context, always bool) error {
	free, total, err := r.store.Space()
	if err != nil {
		return fail.Step("measure", err)
	}
	if !always && free >= min(total/10, soonFull) {
		return nil
	}
	r.log.Info("the disk is nearly full: waiting for the space of what was deleted", "free", humanize.Bytes(free))
	held, err := btrfs.WaitDeleted(ctx, r.store.Dir)
	if err == nil && len(held) > 0 {
		r.log.Warn("the space of deleted subvolumes is not free before every program that uses them lets go", "subvolumes", len(held))
	}
	return fail.Step("wait for space", err)
}

// begin makes or resumes pending and prepares it. What an earlier run has left
// may fill the disk, so that there is not even room to go on with it, and less:
// no run would ever get further. Then it is given up.
func (r *run) begin(ctx context.Context) (*os.File, *pending.Prepared, error) {
	pending, tree, err := r.fill(ctx)
	for n := 0; btrfs.IsDamage(err) && !errors.Is(err, facts.ErrSource) && r.plan.base != nil; n++ {
		pending, tree, err = r.stepBack(ctx, err, n)
	}
	if !fail.IsFull(err) || r.plan.work != store.WorkResume && !r.plan.discard {
		return pending, tree, err
	}
	full, resumed := err, r.plan.work == store.WorkResume
	if err := r.discard(); err != nil {
		return nil, nil, err
	}
	err = r.waitForSpace(ctx, true)
	if resumed { // said only now, when the log has room
		const text = "an unfinished backup was removed: it filled the disk, and is begun anew"
		r.log.Warn(text, "error", full)
		r.report.Repairs = append(r.report.Repairs, text)
	}
	if err != nil {
		return nil, nil, err
	}
	r.state.Pending = store.PendingState{}
	r.decide()
	return r.fill(ctx)
}

// maxStepsBack bounds how many backups with one lost block in common are tried.
const maxStepsBack = 8

// stepBack goes on from an older backup than the one whose damage was met in
// what was made from it, at last from none.
func (r *run) stepBack(ctx context.Context, met error, steps int) (*os.File, *pending.Prepared, error) {
	lost := *r.plan.base
	r.state.SetAside(lost, met)
	if err := r.discard(); err != nil {
		return nil, nil, errors.Join(met, err)
	}
	if steps == maxStepsBack {
		for _, b := range slices.Clone(r.state.Backups) {
			r.state.SetAside(b, met)
		}
	}
	if _, err := r.findNewest(); err != nil {
		return nil, nil, fail.Step("read", err)
	}
	r.state.Pending = store.PendingState{}
	r.decide()
	text := fmt.Sprintf("%s is damaged, so this backup does not go on from it (%v)", lost.Name, met)
	if r.plan.base == nil {
		text += ": everything is copied anew"
	}
	r.notice(text)
	return r.fill(ctx)
}

func (r *run) fill(ctx context.Context) (*os.File, *pending.Prepared, error) {
	pending, err := r.open()
	if err != nil {
		return nil, nil, err
	}
	tree, err := r.prepare(ctx, pending)
	if err != nil {
		return nil, nil, errors.Join(err, pending.Close())
	}
	return pending, tree, nil
}

// open makes or resumes pending and notes who writes to it from here on.
func (r *run) open() (*os.File, error) {
	pending, err := r.store.MakePending(r.plan.work, r.plan.baseName())
	if err != nil {
		return nil, fail.Step("make pending", err)
	}
	info, err := btrfs.SubvolumeInfo(pending)
	if err == nil {
		r.note = store.WorkNote{WorkUUID: info.UUID.String(), Instance: r.state.Instance, Source: strconv.Quote(r.src.Shown), Root: r.src.Root()}
		err = r.enter(store.PhaseTransfer)
	}
	if err != nil {
		return nil, fail.Step("make pending", errors.Join(err, pending.Close()))
	}
	return pending, nil
}

func (r *run) enter(phase store.WorkPhase) error {
	r.note.Phase = phase
	return r.store.WriteWorkNote(r.note)
}

// judge weighs the end of the transfer and the state of the source.
func (r *run) judge(end transfer.End) verdict {
	end.Gone = r.src.StillThere()
	end.Remote = !r.src.Local()
	end.Refuse23 = r.o.RefusePartial
	end.Based = r.plan.base != nil
	end.Resumed = r.plan.work == store.WorkResume
	v := judge(end)
	if v.err == nil {
		if err := emptied(r.src, end.Result.Stats.Files, r.state.Newest(), r.baseEmpty, r.o.Force); err != nil {
			v = verdict{err: err, drop: true}
		}
	}
	if errors.Is(v.err, errMaxDelete) {
		v.err = tooManyDeletes(r.src, r.plan.base, r.o.MaxDeletePercent)
	}
	if v.notice != "" {
		r.notice(v.notice)
	}
	return v
}

func (r *run) notice(text string) {
	r.report.Notices = append(r.report.Notices, text)
	r.log.Warn(text)
}

// abandon ends a run that publishes nothing. What is kept of it is made
// durable, so that the next run can trust it.
func (r *run) abandon(v verdict) error {
	err := fail.Step("transfer", v.err)
	if errors.Is(v.err, facts.ErrGuard) {
		err = fail.Step("guard", v.err)
	}
	switch {
	case r.store.KeepLock: // some rsync still writes
		return err
	case v.drop:
		return errors.Join(err, r.discard())
	}
	r.log.Info("making durable what was copied, to resume from")
	return errors.Join(err, r.flush())
}

// discard removes pending, if it is there, whatever becomes of ctx: it must not
// be resumed.
func (r *run) discard() error {
	return fail.Step("discard pending", at.IgnoreNotExist(r.store.DiscardPending(context.Background(), store.Subvolume, r.o.Now)))
}

// flush makes pending durable, or poisons and discards it.
func (r *run) flush() error {
	if err := r.store.Flush(); err != nil {
		err = fail.Step("flush", fmt.Errorf("the disk refused data of this backup, which is discarded: %w", err))
		poison := r.enter(store.PhasePoisoned)
		if discard := r.discard(); discard != nil {
			return errors.Join(err, discard, poison)
		}
		return err
	}
	err := r.enter(store.PhaseSynced)
	if fail.IsFull(err) {
		// The note that stands has the next run trust pending less.
		r.log.Warn("no room to note that it is durable", "error", err)
		return nil
	}
	return fail.Step("note", err)
}

// punchHoles keeps sparse files sparse; what it wrote must reach the disk too.
func (r *run) punchHoles(ctx context.Context, work *os.File) error {
	if r.plan.first() || r.o.WholeFiles {
		return nil // rsync made them
	}
	changed, err := pending.PunchHoles(ctx, work, r.src, r.plan.base.Generation, func() error { return r.enter(store.PhaseTransfer) })
	if err != nil || !changed {
		return err
	}
	return r.flush()
}

// commit publishes pending, lets cur name it and cleans up. From the record
// on nothing stops it but an error; until then pending is kept.
func (r *run) commit(ctx context.Context, pending *os.File, v verdict) error {
	r.measure(pending)
	name, err := r.store.Publish(ctx, pending, r.plan.naming, r.record(v))
	if err != nil {
		return fail.Step("publish", err)
	}
	r.report.Name, r.report.Status = name, v.status
	if v.status == facts.Complete {
		if err := r.store.SetCur(name); err != nil {
			return fail.Step("point cur to "+name, err)
		}
	}
	if err := r.discard(); err != nil {
		// The backup is there; the next run removes what is left.
		r.notice(err.Error())
	}
	if v.status == facts.Incomplete {
		return fail.Step("transfer", r.incomplete())
	}
	return nil
}

// foreseePrune is what prune would decide with the backup there that a dry run
// does not make. What its deletions would free is not known before that is there.
func (r *run) foreseePrune(status facts.Status) (err error) {
	next := facts.Snapshot{Name: r.plan.naming.Name, Time: r.o.Now.Truncate(time.Second), ID: math.MaxUint64, Status: status}
	p := &prune.Report{Dest: r.store.Path, DryRun: true}
	for _, d := range prune.Decide(append(slices.Clone(r.state.Backups), next), r.o.Prune.Policy, r.o.Now) {
		if d.Name != next.Name {
			p.Decisions = append(p.Decisions, d)
		}
	}
	p.Free, p.Total, err = r.store.Space()
	r.report.Prune = p
	return fail.Step("measure", err)
}

// prune runs after publishing, under the lock that is still held.
func (r *run) prune(ctx context.Context) (err error) {
	r.report.Prune = &prune.Report{}
	c := &store.Locked{Store: r.store, Sink: r.sink, Log: r.log, Now: r.o.Now}
	if c.State, err = r.store.ReadState(r.o.Now.Location()); err == nil {
		err = prune.Locked(c, ctx, *r.o.Prune, r.report.Prune)
	}
	return fail.Step("prune", err)
}
