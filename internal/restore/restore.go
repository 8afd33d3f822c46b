// Restore: putting a backup, or parts of it, back with rsync, after a reflink
// copy of whatever shares the filesystem. restoretarget.go decides where to,
// reflink.go copies.

package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Change is an entry of the target that a restore changes; see
// rsyncexec.Change.
type Change = rsyncexec.Change

// Options say what to restore, where to and how. Dest, Backup and one
// of Target and InPlace are required.
type Options struct {
	// Dest is the directory with the backups.
	Dest string
	// Backup is a name, a unique prefix, "latest" or "latest~N".
	Backup string
	// Paths are files and directories in the backup; none means all of it. Each
	// is put under its whole path: etc/ssh becomes Target/etc/ssh, and Target/etc
	// gets the attributes it has in the backup. A leading slash means the root of
	// the backup.
	Paths []string

	// Target is a local directory, made if only its last element is missing, or
	// a remote one in any form that BackupOptions.Source has.
	Target string
	// InPlace restores to where the backup was made from, as its record says.
	InPlace bool

	// Overwrite may be empty when the target is local and empty, or in a dry
	// run, where it then means OverwriteIfChanged.
	Overwrite facts.Overwrite
	// Delete removes from the target what the backup does not have: below the
	// Paths, if there are any, otherwise everywhere.
	Delete bool
	// Exclude are patterns as rsync(1) reads them. What matches is neither
	// restored nor deleted.
	Exclude []string
	// Force lets Delete go by a backup that may lack something its source had,
	// and write into another directory with backups.
	Force bool
	// NoReflink reads and writes all data even where it could be shared.
	NoReflink bool

	Bwlimit      string        // as rsync's --bwlimit
	Rsh          string        // as rsync's --rsh
	Timeout      time.Duration // without any transfer; 0 is 30 minutes for a remote target, no limit for a local one
	RsyncProgram string        // empty looks it up in PATH

	// DryRun compares, tells Changes and changes nothing.
	DryRun bool
	// Changes, if set, is told of every entry changed by rsync. Entries copied
	// by reflink are counted in the report only.
	Changes  func(rsyncexec.Change)
	Progress func(rsyncexec.Progress)
	Logger   *slog.Logger // nil is silence
}

// Report is what a restore did.
type Report struct {
	Dest   string `json:"dest"`
	Backup string `json:"backup,omitempty"`
	// Paths are those asked for, cleaned; empty means the whole backup.
	Paths  []string  `json:"paths,omitempty"`
	Target string    `json:"target,omitempty"`
	DryRun bool      `json:"dry_run"`
	Start  time.Time `json:"started"`
	End    time.Time `json:"ended"`
	// Reflinked counts what was copied by sharing its blocks; nil if nothing was.
	Reflinked *facts.ReflinkStats `json:"reflinked,omitempty"`
	// RsyncVersion is empty when the reflink copy left nothing to do.
	RsyncVersion string           `json:"rsync_version,omitempty"`
	RsyncExit    int              `json:"rsync_exit"`
	Stats        *rsyncexec.Stats `json:"stats,omitempty"`
	// Complaints are the first messages of rsync; they name each file that could
	// not be read.
	Complaints []string `json:"complaints,omitempty"`
	// Failed is how many files rsync names that are not restored, or not as they
	// were. What is in a directory that could not be made, or read, it does not
	// name. Stats count them as well, and twice what was tried twice.
	Failed  int      `json:"failed,omitempty"`
	Notices []string `json:"notices,omitempty"`
}

