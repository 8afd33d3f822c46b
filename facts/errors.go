// Errors: what a caller can test for with errors.Is and errors.As.

package facts

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
)

// ErrDiffers: a backup and a source are not the same.
var ErrDiffers = errors.New("not the same as the source")

var (
	// ErrNoPath: the backup has nothing under that path.
	ErrNoPath = errors.New("no such path in the backup")
	// ErrBackupGone: the backup was deleted while it was read.
	ErrBackupGone = errors.New("deleted while it was read")
)

// ErrCheck: Check found something that somebody must look at.
var ErrCheck = errors.New("check failed")

// ErrNotCompared: the comparison is good but for what could not be read.
var ErrNotCompared = errors.New("not everything could be compared")

// ErrBinary: one of two files is no text.
var ErrBinary = errors.New("not a text file")

// ErrTooLarge: one of two files is too large to be compared by lines.
var ErrTooLarge = errors.New("too large to be compared by lines")

var (
	// ErrNotBtrfs: DEST is not a directory on btrfs.
	ErrNotBtrfs = btrfs.ErrNotBtrfs
	// ErrNotInitialized: DEST has no marker; run Init first.
	ErrNotInitialized = errors.New("not initialised as a backup directory")
	// ErrDest: DEST is missing or not a directory.
	ErrDest = errors.New("not usable as a backup directory")
	// ErrLocked: another run works on DEST.
	ErrLocked = errors.New("locked by another run")
	// ErrSource: the source is missing, unreadable or out of reach.
	ErrSource = errors.New("source not available")
	// ErrGuard: a safety guard stopped the run before anything was published.
	ErrGuard = errors.New("stopped by a safety guard")
	// ErrOverlap: SRC and DEST are one directory, or SRC lies inside DEST. It comes with ErrGuard, but Force does not
	// override it.
	ErrOverlap = errors.New("SRC lies in DEST")
	// ErrOtherFilesystem: at SRC, or below it, another filesystem is mounted than on record, or none. It comes with
	// ErrGuard.
	ErrOtherFilesystem = errors.New("not the filesystem on record")
	// ErrUnusual: far more would be deleted than was before, or the clock has jumped. It comes with ErrGuard.
	ErrUnusual = errors.New("not what was deleted before")
	// ErrNoSpace: no space, or no quota, left in DEST.
	ErrNoSpace = errors.New("no space left")
	// ErrIncomplete: the backup is published, but rsync could not read everything (exit 23). The report that comes with
	// it is valid.
	ErrIncomplete = errors.New("published, but incomplete")
	// ErrInTheWay: something in the target stays, and is in the way of what was to be restored. It goes with
	// ErrIncomplete.
	ErrInTheWay = errors.New("something is in the way")
	// ErrUsage: the options contradict each other or the layout.
	ErrUsage = errors.New("wrong usage")
	// ErrNoBackup: no backup has that name.
	ErrNoBackup = errors.New("no such backup")
	// ErrAmbiguous: a prefix fits several backups.
	ErrAmbiguous = errors.New("ambiguous backup name")
)

// A DestInsideError is the guard that DEST lies inside SRC, which may not be what was meant. It comes with ErrGuard.
type DestInsideError struct {
	Source string
	// Paths below Source lead to DEST; there are several where bind mounts, or a second mount of the filesystem, show
	// it again.
	Paths []string
	// Exclude is what to add to BackupOptions.Exclude to leave DEST out at each of Paths.
	Exclude []string
	// OtherFilesystem: DEST is on another one than SRC, so that OneFileSystem leaves it out too, with all else that is
	// mounted below SRC.
	OtherFilesystem bool
}

func (e *DestInsideError) Error() string {
	return "DEST lies inside SRC " + e.Source + ", at " + say.QuoteSome(e.Paths)
}

// A LacksError is the guard that a restore would delete what its backup may lack. It comes with ErrGuard;
// RestoreOptions.Force overrides it.
type LacksError struct {
	Backup     string
	Incomplete bool     // what could not be read is not in it
	Rules      []string // that may have left something out, as options
	// Exclude is what to add to RestoreOptions.Exclude to spare what was left out; nil if that is not enough.
	Exclude []string
}

func (e *LacksError) Error() string {
	if e.Incomplete {
		return e.Backup + " is incomplete: to delete what it does not have would delete what could not be read when it was made"
	}
	return fmt.Sprintf("%s was made with %s: to delete what it does not have would delete what that left out", e.Backup, strings.Join(e.Rules, " "))
}

// A FakeSuperError refuses to make a subvolume of a backup that was made with rsync's --fake-super: all its files
// belong to who made it, and what they had stands in attributes. Restore reads those. It comes with ErrUsage.
type FakeSuperError struct {
	Backup string
}

func (e *FakeSuperError) Error() string {
	return e.Backup + " was made with --fake-super: a subvolume of it would not have the owners and modes of its source"
}

// A SnapshotError refuses to back up a snapshot of the source. It comes with ErrUsage.
type SnapshotError struct {
	Nested  []string // subvolumes in the source's one that the snapshot would lack
	Mounted []string // paths below the source that it would lack
	Err     error
}

func (e *SnapshotError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *SnapshotError) Unwrap() error { return e.Err }

// A StepError says in which step of a verb Err happened.
type StepError struct {
	Step string // such as "open", "lock", "transfer", "publish"
	Err  error
}

func (e *StepError) Error() string { return e.Step + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }

// A HeldError: a deleted backup gives its space back when the last program that has something open in it, or has
// mounted it, lets go.
type HeldError struct {
	Backup string // the name it had
	Text   string
}

func (e *HeldError) Error() string { return e.Text }

// Unwrap files it under ErrNoSpace.
func (e *HeldError) Unwrap() error { return ErrNoSpace }

// ErrArchive: what comes in is neither an archive nor a send stream, or it is damaged, or cut off.
var ErrArchive = errors.New("not a backup that can be received")

// ErrTarget: the target of a restore is missing, unusable or out of reach.
var ErrTarget = errors.New("target not available")

// ErrNotEmpty: something is in the target and nothing says what may happen to it. It goes with ErrGuard.
var ErrNotEmpty = errors.New("target not empty")

var (
	// ErrDamaged: Verify found what the disk no longer gives back.
	ErrDamaged = errors.New("damaged")
	// ErrUnread: Verify could not read something for another reason, such as a missing right, and so does not know
	// whether it is damaged.
	ErrUnread = errors.New("could not be read")
	// ErrNotVerified: Verify has read files whose data has no checksums, and so does not know whether they are intact.
	ErrNotVerified = errors.New("not verified")
)
