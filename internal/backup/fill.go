// Filling: repairing DEST, and preparing pending for rsync.

package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/pending"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// repair repairs DEST for this run.
func (x equipped) repair(ctx context.Context) error {
	repairs, err := x.dest.Repair(ctx, x.state, x.o.Now, x.tell.Log)
	x.tell.Repaired(repairs...)
	if err != nil {
		return fail.Step("repair", err)
	}
	x.state.WarnOfHidden(x.tell.Log)
	x.noticeBroken()
	if x.plan.why != "" {
		x.tell.Log.Log(ctx, x.plan.level(), x.plan.text())
		x.tell.Repaired(x.plan.text())
	}
	x.noticeBase()
	x.noticeBeyond()
	if x.plan.discard {
		if err := x.dest.DiscardPending(ctx, x.state.Pending, x.o.Now); err != nil {
			return fail.Step("discard pending", err)
		}
	}
	return x.waitForSpace(ctx, false)
}

// soonFull is how much rsync may write before the kernel's cleaner, which wakes every 30 seconds, begins to free
// deleted subvolumes.
const soonFull = 16 << 30

// waitForSpace waits until the space of deleted subvolumes, of this or another program, is free: if little is left, or
// always.
func (x opened) waitForSpace(ctx context.Context, always bool) error {
	free, total, err := x.dest.Space()
	if err != nil {
		return fail.Step("measure space", err)
	}
	if !always && free >= min(total/10, soonFull) {
		return nil
	}
	x.tell.Log.Info("the disk is nearly full: waiting for the space of deleted subvolumes", "free", humanize.Bytes(free))
	held, err := btrfs.WaitDeleted(ctx, x.dest.Dir)
	if err == nil && len(held) > 0 {
		x.tell.Log.Warn("the space of deleted subvolumes becomes free when the programs that use them close them", "subvolumes", len(held))
	}
	return fail.Step("wait for space", err)
}

// begin makes or resumes pending and prepares it. If it finds a damaged base, it tries an older one. If the pending of
// an earlier run fills the disk so that no run could continue, it is discarded. With an error, the value says how far
// it got.
func (x equipped) begin(ctx context.Context) (filled, error) {
	if err := x.findMarked(ctx); err != nil {
		return filled{equipped: x}, err
	}
	y, err := x.fill(ctx)
	for n := 0; btrfs.IsDamage(err) && !errors.Is(err, facts.ErrSource) && y.plan.base != nil; n++ {
		next, failed := y.stepBack(err, n)
		if failed != nil { // a disk that refuses everything has no usable base
			return y, errors.Join(err, failed)
		}
		y, err = next.fill(ctx)
	}
	if !fail.IsFull(err) || y.plan.work != store.WorkResume && !y.plan.discard {
		return y, err
	}
	full, resumed := err, y.plan.work == store.WorkResume
	if err := y.discard(); err != nil {
		return y, err
	}
	err = y.waitForSpace(ctx, true)
	if resumed { // said only now, when there is space for the log
		const text = "an unfinished backup was removed, because it filled the disk; the backup starts again"
		y.tell.Log.Warn(text, "error", full)
		y.tell.Repaired(text)
	}
	if err != nil {
		return y, err
	}
	return y.equipped.again(y.newest, y.baseEmpty).fill(ctx)
}

// again plans again, after pending was removed.
func (x equipped) again(newest *facts.Snapshot, baseEmpty bool) equipped {
	state := *x.state
	state.Pending = store.PendingState{}
	return equipped{read{x.looked, &state, newest, baseEmpty}.decide(), x.program, x.version, x.frozen}
}

// maxStepsBack limits how many backups that share a lost block are tried.
const maxStepsBack = 8

// stepBack plans with an older base than the damaged one, in the end with none.
func (x filled) stepBack(met error, steps int) (equipped, error) {
	lost := *x.plan.base
	x.state.SetAside(lost, met)
	if err := x.discard(); err != nil {
		return x.equipped, err
	}
	if steps == maxStepsBack {
		for _, b := range slices.Clone(x.state.Backups) {
			x.state.SetAside(b, met)
		}
	}
	newest, empty, err := findNewest(x.dest, x.state)
	if err != nil {
		return x.equipped, fail.Step("read", err)
	}
	next := x.equipped.again(newest, empty)
	text := fmt.Sprintf("%s is damaged, so this backup is not based on it (%v)", lost.Name, met)
	if next.plan.base == nil {
		text += ": everything is copied anew"
	}
	next.tell.Notice(text)
	return next, nil
}

// fill makes or resumes pending and prepares it.
func (x equipped) fill(ctx context.Context) (filled, error) {
	y, err := x.openAndScan(ctx)
	if err != nil {
		return y, err
	}
	if y.moved, err = y.replay(ctx); err != nil {
		return y, errors.Join(fail.Step("repeat renames of the source", err), y.close())
	}
	if y.scanned, err = y.patch(ctx); err != nil {
		return y, errors.Join(err, y.close())
	}
	tree, err := y.prepare(ctx)
	if err != nil {
		return y, errors.Join(y.stopped(ctx, err), y.close())
	}
	y.tree = tree
	return y, nil
}

