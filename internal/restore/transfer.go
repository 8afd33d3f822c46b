// The transfer: rsync from the backup into the target, and what its end means.

package restore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// rulesFD is the third inherited file: the rules about what stays in the target, if anything does.
const rulesFD = "/proc/self/fd/5"

func (x cleared) rsyncOptions() rsyncexec.Options {
	o := x.o
	opts := rsyncexec.Options{
		Program: o.RsyncProgram, Source: rsyncexec.Source{Kind: rsyncexec.Local, Path: transfer.SourceFD}, Paths: x.open,
		Dest: filepath.Join(source.Inherited, x.target.missing), RemoteDest: x.target.remote,
		HardLinks: !x.stored.NoHardLinks, ACLs: !x.stored.NoACLs, Xattrs: !x.stored.NoXattrs, UserXattrs: os.Geteuid() != 0,
		NumericIDs: true, Atimes: x.stored.Atimes, Sparse: true,
		SourceFakeSuper: x.stored.FakeSuper, Privileged: os.Geteuid() == 0,
		WholeFile: x.target.remote == nil, Delete: o.Delete, KeepExcluded: true, DryRun: o.DryRun,
		OneFileSystem:  o.Delete, // filesystems mounted below the target were not in the source, or have backups of their own
		IgnoreTimes:    o.Overwrite == facts.OverwriteAlways,
		Update:         o.Overwrite == facts.OverwriteIfNewer,
		IgnoreExisting: o.Overwrite == facts.OverwriteNever,
		Protect:        hiding(x.target.spared), Exclude: o.Exclude,
		Bwlimit: o.Bwlimit, Rsh: o.Rsh, Timeout: o.Timeout,
		Changes: o.Changes, Progress: o.Progress, Protocol: x.target.remote != nil,
		ExtraFiles: []*os.File{x.target.dir, x.view.Root},
	}
	if x.target.dir == nil {
		opts.ExtraFiles[0] = x.view.Root
	}
	if opts.Timeout == 0 && x.target.remote != nil {
		opts.Timeout = source.RemoteTimeout
	}
	return opts
}

// hiding are the rules that hide paths below the target from rsync.
func hiding(paths []string) []string {
	var rules []string
	for _, path := range paths {
		rules = append(rules, "- /"+source.EscapePattern(path))
	}
	return rules
}

// transfer runs rsync, and again where that is known to help. It adds to x what blocked rsync. err says why it is not
// known whether another run would help.
func (x cleared) transfer(ctx context.Context) (way cleared, end transfer.End, err error) {
	opts := x.rsyncOptions()
	sparse := x.copySparse(ctx)
	end = x.rsync(ctx, opts)
	if end.Stats != nil {
		end = end.After(transfer.End{Stats: &sparse})
	}
	for around, ok := x.goesRound(end); ok; around, ok = x.goesRound(end) {
		x = around
		end = x.again(ctx, opts, end)
	}
	if transfer.FalseAlarm(end) {
		end = x.again(ctx, opts, end)
	}
	if x.o.DryRun || !end.Useful() {
		return x, end, nil
	}
	lost, err := transfer.GroupsAtRisk(ctx, x.view.Root, x.open)
	if lost {
		end = x.again(ctx, opts, end)
	}
	return x, end, err
}

// again runs rsync once more after first.
func (x cleared) again(ctx context.Context, opts rsyncexec.Options, first transfer.End) transfer.End {
	if first.Err == nil || transfer.FalseAlarm(first) {
		opts.IgnoreTimes = false // everything has been written
	}
	opts.Changes = nil
	return x.rsync(ctx, opts).After(first)
}

// rsync runs rsync once. In its messages, paths through our descriptors are replaced by those the user knows.
func (x cleared) rsync(ctx context.Context, opts rsyncexec.Options) transfer.End {
	rules, written, err := x.stayRules()
	if err != nil {
		return transfer.End{Err: err}
	}
	if rules != nil {
		defer func() {
			rules.Close() // only read from
			<-written
		}()
		opts.ProtectFrom = rulesFD
		opts.ExtraFiles = append(slices.Clone(opts.ExtraFiles), rules)
	}
	job := transfer.Job{
		Options: opts, Log: x.tell.Log, Devices: true,
		Names: strings.NewReplacer(transfer.SourceFD, x.view.Root.Name(), source.Inherited, x.target.shown),
	}
	if !opts.DryRun {
		job.Into = x.target.dir
	}
	return transfer.Run(ctx, job)
}

// complaints are the first messages about files that are not restored.
func (x copied) complaints() []string {
	return slices.Concat(x.barred, x.end.Result.Complaints)
}

// failed is how many files are known not to be restored.
func (x copied) failed() int { return x.end.Failed + len(x.end.Skipped) + len(x.barred) }

// judge decides from rsync's exit status. Exit 24 can only mean that the backup was deleted, which is checked
// separately.
func (x copied) judge() error {
	end := x.end
	var exit *rsyncexec.ExitError
	switch {
	case errors.Is(end.Err, rsyncexec.ErrStillRunning):
		return end.Err // a process still writes, whatever the exit status
	case end.NoSpace:
		return fail.Kindf(facts.ErrNoSpace, "%s is full: %w", x.target.shown, end.Failure("rsync: no space left on device"))
	case end.Err == nil && len(end.Skipped) > 0:
		return x.incomplete(append(slices.Clone(x.barred), end.LeftOut())...)
	case end.Err == nil && len(x.barred) > 0 && !x.o.DryRun:
		return x.incomplete(x.complaints()...)
	case end.Err == nil:
		return nil
	case !errors.As(end.Err, &exit):
		return end.Err
	case exit.Code == rsyncexec.ExitPartial:
		return x.incomplete(x.complaints()...)
	case x.target.remote != nil && end.ReadOnly:
		return fail.Kindf(facts.ErrTarget, "%s: %w", x.target.shown, end.Err)
	case exit.Code == rsyncexec.ExitSyntax:
		return fail.Kind(facts.ErrUsage, end.Err)
	case x.target.remote != nil && (transfer.ConnectionLost(exit.Code) || exit.Code == rsyncexec.ExitFileSelect || exit.Code == rsyncexec.ExitFileIO):
		return fail.Kindf(facts.ErrTarget, "%s: %w", x.target.shown, end.Err)
	}
	return end.Err
}

// incomplete names the first file; the report has the others.
func (x copied) incomplete(complaints ...string) error {
	text := "some files could not be restored"
	if len(complaints) > 0 {
		text = complaints[0] + say.AndMore(x.failed()-len(x.end.Skipped))
	}
	kind := facts.ErrIncomplete
	if len(x.barred) > 0 {
		kind = errors.Join(facts.ErrIncomplete, facts.ErrInTheWay)
	}
	return fail.Kindf(kind, "%s is restored to %s, but not all of it: %s", x.view.Snap.Name, x.target.shown, text)
}
