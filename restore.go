// Restore: putting a backup, or parts of it, back with rsync, after a reflink
// copy of whatever shares the filesystem. restoretarget.go decides where to,
// reflink.go copies.

package rsbtbackup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
	"golang.org/x/sys/unix"
)

// ErrTarget: the target of a restore is missing, unusable or out of reach.
var ErrTarget = errors.New("target not available")

// ErrNotEmpty: something is in the target and nothing says what may happen to
// it. It goes with ErrGuard.
var ErrNotEmpty = errors.New("target not empty")

// Overwrite says what a restore does with a file that is in the target
// already.
type Overwrite string

const (
	// OverwriteAlways writes every file (rsync --ignore-times).
	OverwriteAlways Overwrite = "always"
	// OverwriteIfChanged writes a file whose size or time, to the nanosecond,
	// differs from that in the backup (rsync's own way).
	OverwriteIfChanged Overwrite = "if-changed"
	// OverwriteIfNewer is OverwriteIfChanged, but a file that is newer in the
	// target stays (rsync --update). Ages count between regular files only: a
	// symlink, or an entry of another kind than in the backup, is replaced
	// whatever its time.
	OverwriteIfNewer Overwrite = "if-newer"
	// OverwriteNever leaves every file that is there; directories get their
	// attributes back (rsync --ignore-existing). It takes rsync 3.5.0 at the
	// target, unless that is empty: older ones follow a symlink there that stands
	// where the backup has a directory. A local one that is older is refused
	// (ErrUsage, ErrRsyncTooOld).
	OverwriteNever Overwrite = "never"
)

// Change is an entry of the target that a restore changes; see
// rsyncexec.Change.
type Change = rsyncexec.Change

// RestoreOptions say what to restore, where to and how. Dest, Backup and one
// of Target and InPlace are required.
type RestoreOptions struct {
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
	Overwrite Overwrite
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

// RestoreReport is what a restore did.
type RestoreReport struct {
	Dest   string `json:"dest"`
	Backup string `json:"backup,omitempty"`
	// Paths are those asked for, cleaned; empty means the whole backup.
	Paths  []string  `json:"paths,omitempty"`
	Target string    `json:"target,omitempty"`
	DryRun bool      `json:"dry_run"`
	Start  time.Time `json:"started"`
	End    time.Time `json:"ended"`
	// Reflinked counts what was copied by sharing its blocks; nil if nothing was.
	Reflinked *ReflinkStats `json:"reflinked,omitempty"`
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

// Restore puts a backup, or the paths named, back. Contents and all metadata
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
func Restore(ctx context.Context, o RestoreOptions) (*RestoreReport, error) {
	r := &restore{o: o, log: loggerOrSilence(o.Logger)}
	r.report = &RestoreReport{Dest: o.Dest, Target: o.Target, DryRun: o.DryRun, Start: time.Now().UTC()}
	err := r.restore(ctx)
	r.report.End = time.Now().UTC()
	return r.report, err
}

// restore is one restore under way.
type restore struct {
	o      RestoreOptions
	report *RestoreReport
	log    *slog.Logger
	view   *view
	stored rsyncexec.Stored // how the backup was made
	paths  []string         // clean, none below another
	target *target
}

func (r *restore) restore(ctx context.Context) (err error) {
	if err := r.checkOptions(); err != nil {
		return step("options", err)
	}
	if r.view, err = openView(r.o.Dest, r.o.Backup); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.view.close()) }()
	r.report.Dest, r.report.Backup = r.view.store.path, r.view.snap.Name
	r.stored = storedAs(r.view.snap)
	if err := r.checkPaths(); err != nil {
		return step("find", err)
	}
	if err := r.checkDelete(); err != nil {
		return step("guard", err)
	}
	if r.target, err = r.openTarget(ctx); err != nil {
		return step("target", err)
	}
	defer func() { err = errors.Join(err, r.target.close()) }()
	r.report.Target = r.target.shown
	return r.transfer(ctx)
}