// Run puts a backup, or the paths named, back. Contents and all metadata
// are those of the backup: owners, modes, times to the nanosecond, hard links,
// ACLs, extended attributes, holes, devices; an ordinary user gets what the
// kernel lets them set. Nothing in DEST is changed and DEST is not locked, so
// it may be mounted read-only.
//
// The path of the target is resolved once. Below it no symlink is followed:
// one that stands where the backup has a directory is replaced by it.
//
// When Restore returns without an error, what it wrote to the filesystem of a
// local target survives a power cut. Of other filesystems that are mounted
// below it, and of a remote target, nothing is known.
//
// An empty local target on the same btrfs is filled, by root, with files that
// share their blocks with the backup. No data is read then, so damage is not
// noticed, unless Verify has found it before: such a backup is read.
//
// A target that is not empty, or remote, is refused with ErrNotEmpty unless
// Overwrite or DryRun is set, and one inside DEST always is (ErrGuard). If DEST
// lies inside the target it is left out. With ErrIncomplete some files could
// not be read or written, everything else is restored, and
// RestoreReport.Complaints names them. Other errors match ErrUsage, ErrTarget,
// ErrNoPath, ErrNoBackup, ErrAmbiguous, ErrBackupGone, ErrNoSpace,
// context.Cause(ctx), those of List, or carry an *rsyncexec.ExitError. The
// report is never nil.
func Run(ctx context.Context, o Options) (*Report, error) {
	r := &restore{o: o, log: store.LoggerOrSilence(o.Logger)}
	r.report = &Report{Dest: o.Dest, Target: o.Target, DryRun: o.DryRun, Start: time.Now().UTC()}
	err := r.restore(ctx)
	r.report.End = time.Now().UTC()
	return r.report, err
}

// restore is one restore under way.
type restore struct {
	o      Options
	report *Report
	log    *slog.Logger
	view   *store.View
	stored rsyncexec.Stored // how the backup was made
	paths  []string         // clean, none below another
	target *target
	stay   []string // below the target, what rsync must be kept away from
	barred []string // those of them that are in the way of more, as messages
}

func (r *restore) restore(ctx context.Context) (err error) {
	if err := r.checkOptions(); err != nil {
		return fail.Step("options", err)
	}
	if r.view, err = store.OpenView(r.o.Dest, r.o.Backup); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.view.Close()) }()
	r.report.Dest, r.report.Backup = r.view.Store.Path, r.view.Snap.Name
	r.stored = storedAs(r.view.Snap)
	if err := r.checkPaths(); err != nil {
		return fail.Step("find", err)
	}
	if err := r.checkDelete(); err != nil {
		return fail.Step("guard", err)
	}
	if r.target, err = r.openTarget(ctx); err != nil {
		return fail.Step("target", err)
	}
	defer func() { err = errors.Join(err, r.target.close()) }()
	r.report.Target = r.target.shown
	return r.transfer(ctx)
}

func (r *restore) checkOptions() error {
	o := &r.o
	switch {
	case o.InPlace && o.Target != "":
		return fail.Kindf(facts.ErrUsage, "a target and in place are both given")
	case !o.InPlace && o.Target == "":
		return fail.Kindf(facts.ErrUsage, "no target is given")
	}
	switch o.Overwrite {
	case "", facts.OverwriteAlways, facts.OverwriteIfChanged, facts.OverwriteIfNewer, facts.OverwriteNever:
	default:
		return fail.Kindf(facts.ErrUsage, "overwrite %q: want always, if-changed, if-newer or never", o.Overwrite)
	}
	var err error
	r.paths, err = cleanPaths(o.Paths)
	r.report.Paths = r.paths
	return err
}

// storedAs tells how b holds what its source had, from the options on record.
func storedAs(b facts.Snapshot) rsyncexec.Stored {
	if b.Record == nil {
		return rsyncexec.Stored{}
	}
	spec, err := rsyncexec.ParseSource(b.Record.SourceName())
	return rsyncexec.ParseStored(b.Record.Rules, err != nil || spec.Kind == rsyncexec.Local)
}

// cleanPaths leaves out what lies below another path. None means everything,
// and so does the root.
func cleanPaths(paths []string) ([]string, error) {
	var clean []string
	for _, path := range paths {
		rel, err := store.BackupPath(path)
		if err != nil {
			return nil, err
		}
		clean = append(clean, rel)
	}
	if slices.Contains(clean, ".") {
		return nil, nil
	}
	kept := []string{}
	for i, path := range clean {
		covered := slices.Contains(clean[:i], path) || slices.ContainsFunc(clean, func(other string) bool {
			return strings.HasPrefix(path, other+"/")
		})
		if !covered {
			kept = append(kept, path)
		}
	}
	return kept, nil
}

// checkPaths looks each path up without following a symlink: what it leads to
// has another path, and rsync would restore it under this one.
func (r *restore) checkPaths() error {
	for _, path := range r.paths {
		dir, err := at.OpenBeneath(r.view.Root, filepath.Dir(path))
		if err == nil {
			_, err = at.Stat(dir, filepath.Base(path))
			err = errors.Join(err, dir.Close())
		}
		switch {
		case err == nil:
		case errors.Is(err, unix.ELOOP):
			return fail.Kindf(facts.ErrNoPath, "%q in %s: a symlink is on the way; name the path it leads to", path, r.view.Snap.Name)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
			return r.view.Explain(fail.Kindf(facts.ErrNoPath, "%q is not in %s", path, r.view.Snap.Name))
		default:
			return r.view.Explain(err)
		}
	}
	return nil
}

