// Restore and Clone: putting a backup back.

package rsbtbackup

import (
	"context"
	"log/slog"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/restore"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// RestoreOptions say what to restore, where to and how. Dest, Backup and one of Target and InPlace are required.
type RestoreOptions struct {
	// Dest is the directory with the backups.
	Dest string
	// Backup is a name, a unique prefix, "latest" or "latest~N".
	Backup string
	// Paths are files and directories in the backup; none means all of it. Each is put under its whole path: etc/ssh
	// becomes Target/etc/ssh, and Target/etc gets the attributes it has in the backup. A leading slash means the root
	// of the backup.
	Paths []string

	// Target is a local directory, created if only its last element is missing, or a remote one in any form that
	// BackupOptions.Source has.
	Target string
	// InPlace restores to the source of the backup, as its record names it.
	InPlace bool

	// Overwrite may be empty if the target is local and empty, or in a dry run, where it then means OverwriteIfChanged.
	Overwrite Overwrite
	// Delete removes from the target what the backup does not have: below the Paths, if there are any, otherwise
	// everywhere.
	Delete bool
	// Exclude are patterns as rsync(1) reads them. What matches is neither restored nor deleted.
	Exclude []string
	// Force allows Delete with a backup that may lack files of its source, and a target that is another directory with
	// backups.
	Force bool
	// NoReflink copies all data, even where blocks could be shared.
	NoReflink bool

	Bwlimit      string        // as rsync's --bwlimit
	Rsh          string        // as rsync's --rsh
	Timeout      time.Duration // without any transfer; 0 means 30 minutes for a remote target, no limit for a local one
	RsyncProgram string        // empty looks it up in PATH

	// DryRun compares, calls Changes and changes nothing.
	DryRun bool
	// Changes, if set, is called for every entry that rsync changes, and for files with many holes and new directories
	// above them, which are copied before: rsync may then change their metadata as well. Entries copied by reflink are
	// counted in the report only.
	Changes  func(rsyncexec.Change)
	Progress func(rsyncexec.Progress) // called while files are copied
	Logger   *slog.Logger             // nil logs nothing
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
	// Complaints are rsync's first messages; they name each file that could not be read.
	Complaints []string `json:"complaints,omitempty"`
	// Failed is how many files rsync reports as not restored, or not fully. Files in a directory that could not be
	// created or read are not counted. Stats count failed files too, and twice those that were tried twice.
	Failed  int      `json:"failed,omitempty"`
	Notices []string `json:"notices,omitempty"`
}

// Restore restores a backup, or the given paths of it. Contents and all metadata are those of the backup: owners,
// modes, times to the nanosecond, hard links, ACLs, extended attributes, holes, devices; an ordinary user gets what the
// kernel lets them set. Nothing in DEST is changed and DEST is not locked, so it may be mounted read-only.
//
// The path of the target is resolved once. Below it no symlink is followed: one that stands where the backup has a
// directory is replaced by it.
//
// When Restore returns without an error, all that it wrote to the filesystem of a local target survives a power cut.
// This does not hold for other filesystems mounted below the target, nor for a remote target.
//
// If root restores to an empty local target on the same btrfs, the restored files share their blocks with the backup.
// No data is read then, so damage is not noticed. A backup in which Verify has found damage is read.
//
// A target that is not empty, or remote, is refused with ErrNotEmpty unless Overwrite or DryRun is set. A target inside
// DEST is always refused (ErrGuard). If DEST lies inside the target it is left out. With ErrIncomplete some files could
// not be read or written, and RestoreReport.Complaints names them; everything else is restored. Other errors match
// ErrUsage, ErrTarget, ErrNoPath, ErrNoBackup, ErrAmbiguous, ErrBackupGone, ErrNoSpace, context.Cause(ctx), those of
// List, or carry an *rsyncexec.ExitError. The report is never nil.
func Restore(ctx context.Context, o RestoreOptions) (*RestoreReport, error) {
	r, err := restore.Run(ctx, restore.Options(o))
	return (*RestoreReport)(r), err
}

// CloneReport says what Clone made.
type CloneReport struct {
	Dest   string `json:"dest"`
	Backup string `json:"backup,omitempty"`
	Path   string `json:"path"` // of the new subvolume
	// Notices say that Verify has found damage in the backup. The new subvolume has it too.
	Notices []string `json:"notices,omitempty"`
}

// Clone makes a writable snapshot of a backup at path, which must not exist and must be on the filesystem of dest, but
// not in dest. The parent of path is resolved once. The snapshot is on disk when Clone returns. No data is read. Root
// and the owner of the backup may do this.
//
// Errors match ErrUsage (also as a *FakeSuperError), ErrTarget (path exists, its parent does not, or it is on another
// filesystem), ErrGuard (inside dest), ErrNoSpace, ErrNoBackup, ErrAmbiguous, or those of List. The report is never
// nil.
func Clone(ctx context.Context, dest, backup, path string) (*CloneReport, error) {
	r, err := restore.Clone(ctx, dest, backup, path)
	return (*CloneReport)(r), err
}
