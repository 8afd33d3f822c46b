// The transfer: rsync from the source into pending.

package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/pending"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// rsyncOptions is pure: from the plan and the user's options to rsync's.
// entries is the number of files in pending.
func rsyncOptions(o Options, p *plan, src *source.Source, entries int64) rsyncexec.Options {
	r := o.reading()
	r.UserXattrs, r.Checksum = os.Geteuid() != 0, p.checksum
	r.Rsh, r.Timeout, r.Program, r.Progress = o.Rsh, o.Timeout, o.RsyncProgram, o.Progress
	opts := src.ReadOptions(r)
	opts.FileList, opts.Protocol = true, !src.Local()
	opts.Inplace, opts.WholeFile = !o.WholeFiles, o.WholeFiles || p.first() && p.work != store.WorkResume
	opts.Bwlimit = o.Bwlimit
	if p.first() || o.WholeFiles {
		// Safe only where files are written from scratch; see package pending.
		opts.Sparse = true
	}
	if n, ok := maxDeletes(p.base, entries, p.maxDelete); ok {
		opts.MaxDelete = &n
	}
	return opts
}

// transfer runs rsync from the source into pending, and again where that is known to help. rsync inherits pending, and
// DEST with its lock.
func (x filled) transfer(ctx context.Context) (transferred, error) {
	seen, err := x.survey(ctx)
	if err != nil {
		return transferred{filled: x}, fail.Step("survey source", err)
	}
	opts := rsyncOptions(x.o, x.plan, x.src, x.tree.Entries.Load())
	// --sparse truncates every file again, which makes a first backup of small files 50 % slower.
	opts.Sparse = opts.Sparse && !seen.dense
	opts.Checksum = opts.Checksum || x.unsure || seen.unsure
	opts.Progress = transfer.Expecting(opts.Progress, seen.entries)
	opts.Program, opts.Version = x.program, x.version
	opts.ExtraFiles = []*os.File{x.work, x.dest.Dir}
	var m meanwhile
	defer m.group.Wait()
	if x.src.Local() {
		opts.Written = func() { m.begin(x) }
	}
	kept, err := x.keepProperties(ctx)
	if err != nil {
		return transferred{filled: x}, fail.Step("copy the properties of DEST", err)
	}
	opts.Protect = append(opts.Protect, kept...)
	copied, err := x.copySparse(ctx, x.asking(opts), seen.sparse)
	if err != nil {
		return transferred{filled: x}, fail.Step("copy files with holes", err)
	}
	var changes []rsyncexec.Change
	if x.expect != nil {
		opts.Changes = func(c rsyncexec.Change) { changes = append(changes, c) }
	}
	x, end, err := x.runs(ctx, opts, seen.apart)
	if end.WholeSeconds() {
		x.tell.Notice(fmt.Sprintf("the rsync at %s is older than 3.1 (protocol %d), which drops fractions of seconds: a file that was changed within one second, and has the same size, counts as unchanged (--checksum compares contents)", x.src.Shown, end.Protocol))
	}
	end = withCopied(withCopied(end, copied), x.patched.SparseCopied)
	for _, text := range end.UnheldTexts("; to leave out an attribute: --filter='-x NAME'") {
		x.tell.Notice(text)
	}
	if err != nil || !end.Useful() {
		return transferred{filled: x, end: end}, err
	}
	err = errors.Join(
		fail.Step("remove files that devices replace", pending.RemoveSkipped(ctx, x.work, end.Skipped)), x.noticeEmpty(seen.empty))
	if err == nil && !x.full() {
		end, err = x.wholeStats(ctx, end, seen.emptied)
	}
	return transferred{filled: x, end: end, known: x.lookAgain(&m, end, changes)}, err
}

// run runs one rsync. What it has torn gets the content of the base at once: the next run may write nothing in place.
func (x filled) run(ctx context.Context, opts rsyncexec.Options) transfer.End {
	end := x.looked.run(ctx, opts)
	if !x.plan.first() && end.Useful() {
		end.Torn = pending.TakeBack(x.dest.Dir, x.plan.base.Name, x.work, end.Torn, x.tell.Log)
	}
	return end
}

