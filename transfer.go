// The transfer: rsync from the source into pending.

package rsbtbackup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// maxLogged bounds how many messages of one rsync go to the log.
const maxLogged = 200

// rsyncOptions is pure: from the plan and the user's options to rsync's.
// entries is the number of files in pending.
func rsyncOptions(o *BackupOptions, p *plan, src *source, entries int64) rsyncexec.Options {
	opts := src.readOptions(reading{
		oneFS: o.OneFileSystem, filter: o.Filter, exclude: o.Exclude, excludeFrom: o.ExcludeFrom, extra: o.RsyncArgs,
		checksum: p.checksum, rsh: o.Rsh, timeout: o.Timeout, program: o.RsyncProgram, progress: o.Progress,
	})
	opts.Inplace, opts.WholeFile = !o.WholeFiles, o.WholeFiles || p.first() && p.work != workResume
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
func (r *run) prepare(ctx context.Context, pending *os.File) (*prepared, error) {
	if r.plan.doubtful {
		if err := r.writeOut(); err != nil {
			return nil, err
		}
	}
	if err := r.heal(ctx, pending); err != nil {
		return nil, err
	}
	tree, err := prepareTree(ctx, pending, r.plan.doubtful)
	if err != nil {
		return nil, step("prepare pending", err)
	}
	r.log.Debug("prepared", "entries", tree.entries.Load(), "hard_links_split", tree.split.Load())
	return tree, nil
}

// heal removes from pending what a damaged base gave it.
func (r *run) heal(ctx context.Context, pending *os.File) error {
	if !knownDamaged(r.plan.base) {
		return nil
	}
	r.notice(fmt.Sprintf("the last backup, %s, is known to be damaged: what can not be read is copied anew", r.plan.base.Name))
	removed, err := removeUnreadable(ctx, pending)
	if err != nil {
		return step("heal pending", err)
	}
	r.log.Info("removed from pending, to be copied anew", "files", len(removed), "first", removed[:min(len(removed), maxLogged)])
	return nil
}

// transfer runs rsync from the source into pending. rsync inherits pending, and
// DEST with the lock on it.
func (r *run) transfer(ctx context.Context, pending *os.File, tree *prepared) (transferEnd, error) {
	dense, err := r.survey(ctx, pending, tree)
	if err != nil {
		return transferEnd{}, step("survey source", err)
	}
	opts := rsyncOptions(&r.o, r.plan, r.src, tree.entries.Load())
	// --sparse truncates every file once more, which makes a first backup of
	// small files half as slow again.
	opts.Sparse = opts.Sparse && !dense
	opts.ExtraFiles = []*os.File{pending, r.store.dir}
	end := r.rsync(ctx, opts)
	if falseAlarm(end) {
		end, err = r.again(ctx, pending, opts, end)
	}
	if err == nil && r.needsReplacing(end) {
		r.log.Info("once more, replacing files that can not be written in place")
		opts.Inplace, opts.WholeFile = false, true
		end, err = r.again(ctx, pending, opts, end)
	}
	if err != nil || judge(end).err != nil {
		return end, err
	}
	lost, err := r.groupsLost(ctx, pending)
	if err != nil {
		return transferEnd{}, step("look at ACLs", err)
	}
	if lost {
		r.log.Info("once more, for the ACLs of sticky directories")
		end, err = r.again(ctx, pending, opts, end)
	}
	return end, errors.Join(err, step("remove what devices replaced", removeSkipped(ctx, pending, end.skipped)))
}

// groupsLost compares with the base what a run has made of sticky directories.
func (r *run) groupsLost(ctx context.Context, pending *os.File) (bool, error) {
	if r.plan.first() {
		return groupsLost(ctx, pending, nil)
	}
	base, err := openDirAt(r.store.dir, r.plan.base.Name)
	if err != nil {
		return false, err
	}
	defer base.Close()
	return groupsLost(ctx, pending, base)
}

// again runs rsync once more on a pending that it has just written: links it
// made there are as unsafe to write to as those of the base. What first has
// copied is worth keeping whatever becomes of this run.
func (r *run) again(ctx context.Context, pending *os.File, opts rsyncexec.Options, first transferEnd) (transferEnd, error) {
	if _, err := prepareTree(ctx, pending, false); err != nil {
		return transferEnd{}, step("prepare pending", err)
	}
	before := r.report.Stats
	r.report.Stats = nil
	if opts.MaxDelete != nil && before != nil {
		left := max(0, *opts.MaxDelete-before.Deleted)
		opts.MaxDelete = &left
	}
	end := r.rsync(ctx, opts)
	end.connected = end.connected || first.connected
	r.report.Stats = addUp(before, r.report.Stats)
	return end, nil
}

// addUp is what two runs of rsync did, and what there was at the end.
func addUp(first, second *rsyncexec.Stats) *rsyncexec.Stats {
	if first == nil || second == nil {
		return cmp.Or(second, first)
	}
	sum := *second
	sum.Created += first.Created
	sum.Deleted += first.Deleted
	sum.Transferred += first.Transferred
	sum.TransferredSize += first.TransferredSize
	sum.Literal += first.Literal
	sum.Matched += first.Matched
	sum.Sent += first.Sent
	sum.Received += first.Received
	return &sum
}

// writeOut lets every file of a doubtful pending be clean or in error.
func (r *run) writeOut() error {
	if err := r.flush(); err != nil {
		return err
	}
	return step("note", r.enter(phaseTransfer))
}

// survey tells what is foreseen: a first backup that will not fit, and what
// --one-file-system leaves out. dense is set when it found no file with holes.
func (r *run) survey(ctx context.Context, pending *os.File, tree *prepared) (dense bool, err error) {
	if !r.src.local() || !r.plan.first() && !r.o.OneFileSystem {
		return false, nil
	}
	v, err := surveySource(ctx, r.src, r.o.OneFileSystem)
	if err != nil {
		return false, err
	}
	free, _, err := r.store.space()
	if err != nil {
		return false, err
	}
	f := forecast{need: v.bytes.Load(), have: uint64(tree.bytes.Load()), free: free, compressed: r.store.compresses()}
	f.rules = len(r.o.Filter)+len(r.o.Exclude)+len(r.o.ExcludeFrom)+len(r.o.RsyncArgs) > 0
	if text := f.text(r.src.shown, r.store.path); r.plan.first() && text != "" {
		r.notice(text)
	}
	if len(v.mounts) > 0 {
		// That was asked for, and is no news; it stays in the log and the record.
		text := "other filesystems are left out: " + quoteSome(v.mounts)
		r.report.Notices = append(r.report.Notices, text)
		r.log.Info(text)
	}
	if len(v.subvolumes) > 0 {
		// Nobody sees by a directory that it is one.
		r.notice("nested subvolumes are left out: " + quoteSome(v.subvolumes))
	}
	for _, path := range slices.Concat(v.mounts, v.subvolumes) {
		if err := emptySkipped(ctx, pending, path); err != nil {
			return false, err
		}
	}
	return !v.sparse.Load(), nil
}

// falseAlarm tells whether rsync complained of nothing but a fault of its own:
// with --hard-links and --acls, 3.5.0 asks for the default ACL of what was a
// directory until it made it a further name of a file, and exits 23 although
// all is copied. A second run finds nothing to do, or what is really wrong.
func falseAlarm(end transferEnd) bool {
	if !end.partial() {
		return false
	}
	for _, line := range end.result.Complaints {
		if !falseAlarmMessage.MatchString(line) {
			return false
		}
	}
	return len(end.result.Complaints) > 0
}

var falseAlarmMessage = regexp.MustCompile(`^rsync: \[generator\] get_acl: sys_acl_get_file\(.*, ACL_TYPE_DEFAULT\): Permission denied \(13\)$|^rsync error: some files/attrs were not transferred`)

// needsReplacing tells whether files failed only because an ordinary user may
// not open them for writing: a copy of a file of mode 0444 has that mode too.
// A second run, which writes such a file anew, has nothing else to do.
func (r *run) needsReplacing(end transferEnd) bool {
	return os.Geteuid() != 0 && !r.o.WholeFiles && end.partial()
}

// partial tells whether rsync ended by itself with exit 23, and nothing graver
// hides behind that: only then a second run is of use.
func (end transferEnd) partial() bool {
	var exit *rsyncexec.ExitError
	return errors.As(end.err, &exit) && exit.Code == rsyncexec.ExitPartial &&
		!end.noSpace && !end.stopped && !errors.Is(end.err, rsyncexec.ErrStillRunning)
}

// rsync runs one rsync to its end and fills in the report. Its messages name
// our descriptors; people are told the paths.
func (r *run) rsync(ctx context.Context, opts rsyncexec.Options) transferEnd {
	names := strings.NewReplacer(inherited, opts.ExtraFiles[0].Name())
	var end transferEnd
	said := rsyncSays{log: r.log, names: names}
	failed := newFailedFiles()
	opts.Line = func(stream, line string) {
		if stream == "stderr" {
			failed.add(line)
			end.noSpace = end.noSpace || noSpace(line)
			if opts.MaxDelete != nil && stoppedMessage.MatchString(line) {
				end.stopped = true
				return // the guard says it in the user's words
			}
		}
		if stream == "stdout" && connectedMessage.MatchString(line) {
			end.connected = true
			return
		}
		if stream == "stdout" && strings.HasPrefix(line, "created directory "+inherited) {
			return // which in a dry run it has not
		}
		// Root makes every device, so nothing is removed on this message's word.
		if path, ok := rsyncexec.ParseSkipped(line); ok && stream == "stdout" && os.Geteuid() != 0 {
			end.skipped = append(end.skipped, path)
		}
		if ctx.Err() != nil {
			return // what rsync says of being stopped is no news
		}
		if stream == "stderr" || r.o.DryRun {
			said.line(line)
		}
	}
	opts.FileList = true
	opts.Version = r.version
	end.result, end.err = rsyncexec.Run(ctx, opts)
	end.rename(names)
	r.store.keepLock = r.store.keepLock || errors.Is(end.err, rsyncexec.ErrStillRunning)
	if end.err != nil {
		end.err = fmt.Errorf("%s: %w", r.src.shown, end.err)
	}
	res := &end.result
	r.report.RsyncExit, r.report.Complaints, r.failed = res.ExitCode, res.Complaints, len(failed.names)
	r.report.RsyncVersion = res.Version.String()
	if res.HaveStats {
		r.report.Stats = &res.Stats
	}
	if old := res.Version.Less(safeRsync); old && !r.src.local() {
		r.notice(fmt.Sprintf("rsync %s has known vulnerabilities that a hostile source can use; %s is free of them", res.Version, safeRsync))
	}
	return end
}

// rsyncSays passes the messages of one rsync on to the log, maxLogged at most.
type rsyncSays struct {
	log   *slog.Logger
	names *strings.Replacer
	lines int
}

func (s *rsyncSays) line(text string) {
	switch s.lines++; {
	case s.lines <= maxLogged:
		s.log.Warn("rsync", "says", s.names.Replace(text))
	case s.lines == maxLogged+1:
		s.log.Warn("further messages of rsync are left out")
	}
}

// andMore counts the files that rsync complained of, but for the first.
func andMore(failed int) string {
	switch {
	case failed < 2:
		return ""
	case failed == 2:
		return ", and 1 more file"
	}
	return fmt.Sprintf(", and %d more files", failed-1)
}

// rename puts paths for descriptors in what rsync said, also in its error.
func (end *transferEnd) rename(names *strings.Replacer) {
	res := &end.result
	for i, line := range res.Complaints {
		res.Complaints[i] = names.Replace(line)
	}
	res.Tail = names.Replace(res.Tail)
	var exit *rsyncexec.ExitError
	if errors.As(end.err, &exit) {
		exit.Complaints, exit.Tail = res.Complaints, res.Tail
	}
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
	opts := rsyncOptions(&r.o, r.plan, r.src, 0)
	opts.DryRun, opts.Changes = true, r.o.Changes
	opts.ExtraFiles = []*os.File{r.store.dir}
	opts.Dest = filepath.Join(inherited, r.plan.against(r.store.pendingName()))
	v := r.judge(r.rsync(ctx, opts))
	if v.err == nil && r.o.Prune != nil {
		return r.foreseePrune(v.status)
	}
	return step("transfer", v.err)
}
