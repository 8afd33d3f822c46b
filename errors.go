// Errors: what a caller can test for with errors.Is and errors.As.

package rsbtbackup

import "github.com/rsbtbackup/rsbtbackup/facts"

var (
	// ErrNoPath: the backup has nothing under that path.
	ErrNoPath = facts.ErrNoPath
	// ErrBackupGone: the backup was deleted while it was read.
	ErrBackupGone = facts.ErrBackupGone
	// ErrNotBtrfs: DEST is not a directory on btrfs.
	ErrNotBtrfs = facts.ErrNotBtrfs
	// ErrNotInitialized: DEST has no marker; run Init first.
	ErrNotInitialized = facts.ErrNotInitialized
	// ErrDest: DEST is missing or not a directory.
	ErrDest = facts.ErrDest
	// ErrLocked: another run works on DEST.
	ErrLocked = facts.ErrLocked
	// ErrSource: the source is missing, unreadable or out of reach.
	ErrSource = facts.ErrSource
	// ErrGuard: a safety guard stopped the run before anything was published.
	ErrGuard = facts.ErrGuard
	// ErrOverlap: SRC and DEST are one directory, or SRC lies inside DEST. It comes with ErrGuard, but Force does not
	// override it.
	ErrOverlap = facts.ErrOverlap
	// ErrOtherFilesystem: at SRC, or below it, another filesystem is mounted than on record, or none. It comes with
	// ErrGuard.
	ErrOtherFilesystem = facts.ErrOtherFilesystem
	// ErrUnusual: far more would be deleted than earlier prunes deleted, or the clock has jumped. It comes with
	// ErrGuard.
	ErrUnusual = facts.ErrUnusual
	// ErrNoSpace: no space, or no quota, left in DEST.
	ErrNoSpace = facts.ErrNoSpace
	// ErrIncomplete: the backup is published, but rsync could not read everything (exit 23). The report that comes with
	// it is valid.
	ErrIncomplete = facts.ErrIncomplete
	// ErrInTheWay: something in the target is kept and blocks a file that should be restored there. It comes with
	// ErrIncomplete.
	ErrInTheWay = facts.ErrInTheWay
	// ErrUsage: the options contradict each other or the layout.
	ErrUsage = facts.ErrUsage
	// ErrNoBackup: no backup has that name.
	ErrNoBackup = facts.ErrNoBackup
	// ErrAmbiguous: a prefix fits several backups.
	ErrAmbiguous = facts.ErrAmbiguous
	// ErrDamaged: Verify found data that the disk can no longer return as it was written.
	ErrDamaged = facts.ErrDamaged
	// ErrUnread: Verify could not read something for another reason, such as a missing right, and so does not know
	// whether it is damaged.
	ErrUnread = facts.ErrUnread
	// ErrNotVerified: Verify has read files whose data has no checksums, and so does not know whether they are intact.
	ErrNotVerified = facts.ErrNotVerified
	// ErrDiffers: a backup and a source are not the same.
	ErrDiffers = facts.ErrDiffers
	// ErrCheck: Check found something that needs action.
	ErrCheck = facts.ErrCheck
	// ErrNotCompared: something could not be read; the rest of the comparison is valid.
	ErrNotCompared = facts.ErrNotCompared
	// ErrBinary: one of the two files is not text.
	ErrBinary = facts.ErrBinary
	// ErrTooLarge: one of the two files is too large for a comparison by lines.
	ErrTooLarge = facts.ErrTooLarge
	// ErrTarget: the target of a restore is missing, unusable or out of reach.
	ErrTarget = facts.ErrTarget
	// ErrNotEmpty: the target is not empty and Overwrite is not set. It comes with ErrGuard.
	ErrNotEmpty = facts.ErrNotEmpty
)

// A DestInsideError refuses a DEST inside SRC that no rule excludes. It comes with ErrGuard.
//
// Its fields: go doc rsbtbackup/facts.DestInsideError
type DestInsideError = facts.DestInsideError

// A LacksError refuses a restore with Delete from a backup that may lack files of its source. It comes with ErrGuard;
// RestoreOptions.Force overrides it.
//
// Its fields: go doc rsbtbackup/facts.LacksError
type LacksError = facts.LacksError

// A FakeSuperError refuses to clone a backup that was made with rsync's --fake-super: its files belong to the user who
// made it, and their real owners and modes are in extended attributes. Restore reads those; a clone would not. It comes
// with ErrUsage.
//
// Its fields: go doc rsbtbackup/facts.FakeSuperError
type FakeSuperError = facts.FakeSuperError

// A SnapshotError refuses to back up a snapshot of the source. It comes with ErrUsage.
//
// Its fields: go doc rsbtbackup/facts.SnapshotError
type SnapshotError = facts.SnapshotError

// A StepError says in which step of a verb Err occurred.
//
// Its fields: go doc rsbtbackup/facts.StepError
type StepError = facts.StepError

// A HeldError: the space of a deleted backup is not free yet, because a program has a file in it open, or it is
// mounted.
//
// Its fields: go doc rsbtbackup/facts.HeldError
type HeldError = facts.HeldError