// first is the first run of rsync. If the run finds something that the list does not cover, it is also a second run,
// which compares everything.
func (x filled) first(ctx context.Context, opts rsyncexec.Options) (filled, transfer.End, error) {
	if !x.full() && (x.list.Empty() || x.isDone(ctx, opts)) {
		return x, x.nothingToDo(), nil
	}
	end := x.run(ctx, x.asking(opts))
	switch {
	case x.full():
		return x, end, nil
	case errors.Is(end.Err, rsyncexec.ErrListUnread):
		x.use, x.why = false, end.Err.Error()
	case end.Partial():
		x.use, x.why = false, "rsync could not read all that the scan had listed"
	default:
		return x, end, nil
	}
	x.tell.Log.Warn("rsync runs again, comparing everything", "why", x.why, "complaints", end.Result.Complaints)
	end, err := x.again(ctx, opts, end)
	return x, end, err
}

// asking adds the list of a scan to the options, if there is one.
func (x filled) asking(opts rsyncexec.Options) rsyncexec.Options {
	if !x.full() {
		opts.FilesFrom = x.list.Render()
	}
	return opts
}

// runs runs rsync, and again where that is known to help. apart are names that must not become one file.
func (x filled) runs(ctx context.Context, plain rsyncexec.Options, apart []string) (filled, transfer.End, error) {
	opts := withoutApart(plain, apart)
	x, end, err := x.first(ctx, opts)
	if err != nil {
		return x, end, err
	}
	if end, err = x.withMoreRoom(ctx, opts, end); err != nil {
		return x, end, err
	}
	touched, err := x.linksTouched(end)
	if err != nil {
		return x, end, fail.Step("check hard links", err)
	}
	if touched || transfer.FalseAlarm(end) {
		end, err = x.again(ctx, opts, end)
	}
	if err == nil && end.LinksLeft() {
		end = x.withoutLinks(ctx, opts, end)
	}
	if err == nil && len(apart) > 0 && end.Useful() {
		end = x.copyApart(ctx, plain, end)
	}
	if err == nil && x.needsReplacing(end) {
		x.tell.Log.Info("rsync runs again, replacing files that cannot be written in place")
		opts.Inplace, opts.WholeFile = false, true
		end, err = x.again(ctx, opts, end)
	}
	if err == nil {
		end, err = x.deleteElsewhere(ctx, opts, end)
	}
	if err != nil || !end.Useful() {
		return x, end, err
	}
	lost, err := x.groupsLost(ctx)
	if err != nil {
		return x, end, fail.Step("check ACLs", err)
	}
	if lost {
		x.tell.Log.Info("rsync runs again, for the ACLs of sticky directories")
		end, err = x.again(ctx, opts, end)
	}
	return x, end, err
}

// run runs one rsync. In its messages, paths through our descriptors are replaced by those the user knows.
func (x looked) run(ctx context.Context, opts rsyncexec.Options) transfer.End {
	job := transfer.Job{
		Options: opts, Log: x.tell.Log, Peer: x.src.Shown,
		Names:   strings.NewReplacer(append(x.src.Renames(), source.Inherited, opts.ExtraFiles[0].Name())...),
		Devices: os.Geteuid() != 0, // root can create every device, so such a message must not remove anything
		Aloud:   opts.DryRun,
	}
	if x.src.Local() && !opts.DryRun {
		job.Into = opts.ExtraFiles[0]
	}
	end := transfer.Run(ctx, job)
	if errors.Is(end.Err, rsyncexec.ErrStillRunning) {
		x.dest.KeepLock = true
	}
	if v := end.Result.Version; v.Less(safeRsync) && !x.src.Local() {
		x.tell.Notice(fmt.Sprintf("rsync %s has known vulnerabilities that a hostile source can use; %s is free of them", v, safeRsync))
	}
	return end
}