func (r *restore) checkOptions() error {
	o := &r.o
	switch {
	case o.InPlace && o.Target != "":
		return failf(ErrUsage, "a target and in place are both given")
	case !o.InPlace && o.Target == "":
		return failf(ErrUsage, "no target is given")
	}
	switch o.Overwrite {
	case "", OverwriteAlways, OverwriteIfChanged, OverwriteIfNewer, OverwriteNever:
	default:
		return failf(ErrUsage, "overwrite %q: want always, if-changed, if-newer or never", o.Overwrite)
	}
	var err error
	r.paths, err = cleanPaths(o.Paths)
	r.report.Paths = r.paths
	return err
}

// storedAs tells how b holds what its source had, from the options on record.
func storedAs(b Snapshot) rsyncexec.Stored {
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
		rel, err := backupPath(path)
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
		dir, err := openBeneath(r.view.root, filepath.Dir(path))
		if err == nil {
			_, err = statAt(dir, filepath.Base(path))
			err = errors.Join(err, dir.Close())
		}
		switch {
		case err == nil:
		case errors.Is(err, unix.ELOOP):
			return failf(ErrNoPath, "%q in %s: a symlink is on the way; name the path it leads to", path, r.view.snap.Name)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
			return r.view.explain(failf(ErrNoPath, "%q is not in %s", path, r.view.snap.Name))
		default:
			return r.view.explain(err)
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
	return step("flush", refused)
}

// copy copies by reflink what it can and lets rsync do the rest, which
// includes telling what went wrong.
func (r *restore) copy(ctx context.Context) error {
	if r.reflinkFits() {
		whole, err := r.reflink(ctx)
		if err != nil {
			return step("copy", r.view.explain(err))
		}
		if whole {
			return step("copy", r.view.gone())
		}
	}
	end := r.rsync(ctx)
	if falseAlarm(end) {
		end = r.again(ctx, end)
	}
	lost, lookErr := r.losesGroups(ctx, end)
	if lost {
		end = r.again(ctx, end)
	}
	err := r.judge(end)
	if gone := r.view.gone(); gone != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w; %s is not complete", gone, r.target.shown)
	}
	return errors.Join(step("transfer", err), step("look at ACLs", r.view.explain(lookErr)))
}

// losesGroups tells whether a second run is needed for what the first may have
// done to a sticky directory of the backup.
func (r *restore) losesGroups(ctx context.Context, end transferEnd) (bool, error) {
	if err := r.judge(end); r.o.DryRun || err != nil && !errors.Is(err, ErrIncomplete) {
		return false, nil
	}
	return groupsAtRisk(ctx, r.view.root, r.paths)
}

// again runs rsync once more over what first has restored.
func (r *restore) again(ctx context.Context, first transferEnd) transferEnd {
	before := r.report.Stats
	r.report.Stats = nil
	if (first.err == nil || falseAlarm(first)) && r.o.Overwrite == OverwriteAlways {
		r.o.Overwrite = OverwriteIfChanged // all is written
	}
	r.o.Changes = nil
	end := r.rsync(ctx)
	r.report.Stats = addUp(before, r.report.Stats)
	return end
}

// sourceFD is where rsync finds the root of the backup: it inherits the target
// first, then this.
const sourceFD = "/proc/self/fd/4"

func (r *restore) rsyncOptions() rsyncexec.Options {
	o := &r.o
	opts := rsyncexec.Options{
		Program: o.RsyncProgram, Source: rsyncexec.Source{Kind: rsyncexec.Local, Path: sourceFD}, Paths: r.paths,
		Dest: filepath.Join(inherited, r.target.missing), RemoteDest: r.target.remote,
		HardLinks: !r.stored.NoHardLinks, ACLs: !r.stored.NoACLs, Xattrs: !r.stored.NoXattrs,
		NumericIDs: true, Atimes: r.stored.Atimes, Sparse: true,
		SourceFakeSuper: r.stored.FakeSuper, Privileged: os.Geteuid() == 0,
		WholeFile: r.target.remote == nil, Delete: o.Delete, KeepExcluded: true, DryRun: o.DryRun,
		OneFileSystem:  o.Delete, // what is mounted below the target was not in the source, or has a backup of its own
		IgnoreTimes:    o.Overwrite == OverwriteAlways,
		Update:         o.Overwrite == OverwriteIfNewer,
		IgnoreExisting: o.Overwrite == OverwriteNever,
		Protect:        r.target.filter, Exclude: o.Exclude,
		Bwlimit: o.Bwlimit, Rsh: o.Rsh, Timeout: o.Timeout,
		Changes: o.Changes, Progress: o.Progress,
		ExtraFiles: []*os.File{r.target.dir, r.view.root},
	}
	if r.target.dir == nil {
		opts.ExtraFiles[0] = r.view.root
	}
	if opts.Timeout == 0 && r.target.remote != nil {
		opts.Timeout = remoteTimeout
	}
	return opts
}