// openAndScan makes or resumes pending, and finds out what changed. Making a snapshot waits for a commit of the
// filesystem: the source is walked meanwhile.
func (x equipped) openAndScan(ctx context.Context) (filled, error) {
	var y filled
	var opened error
	ready := make(chan struct{})
	scanning, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	open := func() {
		if y, opened = x.open(); opened != nil {
			stop(opened)
		}
		close(ready)
	}
	var found scanned
	var failed error
	scan := func() {
		found, failed = x.scan(scanning, func() (*os.File, error) { <-ready; return y.work, opened })
	}
	if x.plan.work == store.WorkSnapshot {
		var meanwhile sync.WaitGroup
		meanwhile.Go(scan)
		open()
		meanwhile.Wait()
	} else if open(); opened == nil {
		scan()
	}
	switch {
	case opened != nil:
		return y, errors.Join(opened, x.endScan(found))
	case failed != nil:
		return y, errors.Join(y.stopped(ctx, fail.Step("scan source", failed)), y.work.Close())
	}
	y.scanned = found
	return y, nil
}

// close closes what fill has opened.
func (x filled) close() error { return errors.Join(x.endScan(x.scanned), x.work.Close()) }

// endScan closes what a scan has opened. An unused catalog that cannot be removed is left to the next run.
func (x equipped) endScan(s scanned) error {
	if s.file != nil {
		if err := x.dest.DropCatalog(); err != nil {
			x.tell.Log.Warn("an unused file remains until the next run", "error", err)
		}
	}
	return s.close()
}

// open makes or resumes pending and notes that this run writes to it.
func (x equipped) open() (filled, error) {
	y := filled{equipped: x}
	work, err := x.dest.MakePending(x.plan.work, x.plan.baseName())
	if err != nil {
		return y, fail.Step("make pending", err)
	}
	info, err := btrfs.SubvolumeInfo(work)
	if err == nil {
		y.work = work
		y.note = store.WorkNote{WorkUUID: info.UUID.String(), Instance: x.state.Instance, Source: strconv.Quote(x.src.Shown), Root: x.src.Root(), Seen: x.plan.cut}
		err = y.enter(store.PhaseTransfer)
	}
	if err != nil {
		return y, fail.Step("make pending", errors.Join(err, work.Close()))
	}
	return y, nil
}

// enter notes the phase of the work on pending, for a later run. On a full disk it uses the reserve.
func (x filled) enter(phase store.WorkPhase) error {
	x.note.Phase = phase
	err := x.dest.WriteWorkNote(x.note)
	if fail.IsFull(err) && x.dest.UseReserve() {
		err = x.dest.WriteWorkNote(x.note)
		x.dest.KeepReserve()
	}
	return err
}

// prepare prepares pending for rsync.
func (x filled) prepare(ctx context.Context) (*pending.Prepared, error) {
	if x.plan.doubtful {
		if err := x.writtenOut(); err != nil {
			return nil, err
		}
	}
	if err := x.heal(ctx); err != nil {
		return nil, err
	}
	if err := pending.Doubt(x.work, x.doubts); err != nil {
		return nil, fail.Step("prepare pending", err)
	}
	tree, err := x.prepareTree(ctx)
	if err != nil {
		return nil, fail.Step("prepare pending", err)
	}
	x.tell.Log.Debug("prepared", "entries", tree.Entries.Load(), "hard_links_kept", tree.Kept(), "hard_links_split", tree.Split.Load())
	return tree, nil
}

// prepareTree prepares the part that rsync will look at.
func (x filled) prepareTree(ctx context.Context) (*pending.Prepared, error) {
	if !x.full() {
		return pending.PrepareListed(ctx, x.work, x.listed())
	}
	how := pending.How{Doubtful: x.plan.doubtful}
	if x.provesLinks() {
		root, err := os.OpenFile(x.src.Spec.Path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return nil, fail.Kind(facts.ErrSource, err)
		}
		defer root.Close()
		how.Source = root
	}
	return pending.Prepare(ctx, x.work, how)
}

// provesLinks reports whether the source can show that a file with several names is unchanged: rsync must compare by
// size and time too.
func (x filled) provesLinks() bool {
	return x.src.Local() && !x.plan.doubtful && !x.plan.checksum && !x.unsure &&
		!rsyncexec.ComparesAll(x.o.RsyncArgs) && !rsyncexec.ParseStored(x.o.RsyncArgs, true).NoHardLinks
}

// heal removes damaged files of the base from pending.
func (x filled) heal(ctx context.Context) error {
	if !store.KnownDamaged(x.plan.base) {
		return nil
	}
	x.tell.Notice(fmt.Sprintf("the last backup, %s, is known to be damaged: unreadable files are copied again", x.plan.base.Name))
	removed, err := pending.RemoveUnreadable(ctx, x.work)
	if err != nil {
		return fail.Step("remove unreadable files from pending", err)
	}
	x.tell.Log.Info("removed from pending, to be copied again", "files", len(removed), "first", removed[:min(len(removed), transfer.MaxLogged)])
	return nil
}