func (r *restore) notice(text string) {
	r.report.Notices = append(r.report.Notices, text)
	r.log.Warn(text)
}

// transfer copies, and asks whether the disk took it all: rsync is content with
// what the page cache took.
func (r *restore) transfer(ctx context.Context) error {
	err := r.copy(ctx)
	if err == nil || errors.Is(err, facts.ErrIncomplete) {
		err = errors.Join(err, fail.Step("look at times", r.noticeTimes(ctx)))
	}
	started := r.report.Reflinked != nil || r.report.RsyncVersion != ""
	if r.o.DryRun || !started || err != nil && ctx.Err() != nil {
		return err
	}
	refused := r.target.flush()
	if refused == nil {
		return err
	}
	if err != nil {
		refused = fmt.Errorf("%w; before that: %v", refused, err) // no part is restored for sure
	}
	return fail.Step("flush", refused)
}

// copy copies by reflink what it can and lets rsync do the rest, which
// includes telling what went wrong.
func (r *restore) copy(ctx context.Context) error {
	if r.reflinkFits() {
		whole, err := r.reflink(ctx)
		if err != nil {
			return fail.Step("copy", r.view.Explain(err))
		}
		if whole {
			return fail.Step("copy", r.view.Gone())
		}
	}
	if more, err := r.prepare(ctx); err != nil || !more {
		return fail.Step("compare with the target", r.view.Explain(err))
	}
	end := r.rsync(ctx)
	for r.goesRound(end) {
		end = r.again(ctx, end)
	}
	if transfer.FalseAlarm(end) {
		end = r.again(ctx, end)
	}
	lost, lookErr := r.losesGroups(ctx, end)
	if lost {
		end = r.again(ctx, end)
	}
	if text := end.UnheldText(); text != "" {
		r.notice(text)
	}
	err := r.judge(end)
	if gone := r.view.Gone(); gone != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w; %s is not complete", gone, r.target.shown)
	}
	return errors.Join(fail.Step("transfer", err), fail.Step("look at ACLs", r.view.Explain(lookErr)))
}

// losesGroups tells whether a second run is needed for what the first may have
// done to a sticky directory of the backup.
func (r *restore) losesGroups(ctx context.Context, end transfer.End) (bool, error) {
	if err := r.judge(end); r.o.DryRun || err != nil && !errors.Is(err, facts.ErrIncomplete) {
		return false, nil
	}
	return transfer.GroupsAtRisk(ctx, r.view.Root, r.paths)
}

// again runs rsync once more over what first has restored.
func (r *restore) again(ctx context.Context, first transfer.End) transfer.End {
	if (first.Err == nil || transfer.FalseAlarm(first)) && r.o.Overwrite == facts.OverwriteAlways {
		r.o.Overwrite = facts.OverwriteIfChanged // all is written
	}
	r.o.Changes = nil
	end := r.rsync(ctx).After(first)
	r.report.Stats = end.Stats
	return end
}

// rulesFD is the third of them: what stays in the target, if anything does.
const rulesFD = "/proc/self/fd/5"

func (r *restore) rsyncOptions(rules *os.File) rsyncexec.Options {
	o := &r.o
	opts := rsyncexec.Options{
		Program: o.RsyncProgram, Source: rsyncexec.Source{Kind: rsyncexec.Local, Path: transfer.SourceFD}, Paths: r.paths,
		Dest: filepath.Join(source.Inherited, r.target.missing), RemoteDest: r.target.remote,
		HardLinks: !r.stored.NoHardLinks, ACLs: !r.stored.NoACLs, Xattrs: !r.stored.NoXattrs,
		NumericIDs: true, Atimes: r.stored.Atimes, Sparse: true,
		SourceFakeSuper: r.stored.FakeSuper, Privileged: os.Geteuid() == 0,
		WholeFile: r.target.remote == nil, Delete: o.Delete, KeepExcluded: true, DryRun: o.DryRun,
		OneFileSystem:  o.Delete, // what is mounted below the target was not in the source, or has a backup of its own
		IgnoreTimes:    o.Overwrite == facts.OverwriteAlways,
		Update:         o.Overwrite == facts.OverwriteIfNewer,
		IgnoreExisting: o.Overwrite == facts.OverwriteNever,
		Protect:        hiding(r.target.spared), Exclude: o.Exclude,
		Bwlimit: o.Bwlimit, Rsh: o.Rsh, Timeout: o.Timeout,
		Changes: o.Changes, Progress: o.Progress,
		ExtraFiles: []*os.File{r.target.dir, r.view.Root},
	}
	if r.target.dir == nil {
		opts.ExtraFiles[0] = r.view.Root
	}
	if rules != nil {
		opts.ProtectFrom = rulesFD
		opts.ExtraFiles = append(opts.ExtraFiles, rules)
	}
	if opts.Timeout == 0 && r.target.remote != nil {
		opts.Timeout = source.RemoteTimeout
	}
	return opts
}