// rsync runs it to its end and fills in the report. Its messages name our
// descriptors; people are told the paths.
func (r *restore) rsync(ctx context.Context) transferEnd {
	names := strings.NewReplacer(sourceFD, r.view.root.Name(), inherited, r.target.shown)
	var end transferEnd
	said := rsyncSays{log: r.log, names: names}
	failed := newFailedFiles()
	opts := r.rsyncOptions()
	opts.Line = func(stream, line string) {
		if stream != "stderr" {
			if path, ok := rsyncexec.ParseSkipped(line); ok {
				end.skipped = append(end.skipped, path)
			}
			return
		}
		failed.add(line)
		end.readOnly = end.readOnly || readOnlyMessage.MatchString(line)
		end.noSpace = end.noSpace || noSpace(line)
		said.line(line)
	}
	end.result, end.err = rsyncexec.Run(ctx, opts)
	end.rename(names)
	end.remote = r.target.remote != nil
	res := &end.result
	r.report.RsyncExit, r.report.Complaints, r.report.Failed = res.ExitCode, res.Complaints, len(failed.names)+len(end.skipped)
	if !res.Started.IsZero() {
		r.report.RsyncVersion = res.Version.String()
	}
	if res.HaveStats {
		r.report.Stats = &res.Stats
	}
	return end
}

// readOnlyMessage is what a daemon says of a module that may not be written to
// (3.0 to 3.5.0); it ends with the code of a wrong option.
var readOnlyMessage = regexp.MustCompile(`^(@ERROR: |ERROR: )?module is read only$`)

// judge weighs the end of rsync. Exit 24 can only mean that the backup went
// away, which is asked for by itself.
func (r *restore) judge(end transferEnd) error {
	var exit *rsyncexec.ExitError
	switch {
	case errors.Is(end.err, rsyncexec.ErrStillRunning):
		return end.err // whatever it exited with: something still writes
	case end.noSpace:
		return failf(ErrNoSpace, "%s is full: %w", r.target.shown, end.failure("rsync: no space left on device"))
	case end.err == nil && len(end.skipped) > 0:
		end.result.Complaints = []string{end.leftOut()}
		return r.incomplete(end)
	case end.err == nil:
		return nil
	case !errors.As(end.err, &exit):
		return end.err
	case exit.Code == rsyncexec.ExitPartial:
		return r.incomplete(end)
	case end.remote && end.readOnly:
		return failf(ErrTarget, "%s: %w", r.target.shown, end.err)
	case exit.Code == rsyncexec.ExitSyntax:
		return kindError{ErrUsage, end.err}
	case end.remote && (connectionLost(exit.Code) || exit.Code == rsyncexec.ExitFileSelect || exit.Code == rsyncexec.ExitFileIO):
		return failf(ErrTarget, "%s: %w", r.target.shown, end.err)
	}
	return end.err
}

// incomplete names the first file; the report has the others.
func (r *restore) incomplete(end transferEnd) error {
	text := "some files could not be restored"
	if c := end.result.Complaints; len(c) > 0 {
		text = c[0] + andMore(r.report.Failed-len(end.skipped))
	}
	return failf(ErrIncomplete, "%s is restored to %s, but not all of it: %s", r.view.snap.Name, r.target.shown, text)
}
