// Backup: the whole run, step by step. Each step has a file of its own:
// state.go reads, guard.go refuses, plan.go decides, repair.go cleans up,
// prepare.go and transfer.go fill pending, judge.go weighs rsync's end,
// commit.go publishes.

package rsbtbackup

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
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Progress is how far the transfer is; see rsyncexec.Progress.
type Progress = rsyncexec.Progress

// BackupOptions say what to back up, where to and how. Source and Dest are
// required; the zero value of everything else is a good default.
type BackupOptions struct {
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
	Prune *PruneOptions

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

// Backup makes one backup of o.Source in o.Dest. When it returns nil, the
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
func Backup(ctx context.Context, o BackupOptions) (*Report, error) {
	r := &run{o: o, report: &Report{Source: o.Source, Dest: o.Dest}}
	err := r.backup(ctx)
	r.report.Ended = time.Now().UTC()
	return r.report, err
}

// run is one backup under way.
type run struct {
	o      BackupOptions
	report *Report
	store  *store
	sink   *activityLog
	log    *slog.Logger
	src    *source
	state  *state
	plan   *plan
	note   workNote
	// version of the rsync that was found; zero in a dry run.
	version rsyncexec.Version
	// baseEmpty: the newest backup holds nothing.
	baseEmpty bool
	// failed is how many files rsync complained of.
	failed int
}

func (r *run) backup(ctx context.Context) (err error) {
	if err := r.checkOptions(); err != nil {
		return step("options", err)
	}
	if r.store, err = openLocked(ctx, r.o.Dest, "backup", r.o.LockWait); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.store.close()) }()
	r.store.lockWait = r.o.LockWait
	r.report.Dest = r.store.path
	if r.o.DryRun {
		r.log = loggerOrSilence(r.o.Logger)
		return r.dryRun(ctx)
	}
	sink, log, err := r.store.openLog(r.o.Logger)
	if err != nil {
		return err
	}
	r.sink, r.log = sink, log
	err = r.make(ctx)
	r.logEnd(err)
	if r.o.Prune != nil && (err == nil || errors.Is(err, ErrIncomplete)) {
		err = errors.Join(err, r.prune(ctx))
	}
	closeLog(sink, r.o.Logger)
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
	// A missing rsync is noticed before DEST is touched.
	if r.o.RsyncProgram, r.version, err = rsyncexec.Probe(ctx, r.o.RsyncProgram); err != nil {
		return step("transfer", err)
	}
	if err := r.repair(ctx); err != nil {
		return err
	}
	r.log.Info("backup started", "source", r.src.shown, "dest", r.store.path, "name", r.plan.naming.name, "base", r.report.Base, "resumed", r.report.Resumed)
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
		if err := r.src.checkLeftOut(pending); err != nil {
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
		return step("punch holes", err)
	}
	if ctx.Err() != nil {
		return step("transfer", context.Cause(ctx))
	}
	return r.commit(ctx, pending, v)
}

