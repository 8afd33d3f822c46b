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
	// OneFileSystem stays on the filesystem of Source. Nested btrfs subvolumes count as other filesystems; a warning
	// names them.
	OneFileSystem bool
	// Filter, Exclude and ExcludeFrom are rules and files of rules as rsync(1) reads them. Where DEST lies inside
	// Source, each path to it must be excluded explicitly, for example with "/backup" in Exclude: see DestInsideError.
	Filter, Exclude, ExcludeFrom []string
	// ExcludeCaches leaves out the contents of each directory that has a CACHEDIR.TAG with the right signature.
	// ExcludeIfPresent leaves out the contents of each directory that has an entry with one of these names. The
	// directory itself and the marking entry are backed up. Both need a local Source.
	ExcludeCaches    bool
	ExcludeIfPresent []string // see ExcludeCaches
	Bwlimit          string   // as rsync's --bwlimit
	Rsh              string   // as rsync's --rsh
	// Timeout ends the run when nothing was transferred for this long. 0 means 30 minutes for a remote source whose
	// files are compared by size and time, and no limit otherwise, because rsync is silent while it reads a file to
	// compare it.
	Timeout time.Duration
	// RsyncArgs are further options for rsync. Options that would break the layout, or make a backup that is not a
	// copy, are refused.
	RsyncArgs []string
	// RsyncProgram is the rsync to run; empty looks it up in PATH.
	RsyncProgram string

	// SkipUnchanged publishes nothing if the backup would equal the last one in content, metadata and hard links. The
	// record of the last backup then says so, and Check counts that backup as fresh. If in doubt, the run publishes.
	SkipUnchanged bool
	// RefusePartial does not publish a transfer that could not read everything (rsync exit 23) as incomplete, but
	// leaves it pending.
	RefusePartial bool
	// MaxDeletePercent stops the run when more than this share of the files in the last backup is gone from Source. 0
	// means no limit, or 50 if the last backup was made from another Source.
	MaxDeletePercent int
	// Force overrides the guards. A Dest inside Source is then left out automatically.
	Force bool

	// Scan says how changes in a local Source are found: ScanAuto, the default, ScanFull or ScanWalk.
	Scan string

	// SnapshotSource backs up a read-only snapshot of the btrfs subvolume that a local Source lies in, so that the
	// backup is Source at one instant. The snapshot is removed when the run ends, or by the next run if this one is
	// killed. The caller must be root or own the subvolume. The snapshot does not contain subvolumes nested below
	// Source. They are refused unless OneFileSystem or Exclude leaves them out, or SnapshotNested takes snapshots of
	// them too, one right after the other. Mounts below Source must be left out in the same way.
	SnapshotSource, SnapshotNested bool
	// BeforeSnapshot and AfterSnapshot, if set, are called right before and after the snapshot is made; AfterSnapshot
	// whenever BeforeSnapshot was. An error of either ends the run.
	BeforeSnapshot, AfterSnapshot func(context.Context) error

	// Prune, if set, runs after a backup was published, so not in a run that SkipUnchanged ends. It uses the DryRun,
	// LockWait, Now and Logger of the backup. A dry run reports what its Policy would delete.
	Prune *PruneOptions

	// DryRun reports what would be transferred and changes nothing.
	DryRun bool
	// Changes, if set, is called in a dry run for every entry that would change, compared with the newest backup, or
	// with the unfinished one that would be resumed.
	Changes func(rsyncexec.Change)
	// LockWait is how long to wait for another run; 0 fails at once. Locked records are waited for by default for one
	// minute, and for at least ten minutes when publishing.
	LockWait time.Duration

	Now      time.Time                // the time the backup is named after; zero means now
	Logger   *slog.Logger             // nil logs nothing; activity.log is always written
	Progress func(rsyncexec.Progress) // called while rsync runs
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
	Skipped      bool             `json:"skipped"` // nothing was published, because nothing has changed since Base
	DryRun       bool             `json:"dry_run"`
	Started      time.Time        `json:"started"`
	Ended        time.Time        `json:"ended"`
	RsyncVersion string           `json:"rsync_version,omitempty"`
	RsyncExit    int              `json:"rsync_exit"`
	Stats        *rsyncexec.Stats `json:"stats,omitempty"`
	// AddedBytes is the file data on disk that earlier backups do not share. Only root may query this; for others it is
	// nil.
	AddedBytes *uint64      `json:"added_bytes,omitempty"`
	Scan       *Scan        `json:"scan,omitempty"`       // how changes were found
	Complaints []string     `json:"complaints,omitempty"` // rsync's first messages
	Notices    []string     `json:"notices,omitempty"`
	Repairs    []string     `json:"repairs,omitempty"`
	Prune      *PruneReport `json:"prune,omitempty"`
}

// Backup makes one backup of o.Source in o.Dest. When it returns nil, the backup is complete, cur names it, and both
// survive an immediate power cut. With ErrIncomplete the backup is published too, but rsync could not read everything.
// With any other error earlier backups are untouched, and nothing was published unless the report has a Name: then the
// backup exists, and a later step failed. Data that was transferred but not published is kept for the next run if it
// can be trusted.
//
// Other errors match ErrUsage, ErrDest, ErrNotBtrfs, ErrNotInitialized, ErrLocked, ErrSource, ErrGuard, ErrNoSpace,
// context.Cause(ctx), or carry an *rsyncexec.ExitError. The report is never nil.
//
// Several backups, to different destinations, may run in one process.
func Backup(ctx context.Context, o BackupOptions) (*Report, error) {
	r, err := backup.Run(ctx, o.room())
	return reportOf(r), err
}

// room converts the options field by field: Prune has another type, so Go cannot convert the whole struct.
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
