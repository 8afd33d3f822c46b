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
	// ErrUnusual: far more would be deleted than was before, or the clock has jumped. It comes with ErrGuard.
	ErrUnusual = facts.ErrUnusual
	// ErrNoSpace: no space, or no quota, left in DEST.
	ErrNoSpace = facts.ErrNoSpace
	// ErrIncomplete: the backup is published, but rsync could not read everything (exit 23). The report that comes with
	// it is valid.
	ErrIncomplete = facts.ErrIncomplete
	// ErrInTheWay: something in the target stays, and is in the way of what was to be restored. It goes with
	// ErrIncomplete.
	ErrInTheWay = facts.ErrInTheWay
	// ErrUsage: the options contradict each other or the layout.
	ErrUsage = facts.ErrUsage
	// ErrNoBackup: no backup has that name.
	ErrNoBackup = facts.ErrNoBackup
	// ErrAmbiguous: a prefix fits several backups.
	ErrAmbiguous = facts.ErrAmbiguous
	// ErrDamaged: Verify found what the disk no longer gives back.
	ErrDamaged = facts.ErrDamaged
	// ErrUnread: Verify could not read something for another reason, such as a missing right, and so does not know
	// whether it is damaged.
	ErrUnread = facts.ErrUnread
	// ErrNotVerified: Verify has read files whose data has no checksums, and so does not know whether they are intact.
	ErrNotVerified = facts.ErrNotVerified
	// ErrDiffers: a backup and a source are not the same.
	ErrDiffers = facts.ErrDiffers
	// ErrCheck: Check found something that somebody must look at.
	ErrCheck = facts.ErrCheck
	// ErrNotCompared: the comparison is good but for what could not be read.
	ErrNotCompared = facts.ErrNotCompared
	// ErrBinary: one of two files is no text.
	ErrBinary = facts.ErrBinary
	// ErrTooLarge: one of two files is too large to be compared by lines.
	ErrTooLarge = facts.ErrTooLarge
	// ErrTarget: the target of a restore is missing, unusable or out of reach.
	ErrTarget = facts.ErrTarget
	// ErrNotEmpty: something is in the target and nothing says what may happen to it. It goes with ErrGuard.
	ErrNotEmpty = facts.ErrNotEmpty
)

// A DestInsideError is the guard that DEST lies inside SRC, which may not be what was meant. It comes with ErrGuard.
//
// Its fields: go doc rsbtbackup/facts.DestInsideError
type DestInsideError = facts.DestInsideError

// A LacksError is the guard that a restore would delete what its backup may lack. It comes with ErrGuard;
// RestoreOptions.Force overrides it.
//
// Its fields: go doc rsbtbackup/facts.LacksError
type LacksError = facts.LacksError

// A FakeSuperError refuses to make a subvolume of a backup that was made with rsync's --fake-super: all its files
// belong to who made it, and what they had stands in attributes. Restore reads those. It comes with ErrUsage.
//
// Its fields: go doc rsbtbackup/facts.FakeSuperError
type FakeSuperError = facts.FakeSuperError

// A SnapshotError refuses to back up a snapshot of the source. It comes with ErrUsage.
//
// Its fields: go doc rsbtbackup/facts.SnapshotError
type SnapshotError = facts.SnapshotError

// A StepError says in which step of a verb Err happened.
//
// Its fields: go doc rsbtbackup/facts.StepError
type StepError = facts.StepError

// A HeldError: a deleted backup gives its space back when the last program that has something open in it, or has
// mounted it, lets go.
//
// Its fields: go doc rsbtbackup/facts.HeldError
type HeldError = facts.HeldError