// checkOptions refuses what could never work, before anything is opened.
func (r *run) checkOptions() error {
	o := &r.o
	if o.MaxDeletePercent < 0 || o.MaxDeletePercent > 100 {
		return failf(ErrUsage, "max-delete-percent %d: want 0 to 100", o.MaxDeletePercent)
	}
	if err := rsyncexec.CheckExtra(o.RsyncArgs); err != nil {
		return kindError{ErrUsage, err}
	}
	if err := checkRules(o.Filter, o.ExcludeFrom, o.RsyncArgs); err != nil {
		return err
	}
	spec, err := rsyncexec.ParseSource(o.Source)
	if err != nil {
		return failf(ErrUsage, "SRC: %w", err)
	}
	if spec.Kind == rsyncexec.Local && rsyncexec.RemoteOptionAsked(o.RsyncArgs) {
		// rsync 3.2.7 then writes to a directory of a random name, and exits 0.
		return failf(ErrUsage, "--remote-option is for a remote SRC: in a local copy there is no other end")
	}
	if o.Prune != nil {
		if err := o.Prune.check(); err != nil {
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
	if r.src, err = describeSource(r.o.Source, r.store.path, r.store.dir); err != nil {
		return step("source", err)
	}
	r.report.Source = r.src.shown
	return nil
}

// read looks at DEST, asks the guards and makes the plan.
func (r *run) read() (err error) {
	if r.state, err = r.store.readState(r.o.Now.Location()); err != nil {
		return step("read", err)
	}
	newest, err := r.findNewest()
	if err != nil {
		return step("read", err)
	}
	if err := checkGuards(guardInput{
		src: r.src, newest: newest, baseEmpty: r.baseEmpty, oneFS: r.o.OneFileSystem,
		leftOut: rsyncexec.LeftOut(r.o.Filter, r.o.Exclude, r.o.RsyncArgs), force: r.o.Force,
	}); err != nil {
		return step("guard", err)
	}
	if r.o.MaxDeletePercent == 0 && (otherSource(newest, r.src) || otherFilesystem(newest, r.src)) {
		r.o.MaxDeletePercent = otherSourceDeletes
	}
	r.decide()
	return nil
}

// decide makes the plan from what was read.
func (r *run) decide() {
	r.plan = makePlan(r.state, r.src, r.o.Now, r.o.MaxDeletePercent > 0 && !r.o.Force)
	r.plan.checksum = r.plan.checksum || r.o.Checksum
	if r.plan.base != nil {
		r.report.Base = r.plan.base.Name
	}
	r.report.Resumed = r.plan.work == workResume
}

// findNewest returns the newest backup that can be listed, which the guards and
// the plan go by. Of those that are damaged there is nothing to be had.
func (r *run) findNewest() (newest *Snapshot, err error) {
	for newest = r.state.newest(); newest != nil; newest = r.state.newest() {
		r.baseEmpty, err = r.store.isEmpty(newest.Name)
		if !btrfs.IsDamage(err) {
			break
		}
		r.state.setAside(*newest, err)
	}
	if lost := r.state.broken; r.state.brokenSince(newest) && errors.Is(lost[len(lost)-1].WhyNot, fs.ErrPermission) {
		return nil, lost[len(lost)-1].unreadable() // it is intact, and what the next one must go on from
	}
	return newest, err
}

func (s *store) isEmpty(name string) (bool, error) {
	d, err := openDirAt(s.dir, name)
	if err != nil {
		return false, err
	}
	defer d.Close()
	return isEmptyDir(d)
}

// noticeBroken tells what the run did not go on from.
func (r *run) noticeBroken() {
	for _, b := range r.state.broken {
		text := fmt.Sprintf("%s is damaged, nothing in it can be read", b.Name)
		if errors.Is(b.WhyNot, fs.ErrPermission) {
			text = b.unreadable().Error()
		}
		if base := r.state.newest(); base != nil && b.ID > base.ID {
			text += ": this backup goes on from " + base.Name
		}
		r.notice(text)
	}
}

// repair puts DEST right for this run.
func (r *run) repair(ctx context.Context) (err error) {
	if r.report.Repairs, err = r.store.repair(ctx, r.state, r.o.Now, r.log); err != nil {
		return step("repair", err)
	}
	r.state.warnOfHidden(r.log)
	r.noticeBroken()
	if r.plan.why != "" {
		r.log.Log(ctx, r.plan.level(), r.plan.said())
		r.report.Repairs = append(r.report.Repairs, r.plan.said())
	}
	if newest := r.state.newest(); metadataDamaged(newest) {
		r.notice(fmt.Sprintf("metadata of the last backup, %s, is known to be damaged: everything is copied anew, and shares no space with it", newest.Name))
	}
	switch base := r.plan.base; {
	case otherFilesystem(base, r.src):
		r.notice(fmt.Sprintf("%s is on another filesystem than at the last backup, %s: contents are compared", r.src.shown, base.Name))
	case sourceChanged(base, r.src):
		r.notice(fmt.Sprintf("the last backup, %s, was made from another source, %q on %s: contents are compared", r.plan.base.Name, r.plan.base.Record.SourceName(), r.plan.base.Record.Host))
	}
	if r.plan.discard {
		if err := r.store.discardPending(ctx, r.state.pending.kind, r.o.Now); err != nil {
			return step("discard pending", err)
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
	free, total, err := r.store.space()
	if err != nil {
		return step("measure", err)
	}
	if !always && free >= min(total/10, soonFull) {
		return nil
	}
	r.log.Info("the disk is nearly full: waiting for the space of what was deleted", "free", humanize.Bytes(free))
	held, err := btrfs.WaitDeleted(ctx, r.store.dir)
	if err == nil && len(held) > 0 {
		r.log.Warn("the space of deleted subvolumes is not free before every program that uses them lets go", "subvolumes", len(held))
	}
	return step("wait for space", err)
}

// begin makes or resumes pending and prepares it. What an earlier run has left
// may fill the disk, so that there is not even room to go on with it, and less:
// no run would ever get further. Then it is given up.
func (r *run) begin(ctx context.Context) (*os.File, *prepared, error) {
	pending, tree, err := r.fill(ctx)
	for n := 0; btrfs.IsDamage(err) && !errors.Is(err, ErrSource) && r.plan.base != nil; n++ {
		pending, tree, err = r.stepBack(ctx, err, n)
	}
	if !isFull(err) || r.plan.work != workResume && !r.plan.discard {
		return pending, tree, err
	}
	full, resumed := err, r.plan.work == workResume
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
	r.state.pending = pendingState{}
	r.decide()
	return r.fill(ctx)
}

// maxStepsBack bounds how many backups with one lost block in common are tried.
const maxStepsBack = 8

// stepBack goes on from an older backup than the one whose damage was met in
// what was made from it, at last from none.
func (r *run) stepBack(ctx context.Context, met error, steps int) (*os.File, *prepared, error) {
	lost := *r.plan.base
	r.state.setAside(lost, met)
	if err := r.discard(); err != nil {
		return nil, nil, errors.Join(met, err)
	}
	if steps == maxStepsBack {
		for _, b := range slices.Clone(r.state.backups) {
			r.state.setAside(b, met)
		}
	}
	if _, err := r.findNewest(); err != nil {
		return nil, nil, step("read", err)
	}
	r.state.pending = pendingState{}
	r.decide()
	text := fmt.Sprintf("%s is damaged, so this backup does not go on from it (%v)", lost.Name, met)
	if r.plan.base == nil {
		text += ": everything is copied anew"
	}
	r.notice(text)
	return r.fill(ctx)
}

func (r *run) fill(ctx context.Context) (*os.File, *prepared, error) {
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
	pending, err := r.store.makePending(r.plan.work, r.plan.baseName())
	if err != nil {
		return nil, step("make pending", err)
	}
	info, err := btrfs.SubvolumeInfo(pending)
	if err == nil {
		r.note = workNote{WorkUUID: info.UUID.String(), Instance: r.state.instance, Source: strconv.Quote(r.src.shown), Root: r.src.root()}
		err = r.enter(phaseTransfer)
	}
	if err != nil {
		return nil, step("make pending", errors.Join(err, pending.Close()))
	}
	return pending, nil
}

func (r *run) enter(phase workPhase) error {
	r.note.Phase = phase
	return r.store.writeWorkNote(r.note)
}

// judge weighs the end of the transfer and the state of the source.
func (r *run) judge(end transferEnd) verdict {
	end.gone = r.src.stillThere()
	end.remote = !r.src.local()
	end.refuse23 = r.o.RefusePartial
	end.based = r.plan.base != nil
	end.resumed = r.plan.work == workResume
	v := judge(end)
	if v.err == nil {
		if err := emptied(r.src, end.result.Stats.Files, r.state.newest(), r.baseEmpty, r.o.Force); err != nil {
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
	err := step("transfer", v.err)
	if errors.Is(v.err, ErrGuard) {
		err = step("guard", v.err)
	}
	switch {
	case r.store.keepLock: // some rsync still writes
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
	return step("discard pending", ignoreNotExist(r.store.discardPending(context.Background(), subvolume, r.o.Now)))
}

// flush makes pending durable, or poisons and discards it.
func (r *run) flush() error {
	if err := r.store.flush(); err != nil {
		err = step("flush", fmt.Errorf("the disk refused data of this backup, which is discarded: %w", err))
		poison := r.enter(phasePoisoned)
		if discard := r.discard(); discard != nil {
			return errors.Join(err, discard, poison)
		}
		return err
	}
	err := r.enter(phaseSynced)
	if isFull(err) {
		// The note that stands has the next run trust pending less.
		r.log.Warn("no room to note that it is durable", "error", err)
		return nil
	}
	return step("note", err)
}

// punchHoles keeps sparse files sparse; what it wrote must reach the disk too.
func (r *run) punchHoles(ctx context.Context, pending *os.File) error {
	if r.plan.first() || r.o.WholeFiles {
		return nil // rsync made them
	}
	changed, err := punchHoles(ctx, pending, r.src, r.plan.base.Generation, func() error { return r.enter(phaseTransfer) })
	if err != nil || !changed {
		return err
	}
	return r.flush()
}

// commit publishes pending, lets cur name it and cleans up. From the record
// on nothing stops it but an error; until then pending is kept.
func (r *run) commit(ctx context.Context, pending *os.File, v verdict) error {
	r.measure(pending)
	name, err := r.store.publish(ctx, pending, r.plan.naming, r.record(v))
	if err != nil {
		return step("publish", err)
	}
	r.report.Name, r.report.Status = name, v.status
	if v.status == Complete {
		if err := r.store.setCur(name); err != nil {
			return step("point cur to "+name, err)
		}
	}
	if err := r.discard(); err != nil {
		// The backup is there; the next run removes what is left.
		r.notice(err.Error())
	}
	if v.status == Incomplete {
		return step("transfer", r.incomplete())
	}
	return nil
}

// foreseePrune is what prune would decide with the backup there that a dry run
// does not make. What its deletions would free is not known before that is there.
func (r *run) foreseePrune(status Status) (err error) {
	next := Snapshot{Name: r.plan.naming.name, Time: r.o.Now.Truncate(time.Second), ID: math.MaxUint64, Status: status}
	p := &PruneReport{Dest: r.store.path, DryRun: true}
	for _, d := range decide(append(slices.Clone(r.state.backups), next), r.o.Prune.Policy, r.o.Now) {
		if d.Name != next.Name {
			p.Decisions = append(p.Decisions, d)
		}
	}
	p.Free, p.Total, err = r.store.space()
	r.report.Prune = p
	return step("measure", err)
}

// prune runs after publishing, under the lock that is still held.
func (r *run) prune(ctx context.Context) (err error) {
	r.report.Prune = &PruneReport{}
	c := &changing{store: r.store, sink: r.sink, log: r.log, now: r.o.Now}
	if c.state, err = r.store.readState(r.o.Now.Location()); err == nil {
		err = c.prune(ctx, *r.o.Prune, r.report.Prune)
	}
	return step("prune", err)
}