// safeRsync is the first release without the vulnerabilities fixed in 2026.
var safeRsync = rsyncexec.Version{Major: 3, Minor: 5}

// keepProperties gives the properties of DEST, such as compression, to the backup, and returns the rules that keep
// rsync from removing them. The rsync of an ordinary user does not touch them.
func (x filled) keepProperties(ctx context.Context) ([]string, error) {
	properties, err := pending.PropertiesOf(x.dest.Dir)
	if err != nil || len(properties) == 0 {
		return nil, err
	}
	if n, err := properties.HandDown(ctx, x.work); err != nil {
		return nil, err
	} else if n > 0 {
		x.tell.Log.Info("copied the properties of DEST to the new backup", "directories", n)
	}
	if os.Geteuid() != 0 {
		return nil, nil
	}
	// With a rule for attributes rsync no longer skips system.* by default, on neither side of a local copy. A rule
	// that only the receiver needs is not sent, because an rsync before 3.1 would not understand it.
	if x.src.Local() {
		return []string{"-xr btrfs.*", "-xr system.*", "-xs system.*"}, nil
	}
	return []string{"-xr btrfs.*", "-xr system.*"}, nil
}

// again runs rsync again on a pending that it has just written: writing to links that it made there is as unsafe as to
// those of the base. What first has copied is kept, however this run ends.
func (x filled) again(ctx context.Context, opts rsyncexec.Options, first transfer.End) (transfer.End, error) {
	var err error
	if x.full() {
		_, err = pending.Prepare(ctx, x.work, pending.How{})
	} else {
		_, err = pending.PrepareListed(ctx, x.work, x.listed())
	}
	if err != nil {
		return first, fail.Step("prepare pending", err)
	}
	return x.rerun(ctx, opts, first), nil
}

func (x filled) rerun(ctx context.Context, opts rsyncexec.Options, first transfer.End) transfer.End {
	if opts.MaxDelete != nil && first.Stats != nil {
		left := max(0, *opts.MaxDelete-first.Stats.Deleted)
		opts.MaxDelete = &left
	}
	return x.run(ctx, x.asking(opts)).After(first)
}

// withoutLinks makes separate files of the names that could not be linked. Nothing is written in place: a linked name
// may be another file at the source by now.
func (x filled) withoutLinks(ctx context.Context, opts rsyncexec.Options, first transfer.End) transfer.End {
	x.tell.Notice(tooManyNames(x.dest.Path, first.TooManyLinks))
	opts.HardLinks, opts.Inplace, opts.WholeFile, opts.Sparse = false, false, true, true
	return x.rerun(ctx, opts, first)
}

// linksTouched reports whether a file whose names stayed linked has changed. A new run, with all links split, then
// updates each name.
func (x filled) linksTouched(end transfer.End) (bool, error) {
	if !end.Useful() {
		return false, nil
	}
	touched, err := x.tree.Touched(x.work)
	if touched {
		x.tell.Log.Info("rsync runs again, for hard links that changed while they were copied")
	}
	return touched, err
}

// groupsLost compares sticky directories with those of the base.
func (x filled) groupsLost(ctx context.Context) (bool, error) {
	if x.plan.first() {
		return transfer.GroupsLost(ctx, x.work, nil)
	}
	base, err := at.OpenDir(x.dest.Dir, x.plan.base.Name)
	if err != nil {
		return false, err
	}
	defer base.Close()
	if !x.full() {
		return transfer.GroupsLostIn(x.work, base, x.list.Ways())
	}
	return transfer.GroupsLost(ctx, x.work, base)
}

// needsReplacing reports whether files failed only because an ordinary user may not open them for writing: a copy of a
// file of mode 0444 has that mode too. A second run replaces such files and has nothing else to do.
func (x filled) needsReplacing(end transfer.End) bool {
	return os.Geteuid() != 0 && !x.o.WholeFiles && end.Partial()
}
