// The transfer: rsync from the source into pending.

package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/pending"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// rsyncOptions is pure: from the plan and the user's options to rsync's.
// entries is the number of files in pending.
func rsyncOptions(o *Options, p *plan, src *source.Source, entries int64) rsyncexec.Options {
	opts := src.ReadOptions(source.Reading{
		OneFS: o.OneFileSystem, Filter: o.Filter, Exclude: o.Exclude, ExcludeFrom: o.ExcludeFrom, Extra: o.RsyncArgs,
		Checksum: p.checksum, Rsh: o.Rsh, Timeout: o.Timeout, Program: o.RsyncProgram, Progress: o.Progress,
	})
	opts.Inplace, opts.WholeFile = !o.WholeFiles, o.WholeFiles || p.first() && p.work != store.WorkResume
	opts.Bwlimit = o.Bwlimit
	if p.first() || o.WholeFiles {
		// Safe where files are written anew only; see holes.go.
		opts.Sparse = true
	}
	if n, ok := maxDeletes(p.base, entries, o.MaxDeletePercent); ok && !o.Force {
		opts.MaxDelete = &n
	}
	return opts
}

// prepare makes pending what rsync can be trusted to bring up to date.
func (r *run) prepare(ctx context.Context, work *os.File) (*pending.Prepared, error) {
	if r.plan.doubtful {
		if err := r.writeOut(); err != nil {
			return nil, err
		}
	}
	if err := r.heal(ctx, work); err != nil {
		return nil, err
	}
	tree, err := pending.Prepare(ctx, work, r.plan.doubtful)
	if err != nil {
		return nil, fail.Step("prepare pending", err)
	}
	r.log.Debug("prepared", "entries", tree.Entries.Load(), "hard_links_split", tree.Split.Load())
	return tree, nil
}

// heal removes from pending what a damaged base gave it.
func (r *run) heal(ctx context.Context, work *os.File) error {
	if !store.KnownDamaged(r.plan.base) {
		return nil
	}
	r.notice(fmt.Sprintf("the last backup, %s, is known to be damaged: what can not be read is copied anew", r.plan.base.Name))
	removed, err := pending.RemoveUnreadable(ctx, work)
	if err != nil {
		return fail.Step("heal pending", err)
	}
	r.log.Info("removed from pending, to be copied anew", "files", len(removed), "first", removed[:min(len(removed), transfer.MaxLogged)])
	return nil
}

// transfer runs rsync from the source into pending. rsync inherits pending, and
// DEST with the lock on it.
func (r *run) transfer(ctx context.Context, work *os.File, tree *pending.Prepared) (transfer.End, error) {
	seen, err := r.survey(ctx, work, tree)
	if err != nil {
		return transfer.End{}, fail.Step("survey source", err)
	}
	opts := rsyncOptions(&r.o, r.plan, r.src, tree.Entries.Load())
	// --sparse truncates every file once more, which makes a first backup of
	// small files half as slow again.
	opts.Sparse = opts.Sparse && !seen.dense
	opts.Progress = expecting(opts.Progress, seen.entries)
	opts.ExtraFiles = []*os.File{work, r.store.Dir}
	end := r.rsync(ctx, opts)
	if transfer.FalseAlarm(end) {
		end, err = r.again(ctx, work, opts, end)
	}
	if err == nil && r.needsReplacing(end) {
		r.log.Info("once more, replacing files that can not be written in place")
		opts.Inplace, opts.WholeFile = false, true
		end, err = r.again(ctx, work, opts, end)
	}
	if err != nil || judge(end).err != nil {
		return end, err
	}
	lost, err := r.groupsLost(ctx, work)
	if err != nil {
		return transfer.End{}, fail.Step("look at ACLs", err)
	}
	if lost {
		r.log.Info("once more, for the ACLs of sticky directories")
		end, err = r.again(ctx, work, opts, end)
	}
	return end, errors.Join(err, fail.Step("remove what devices replaced", pending.RemoveSkipped(ctx, work, end.Skipped)))
}

// groupsLost compares with the base what a run has made of sticky directories.
func (r *run) groupsLost(ctx context.Context, pending *os.File) (bool, error) {
	if r.plan.first() {
		return transfer.GroupsLost(ctx, pending, nil)
	}
	base, err := at.OpenDir(r.store.Dir, r.plan.base.Name)
	if err != nil {
		return false, err
	}
	defer base.Close()
	return transfer.GroupsLost(ctx, pending, base)
}

// again runs rsync once more on a pending that it has just written: links it
// made there are as unsafe to write to as those of the base. What first has
// copied is worth keeping whatever becomes of this run.
func (r *run) again(ctx context.Context, work *os.File, opts rsyncexec.Options, first transfer.End) (transfer.End, error) {
	if _, err := pending.Prepare(ctx, work, false); err != nil {
		return transfer.End{}, fail.Step("prepare pending", err)
	}
	before := r.report.Stats
	r.report.Stats = nil
	if opts.MaxDelete != nil && before != nil {
		left := max(0, *opts.MaxDelete-before.Deleted)
		opts.MaxDelete = &left
	}
	end := r.rsync(ctx, opts)
	end.Connected = end.Connected || first.Connected
	r.report.Stats = transfer.AddUp(before, r.report.Stats)
	return end, nil
}

// writeOut lets every file of a doubtful pending be clean or in error.
func (r *run) writeOut() error {
	if err := r.flush(); err != nil {
		return err
	}
	return fail.Step("note", r.enter(store.PhaseTransfer))
}

