// Backup: one backup of one source.

package rsbtbackup

import (
	"context"
	"log/slog"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/backup"
	"github.com/rsbtbackup/rsbtbackup/internal/prune"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// BackupOptions say what to back up, where to and how. Source and Dest are required; the zero value of everything else
// is a good default.
type BackupOptions struct {
	// Source is a local directory, host:/path, user@host:/path, [v6::addr]:/path, host::module/path or
	// rsync://host/module/path. Its contents are backed up.
	Source string
	// Dest is a directory that Init has prepared.
	Dest string

	// WholeFiles makes rsync write a changed file anew and rename it into place, instead of writing only the changed
	// blocks into the old one.
	WholeFiles bool
	// Checksum compares every file by content, not by size and time.
	Checksum bool
	// OneFileSystem stays on the filesystem of Source; nested btrfs subvolumes count as others, and are warned of.
	OneFileSystem bool
	// Filter, Exclude and ExcludeFrom are rules and files of rules as rsync(1) reads them. Where DEST lies inside
	// Source, each path to it must be left out by name, such as with "/backup" in Exclude: see DestInsideError.
	Filter, Exclude, ExcludeFrom []string
	// ExcludeCaches leaves out what is in a directory with a file CACHEDIR.TAG that has its signature, and
	// ExcludeIfPresent what is in one with anything of these names: the directory and those stay. For a local Source
	// only.
	ExcludeCaches    bool
	ExcludeIfPresent []string
	Bwlimit          string // as rsync's --bwlimit
	Rsh              string // as rsync's --rsh
	// Timeout ends the run when nothing was transferred for so long. 0 is 30 minutes for a remote source whose files
	// are compared by size and time, no limit otherwise: rsync is silent while it reads a file to compare it.
	Timeout time.Duration
	// RsyncArgs are further options for rsync; those that would break the layout or make a backup that is no copy are
	// refused.
	RsyncArgs []string
	// RsyncProgram is the rsync to run; empty looks it up in PATH.
	RsyncProgram string

	// SkipUnchanged publishes nothing when the backup would hold what the last one holds, in every respect: content,
	// metadata, hard links. The record of that then says so, and counts as a fresh backup where age is asked for. What
	// is in doubt counts as a change.
	SkipUnchanged bool
	// RefusePartial keeps a transfer that could not read everything (rsync exit 23) pending, instead of publishing it
	// as incomplete.
	RefusePartial bool
	// MaxDeletePercent stops the run when more than this share of the files in the last backup is gone from Source; 0
	// does not, unless that was made from another Source: then more than half of them stop it.
	MaxDeletePercent int
	// Force overrides the guards. A Dest inside Source is left out unasked.
	Force bool

	// Scan says how what has changed in a local Source is found: ScanAuto, the default, ScanFull or ScanWalk.
	Scan string

	// SnapshotSource backs up a read-only snapshot of the btrfs subvolume that a local Source lies in, so that the
	// backup is Source at one instant. It is removed when the run ends, or by the next one if a run was killed. The
	// caller is root or the owner of the subvolume. Subvolumes nested below Source, of which the snapshot has none, are
	// refused unless OneFileSystem or Exclude leaves them out, or SnapshotNested takes snapshots of them too, one right
	// after the other. Mounts below Source are left out alike.
	SnapshotSource, SnapshotNested bool
	// BeforeSnapshot and AfterSnapshot, if set, are called around the instant: the second whenever the first was. An
	// error of either ends the run.
	BeforeSnapshot, AfterSnapshot func(context.Context) error

	// Prune, if set, is run after publishing, and only then; not by a run that SkipUnchanged ends. Its DryRun,
	// LockWait, Now and Logger are those of the backup. A dry run foresees what its Policy would delete.
	Prune *PruneOptions

	// DryRun reports what would be transferred and changes nothing.
	DryRun bool
	// Changes, if set, is told in a dry run of every entry that would differ from that in the newest backup, or in the
	// unfinished one to be resumed.
	Changes func(rsyncexec.Change)
	// LockWait is how long to wait for another run; 0 fails at once. The records, if locked, are waited for a minute by
	// default, and ten at least for publishing.
	LockWait time.Duration

	Now      time.Time    // the time the backup is named after; zero is the present
	Logger   *slog.Logger // nil is silence; activity.log is written either way
	Progress func(rsyncexec.Progress)
	// Version of the calling program, for the record.
	Version string
}

// Report is what a backup did.
type Report struct {
	Dest   string `json:"dest"`
	Source string `json:"source"`
	// Name of the new backup; empty in a dry run and when none was published.
	Name         string           `json:"name,omitempty"`
	Status       Status           `json:"status,omitempty"`
	Base         string           `json:"base,omitempty"` // the backup it is incremental on
	Resumed      bool             `json:"resumed"`
	Skipped      bool             `json:"skipped"` // nothing was published, as nothing has changed since Base
	DryRun       bool             `json:"dry_run"`
	Started      time.Time        `json:"started"`
	Ended        time.Time        `json:"ended"`
	RsyncVersion string           `json:"rsync_version,omitempty"`
	RsyncExit    int              `json:"rsync_exit"`
	Stats        *rsyncexec.Stats `json:"stats,omitempty"`
	// AddedBytes is the file data on disk that earlier backups do not share; nil without root: only root may query
	// this.
	AddedBytes *uint64      `json:"added_bytes,omitempty"`
	Scan       *Scan        `json:"scan,omitempty"`       // how what had changed was found
	Complaints []string     `json:"complaints,omitempty"` // the first messages of rsync
	Notices    []string     `json:"notices,omitempty"`
	Repairs    []string     `json:"repairs,omitempty"`
	Prune      *PruneReport `json:"prune,omitempty"`
}

// Backup makes one backup of o.Source in o.Dest. When it returns nil, the backup is complete, cur names it, and both
// survive an immediate power cut. With ErrIncomplete it is published too, but rsync could not read everything. With any
// other error earlier backups are untouched, and nothing was published unless the report has a name: then the backup is
// there, and what failed came after it. What was transferred but not published is kept for the next run where it can be
// trusted.
//
// Other errors match ErrUsage, ErrDest, ErrNotBtrfs, ErrNotInitialized, ErrLocked, ErrSource, ErrGuard, ErrNoSpace,
// context.Cause(ctx), or carry an *rsyncexec.ExitError. The report is never nil.
//
// Several backups, to different destinations, may run in one process.
func Backup(ctx context.Context, o BackupOptions) (*Report, error) {
	r, err := backup.Run(ctx, o.room())
	return reportOf(r), err
}

// room carries the options over: Prune keeps the compiler from converting them at once.
func (o BackupOptions) room() backup.Options {
	return backup.Options{
		Source: o.Source, Dest: o.Dest, WholeFiles: o.WholeFiles, Checksum: o.Checksum, OneFileSystem: o.OneFileSystem,
		Filter: o.Filter, Exclude: o.Exclude, ExcludeFrom: o.ExcludeFrom,
		ExcludeCaches: o.ExcludeCaches, ExcludeIfPresent: o.ExcludeIfPresent, Bwlimit: o.Bwlimit, Rsh: o.Rsh,
		Timeout: o.Timeout, RsyncArgs: o.RsyncArgs, RsyncProgram: o.RsyncProgram, SkipUnchanged: o.SkipUnchanged, RefusePartial: o.RefusePartial,
		MaxDeletePercent: o.MaxDeletePercent, Force: o.Force, Scan: o.Scan,
		SnapshotSource: o.SnapshotSource, SnapshotNested: o.SnapshotNested, BeforeSnapshot: o.BeforeSnapshot, AfterSnapshot: o.AfterSnapshot,
		Prune: (*prune.Options)(o.Prune), DryRun: o.DryRun,
		Changes: o.Changes, LockWait: o.LockWait, Now: o.Now, Logger: o.Logger, Progress: o.Progress,
		Version: o.Version,
	}
}

func reportOf(r *backup.Report) *Report {
	return &Report{
		Dest: r.Dest, Source: r.Source, Name: r.Name, Status: r.Status, Base: r.Base, Resumed: r.Resumed, Skipped: r.Skipped,
		DryRun: r.DryRun, Started: r.Started, Ended: r.Ended, RsyncVersion: r.RsyncVersion, RsyncExit: r.RsyncExit,
		Stats: r.Stats, AddedBytes: r.AddedBytes, Scan: r.Scan, Complaints: r.Complaints, Notices: r.Notices, Repairs: r.Repairs,
		Prune: (*PruneReport)(r.Prune),
	}
}