// hiding are the rules that keep rsync away from paths below the target.
func hiding(paths []string) []string {
	var rules []string
	for _, path := range paths {
		rules = append(rules, "- /"+source.EscapePattern(path))
	}
	return rules
}

// rsync runs it to its end and fills in the report. Its messages name our
// descriptors; people are told the paths.
func (r *restore) rsync(ctx context.Context) transfer.End {
	rules, written, err := r.stayRules()
	if err != nil {
		return transfer.End{Err: err}
	}
	if rules != nil {
		defer func() {
			rules.Close() // only read from
			<-written
		}()
	}
	end := transfer.Run(ctx, transfer.Job{
		Options: r.rsyncOptions(rules), Log: r.log, Devices: true,
		Names: strings.NewReplacer(transfer.SourceFD, r.view.Root.Name(), source.Inherited, r.target.shown),
	})
	res := &end.Result
	r.report.RsyncExit, r.report.Complaints = res.ExitCode, append(slices.Clone(r.barred), res.Complaints...)
	r.report.Failed = end.Failed + len(end.Skipped) + len(r.barred)
	if !res.Started.IsZero() {
		r.report.RsyncVersion = res.Version.String()
	}
	r.report.Stats = end.Stats
	return end
}

// judge weighs the end of rsync. Exit 24 can only mean that the backup went
// away, which is asked for by itself.
func (r *restore) judge(end transfer.End) error {
	var exit *rsyncexec.ExitError
	switch {
	case errors.Is(end.Err, rsyncexec.ErrStillRunning):
		return end.Err // whatever it exited with: something still writes
	case end.NoSpace:
		return fail.Kindf(facts.ErrNoSpace, "%s is full: %w", r.target.shown, end.Failure("rsync: no space left on device"))
	case end.Err == nil && len(end.Skipped) > 0:
		end.Result.Complaints = []string{end.LeftOut()}
		return r.incomplete(end)
	case end.Err == nil && len(r.barred) > 0 && !r.o.DryRun:
		return r.incomplete(end)
	case end.Err == nil:
		return nil
	case !errors.As(end.Err, &exit):
		return end.Err
	case exit.Code == rsyncexec.ExitPartial:
		return r.incomplete(end)
	case r.target.remote != nil && end.ReadOnly:
		return fail.Kindf(facts.ErrTarget, "%s: %w", r.target.shown, end.Err)
	case exit.Code == rsyncexec.ExitSyntax:
		return fail.Kind(facts.ErrUsage, end.Err)
	case r.target.remote != nil && (transfer.ConnectionLost(exit.Code) || exit.Code == rsyncexec.ExitFileSelect || exit.Code == rsyncexec.ExitFileIO):
		return fail.Kindf(facts.ErrTarget, "%s: %w", r.target.shown, end.Err)
	}
	return end.Err
}

// incomplete names the first file; the report has the others.
func (r *restore) incomplete(end transfer.End) error {
	text := "some files could not be restored"
	if c := slices.Concat(r.barred, end.Result.Complaints); len(c) > 0 {
		text = c[0] + say.AndMore(r.report.Failed-len(end.Skipped))
	}
	kind := facts.ErrIncomplete
	if len(r.barred) > 0 {
		kind = errors.Join(facts.ErrIncomplete, facts.ErrInTheWay)
	}
	return fail.Kindf(kind, "%s is restored to %s, but not all of it: %s", r.view.Snap.Name, r.target.shown, text)
}