// survey tells what is foreseen: a first backup that will not fit, and what
// --one-file-system leaves out.
func (r *run) survey(ctx context.Context, work *os.File, tree *pending.Prepared) (surveyed, error) {
	if !r.src.Local() || !r.plan.first() && !r.o.OneFileSystem {
		return surveyed{}, nil
	}
	v, err := source.Look(ctx, r.src, r.o.OneFileSystem)
	if err != nil {
		return surveyed{}, err
	}
	free, _, err := r.store.Space()
	if err != nil {
		return surveyed{}, err
	}
	f := forecast{need: v.Bytes.Load(), have: uint64(tree.Bytes.Load()), free: free, compressed: r.store.Compresses()}
	f.rules = len(r.o.Filter)+len(r.o.Exclude)+len(r.o.ExcludeFrom)+len(r.o.RsyncArgs) > 0
	if text := f.text(r.src.Shown, r.store.Path); r.plan.first() && text != "" {
		r.notice(text)
	}
	if len(v.Mounts) > 0 {
		// That was asked for, and is no news; it stays in the log and the record.
		text := "other filesystems are left out: " + say.QuoteSome(v.Mounts)
		r.report.Notices = append(r.report.Notices, text)
		r.log.Info(text)
	}
	if len(v.Subvolumes) > 0 {
		// Nobody sees by a directory that it is one.
		r.notice("nested subvolumes are left out: " + say.QuoteSome(v.Subvolumes))
	}
	for _, path := range slices.Concat(v.Mounts, v.Subvolumes) {
		if err := pending.EmptySkipped(ctx, work, path); err != nil {
			return surveyed{}, err
		}
	}
	return surveyed{dense: !v.Sparse.Load(), entries: v.Entries.Load()}, nil
}

// surveyed is what a look at the source tells the transfer; the zero value is
// that nobody looked.
type surveyed struct {
	dense   bool  // no file has holes
	entries int64 // how many there are, without regard to rules
}

// expecting lets tell know how many files there are.
func expecting(tell func(rsyncexec.Progress), files int64) func(rsyncexec.Progress) {
	if tell == nil || files == 0 {
		return tell
	}
	return func(p rsyncexec.Progress) {
		p.Expected = files
		tell(p)
	}
}

// needsReplacing tells whether files failed only because an ordinary user may
// not open them for writing: a copy of a file of mode 0444 has that mode too.
// A second run, which writes such a file anew, has nothing else to do.
func (r *run) needsReplacing(end transfer.End) bool {
	return os.Geteuid() != 0 && !r.o.WholeFiles && end.Partial()
}

// rsync runs one rsync to its end and fills in the report. Its messages name
// our descriptors; people are told the paths.
func (r *run) rsync(ctx context.Context, opts rsyncexec.Options) transfer.End {
	names := strings.NewReplacer(source.Inherited, opts.ExtraFiles[0].Name())
	var end transfer.End
	said := transfer.Messages{Log: r.log, Names: names}
	failed := transfer.NewFailedFiles()
	opts.Line = func(stream, line string) {
		if stream == "stderr" {
			failed.Add(line)
			end.NoSpace = end.NoSpace || transfer.NoSpace(line)
			if opts.MaxDelete != nil && transfer.StoppedMessage.MatchString(line) {
				end.Stopped = true
				return // the guard says it in the user's words
			}
		}
		if stream == "stdout" && transfer.ConnectedMessage.MatchString(line) {
			end.Connected = true
			return
		}
		if stream == "stdout" && strings.HasPrefix(line, "created directory "+source.Inherited) {
			return // which in a dry run it has not
		}
		// Root makes every device, so nothing is removed on this message's word.
		if path, ok := rsyncexec.ParseSkipped(line); ok && stream == "stdout" && os.Geteuid() != 0 {
			end.Skipped = append(end.Skipped, path)
		}
		if ctx.Err() != nil {
			return // what rsync says of being stopped is no news
		}
		if stream == "stderr" || r.o.DryRun {
			said.Line(line)
		}
	}
	opts.FileList = true
	opts.Version = r.version
	end.Result, end.Err = rsyncexec.Run(ctx, opts)
	end.Rename(names)
	r.store.KeepLock = r.store.KeepLock || errors.Is(end.Err, rsyncexec.ErrStillRunning)
	if end.Err != nil {
		end.Err = fmt.Errorf("%s: %w", r.src.Shown, end.Err)
	}
	res := &end.Result
	r.report.RsyncExit, r.report.Complaints, r.failed = res.ExitCode, res.Complaints, len(failed.Names)
	r.report.RsyncVersion = res.Version.String()
	if res.HaveStats {
		r.report.Stats = &res.Stats
	}
	if old := res.Version.Less(safeRsync); old && !r.src.Local() {
		r.notice(fmt.Sprintf("rsync %s has known vulnerabilities that a hostile source can use; %s is free of them", res.Version, safeRsync))
	}
	return end
}

// safeRsync is the first release without the vulnerabilities fixed in 2026.
var safeRsync = rsyncexec.Version{Major: 3, Minor: 5}

// dryRun compares the source with the newest backup, and writes nowhere.
func (r *run) dryRun(ctx context.Context) error {
	if err := r.look(); err != nil {
		return err
	}
	if err := r.read(); err != nil {
		return err
	}
	if err := r.src.CheckDirRules(ctx, r.o.OneFileSystem, r.o.Filter, r.o.RsyncArgs); err != nil {
		return fail.Step("source", err)
	}
	opts := rsyncOptions(&r.o, r.plan, r.src, 0)
	opts.DryRun, opts.Changes = true, r.o.Changes
	opts.ExtraFiles = []*os.File{r.store.Dir}
	opts.Dest = filepath.Join(source.Inherited, r.plan.against(r.store.PendingName()))
	v := r.judge(r.rsync(ctx, opts))
	if v.err == nil && r.o.Prune != nil {
		return r.foreseePrune(v.status)
	}
	return fail.Step("transfer", v.err)
}
