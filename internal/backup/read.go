// Reading: what SRC is and what DEST holds, and the plan made from both.

package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// look examines SRC.
func (x opened) look() (looked, error) {
	src, err := source.Describe(x.o.Source, x.dest.Path, x.dest.Dir, source.Mark{Marker: store.MarkerPath, Holder: store.HolderPath})
	if err != nil {
		return looked{}, fail.Step("source", err)
	}
	src.LeaveOut(x.o.OneFileSystem, x.o.leftOut())
	for _, text := range src.Misplaced(x.o.reading(), x.o.SnapshotSource) {
		x.tell.Notice(text)
	}
	return looked{x, src}, nil
}

// findMarked finds marked directories, in the snapshot if one is read.
func (x looked) findMarked(ctx context.Context) error {
	return fail.Step("source", x.src.FindMarked(ctx, x.o.OneFileSystem, x.o.marks()))
}

// read reads the state of DEST.
func (x looked) read() (read, error) {
	state, err := x.dest.ReadState(x.o.Now.Location())
	if err != nil {
		return read{}, fail.Step("read", err)
	}
	newest, empty, err := findNewest(x.dest, state)
	if err != nil {
		return read{}, fail.Step("read", err)
	}
	src := *x.src
	if err := x.compareBelow(&src, newest, state.Backups); err != nil {
		return read{}, fail.Step("read", err)
	}
	return read{looked{x.opened, &src}, state, newest, empty}, nil
}

// compareBelow compares what is below SRC with the newest backup, unless that was made from another source.
func (x looked) compareBelow(src *source.Source, newest *facts.Snapshot, backups []facts.Snapshot) error {
	if !src.Local() || newest == nil || newest.Record == nil || newest.Record.SourceName() != src.Shown {
		return nil
	}
	base, err := at.OpenDir(x.dest.Dir, newest.Name)
	if err != nil {
		return err
	}
	defer base.Close()
	return src.CompareBelow(newest.Record, backups, base, x.o.OneFileSystem, x.o.leftOut())
}

// findNewest returns the newest backup that can be listed, for the guards and the plan, and whether it is empty.
// Damaged ones are set aside in state.
func findNewest(dest *store.Store, state *store.State) (newest *facts.Snapshot, empty bool, err error) {
	for newest = state.Newest(); newest != nil; newest = state.Newest() {
		empty, err = dest.IsEmpty(newest.Name)
		if !btrfs.IsDamage(err) {
			break
		}
		state.SetAside(*newest, err)
	}
	if lost := state.Broken; state.BrokenSince(newest) && errors.Is(lost[len(lost)-1].WhyNot, fs.ErrPermission) {
		return nil, false, store.Unreadable(lost[len(lost)-1]) // it is intact, and must be the base of the next one
	}
	return newest, empty, err
}

// guard refuses a run that looks like a mistake, before anything in DEST is changed.
func (x read) guard(ctx context.Context) error {
	if err := checkGuards(guardInput{
		src: x.src, newest: x.newest, baseEmpty: x.baseEmpty, oneFS: x.o.OneFileSystem,
		leftOut: x.o.leftOut(), force: x.o.Force,
	}); err != nil {
		return fail.Step("refused", err)
	}
	return fail.Step("source", x.src.CheckDirRules(ctx, x.o.OneFileSystem, x.o.Filter, x.o.RsyncArgs))
}

// decide makes the plan from what was read.
func (x read) decide() planned {
	return planned{x, makePlan(x.state, x.src, x.o.Now, wishes{checksum: x.o.Checksum, maxDeletePercent: x.o.MaxDeletePercent, force: x.o.Force})}
}

// probed is what is known of rsync, and was known before.
type probed struct{ rsync, last rsyncexec.Known }

// probe asks rsync for its version, if need be, which takes as long as reading DEST does, meanwhile. The answer is
// waited for.
func (x opened) probe(ctx context.Context) (answer func() (probed, error)) {
	answer = sync.OnceValues(func() (p probed, err error) {
		x.dest.ReadNote(store.RsyncName, &p.last)
		p.rsync, err = rsyncexec.ProbeAgain(ctx, x.o.RsyncProgram, p.last)
		return p, err
	})
	go func() { _, _ = answer() }() // equip has it
	return answer
}

// equip waits for rsync's answer, so that a missing one is noticed before DEST is touched.
func (x planned) equip(answer func() (probed, error)) (equipped, error) {
	p, err := answer()
	if err == nil && p.rsync != p.last && p.rsync.File != "" {
		_ = x.dest.WriteNote(store.RsyncName, p.rsync) // else the next run asks as well
	}
	return equipped{planned: x, program: p.rsync.Path, version: p.rsync.Version}, fail.Step("transfer", err)
}

// noticeBroken names damaged backups that are not used as base.
func (x planned) noticeBroken() {
	for _, b := range x.state.Broken {
		text := fmt.Sprintf("%s is damaged: nothing in it can be read", b.Name)
		if errors.Is(b.WhyNot, fs.ErrPermission) {
			text = store.Unreadable(b).Error()
		}
		if base := x.state.Newest(); base != nil && store.Younger(b, *base) {
			text += ": this backup is based on " + base.Name
		}
		x.tell.Notice(text)
	}
}

// noticeBeyond names what --one-file-system leaves out, if that differs from the last backup.
func (x planned) noticeBeyond() {
	var before []string
	if x.newest != nil && x.newest.Record != nil {
		before = x.newest.Record.LeftOut
	}
	if now := say.QuoteForJSON(x.src.Beyond); len(now) > 0 && !slices.Equal(now, before) {
		x.tell.Notice("--one-file-system leaves out the filesystems at " + say.QuoteSome(x.src.Beyond) + ": they are not in this backup")
	}
}

// noticeBase reports what is unusual about the base.
func (x planned) noticeBase() {
	if newest := x.state.Newest(); store.MetadataDamaged(newest) {
		x.tell.Notice(fmt.Sprintf("metadata of the last backup, %s, is known to be damaged: everything is copied again, and shares no space with it", newest.Name))
	}
	if x.src.Gone != "" {
		x.tell.Notice(x.src.Gone)
	}
	switch base, other := x.plan.base, x.src.OtherPlace(x.plan.base); {
	case other != "":
		x.tell.Notice(fmt.Sprintf("%s %s than at the last backup, %s: contents are compared", x.src.Shown, other, base.Name))
	case x.src.IsRemounted(base):
		x.tell.Notice(fmt.Sprintf("%s was mounted again since the last backup, %s, and nothing identifies its filesystem: contents are compared", x.src.Shown, base.Name))
	case isReplaced(base):
		x.tell.Notice(fmt.Sprintf("the last backup, %s, is another subvolume than was published by that name: contents are compared", base.Name))
	case len(x.src.Changed) > 0:
		x.tell.Notice(source.MountChanges(x.src.Changed))
	case x.src.IsChanged(base):
		x.tell.Notice(fmt.Sprintf("the last backup, %s, was made from another source, %q on %s: contents are compared", base.Name, base.Record.SourceName(), base.Record.Host))
	}
}
