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

// ErrCheck: Check found something that needs action.
var ErrCheck = errors.New("check failed")

// ErrNotCompared: something could not be read; the rest of the comparison is valid.
var ErrNotCompared = errors.New("not everything could be compared")

// ErrBinary: one of the two files is not text.
var ErrBinary = errors.New("not a text file")

// ErrTooLarge: one of the two files is too large for a comparison by lines.
var ErrTooLarge = errors.New("too large for a comparison by lines")

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
	ErrOtherFilesystem = errors.New("not the recorded filesystem")
	// ErrUnusual: far more would be deleted than earlier prunes deleted, or the clock has jumped. It comes with
	// ErrGuard.
	ErrUnusual = errors.New("unusual deletions")
	// ErrNoSpace: no space, or no quota, left in DEST.
	ErrNoSpace = errors.New("no space left")
	// ErrIncomplete: the backup is published, but rsync could not read everything (exit 23). The report that comes with
	// it is valid.
	ErrIncomplete = errors.New("published, but incomplete")
	// ErrInTheWay: something in the target is kept and blocks a file that should be restored there. It comes with
	// ErrIncomplete.
	ErrInTheWay = errors.New("something is in the way")
	// ErrUsage: the options contradict each other or the layout.
	ErrUsage = errors.New("wrong usage")
	// ErrNoBackup: no backup has that name.
	ErrNoBackup = errors.New("no such backup")
	// ErrAmbiguous: a prefix fits several backups.
	ErrAmbiguous = errors.New("ambiguous backup name")
)

// A DestInsideError refuses a DEST inside SRC that no rule excludes. It comes with ErrGuard.
type DestInsideError struct {
	Source string
	// Paths below Source lead to DEST. There are several if DEST is also visible through a bind mount or a second mount
	// of its filesystem.
	Paths []string
	// Exclude is what to add to BackupOptions.Exclude to exclude DEST at each of Paths.
	Exclude []string
	// OtherFilesystem: DEST is on another filesystem than SRC, so OneFileSystem also leaves it out, with everything
	// else that is mounted below SRC.
	OtherFilesystem bool
}

func (e *DestInsideError) Error() string {
	return "DEST lies inside SRC " + e.Source + ", at " + say.QuoteSome(e.Paths)
}

// A LacksError refuses a restore with Delete from a backup that may lack files of its source. It comes with ErrGuard;
// RestoreOptions.Force overrides it.
type LacksError struct {
	Backup     string
	Incomplete bool     // files that could not be read are not in it
	Unrecorded bool     // by which rules it was made is not known
	Rules      []string // options that may have left something out
	// Exclude is what to add to RestoreOptions.Exclude so that files left out of the backup are not deleted; nil if
	// that is not enough.
	Exclude []string
}

func (e *LacksError) Error() string {
	if e.Incomplete {
		return e.Backup + " is incomplete: --delete would also delete files that could not be read when it was made"
	}
	if e.Unrecorded {
		return "no record says how " + e.Backup + " was made: --delete would also delete files that were left out of it"
	}
	return fmt.Sprintf("%s was made with %s: --delete would also delete the files that were left out", e.Backup, strings.Join(e.Rules, " "))
}

// A FakeSuperError refuses to clone a backup that was made with rsync's --fake-super: its files belong to the user who
// made it, and their real owners and modes are in extended attributes. Restore reads those; a clone would not. It comes
// with ErrUsage.
type FakeSuperError struct {
	Backup string
}

func (e *FakeSuperError) Error() string {
	return e.Backup + " was made with --fake-super: a subvolume of it would not have the owners and modes of its source"
}

// A SnapshotError refuses to back up a snapshot of the source. It comes with ErrUsage.
type SnapshotError struct {
	Nested  []string // subvolumes nested in that of the source that the snapshot would lack
	Mounted []string // mounted filesystems below the source that the snapshot would lack
	Err     error
}

func (e *SnapshotError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *SnapshotError) Unwrap() error { return e.Err }

// A StepError says in which step of a verb Err occurred.
type StepError struct {
	Step string // such as "open", "lock", "transfer", "publish"
	Err  error
}

func (e *StepError) Error() string { return e.Step + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }

// A HeldError: the space of a deleted backup is not free yet, because a program has a file in it open, or it is
// mounted.
type HeldError struct {
	Backup string // the name it had
	Text   string
}

func (e *HeldError) Error() string { return e.Text }

// Unwrap returns ErrNoSpace.
func (e *HeldError) Unwrap() error { return ErrNoSpace }

// ErrArchive: the input is neither an archive nor a send stream, or it is damaged or cut off.
var ErrArchive = errors.New("not a backup that can be received")

// ErrTarget: the target of a restore is missing, unusable or out of reach.
var ErrTarget = errors.New("target not available")

// ErrNotEmpty: the target is not empty and Overwrite is not set. It comes with ErrGuard.
var ErrNotEmpty = errors.New("target not empty")

var (
	// ErrDamaged: Verify found data that the disk can no longer return as it was written.
	ErrDamaged = errors.New("damaged")
	// ErrUnread: Verify could not read something for another reason, such as a missing right, and so does not know
	// whether it is damaged.
	ErrUnread = errors.New("could not be read")
	// ErrNotVerified: Verify has read files whose data has no checksums, and so does not know whether they are intact.
	ErrNotVerified = errors.New("not verified")
)
