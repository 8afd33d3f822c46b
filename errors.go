// Errors: what a caller can test for with errors.Is and errors.As.

package rsbtbackup

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
)

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
	// ErrOverlap: SRC and DEST are one directory, or SRC lies inside DEST. It
	// comes with ErrGuard, but Force does not override it.
	ErrOverlap = errors.New("SRC lies in DEST")
	// ErrNoSpace: no space, or no quota, left in DEST.
	ErrNoSpace = errors.New("no space left")
	// ErrIncomplete: the backup is published, but rsync could not read
	// everything (exit 23). The report that comes with it is valid.
	ErrIncomplete = errors.New("published, but incomplete")
	// ErrUsage: the options contradict each other or the layout.
	ErrUsage = errors.New("wrong usage")
	// ErrNoBackup: no backup goes by that name.
	ErrNoBackup = errors.New("no such backup")
	// ErrAmbiguous: a prefix fits several backups.
	ErrAmbiguous = errors.New("ambiguous backup name")
)

// A DestInsideError is the guard that DEST lies inside SRC, which may not be
// what was meant. It comes with ErrGuard.
type DestInsideError struct {
	Source string
	// Paths below Source lead to DEST; there are several where bind mounts, or a
	// second mount of the filesystem, show it again.
	Paths []string
	// Exclude is what to add to BackupOptions.Exclude to leave DEST out at each
	// of Paths.
	Exclude []string
	// OtherFilesystem: DEST is on another one than SRC, so that OneFileSystem
	// leaves it out too, with all else that is mounted below SRC.
	OtherFilesystem bool
}

func (e *DestInsideError) Error() string {
	return "DEST lies inside SRC " + e.Source + ", at " + quoteSome(e.Paths)
}

// A LacksError is the guard that a restore would delete what its backup may
// lack. It comes with ErrGuard; RestoreOptions.Force overrides it.
type LacksError struct {
	Backup     string
	Incomplete bool     // what could not be read is not in it
	Rules      []string // that may have left something out, as options
	// Exclude is what to add to RestoreOptions.Exclude to spare what was left out;
	// nil if that is not enough.
	Exclude []string
}

func (e *LacksError) Error() string {
	if e.Incomplete {
		return e.Backup + " is incomplete: to delete what it does not have would delete what could not be read when it was made"
	}
	return fmt.Sprintf("%s was made with %s: to delete what it does not have would delete what that left out", e.Backup, strings.Join(e.Rules, " "))
}

// A FakeSuperError refuses to make a subvolume of a backup that was made with
// rsync's --fake-super: all its files belong to who made it, and what they had
// stands in attributes. Restore reads those. It comes with ErrUsage.
type FakeSuperError struct {
	Backup string
}

func (e *FakeSuperError) Error() string {
	return e.Backup + " was made with --fake-super: a subvolume of it would not have the owners and modes of its source"
}

// A StepError says in which step of a verb Err happened.
type StepError struct {
	Step string // such as "open", "lock", "transfer", "publish"
	Err  error
}

func (e *StepError) Error() string { return e.Step + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }

// step wraps err, if any, and lets a full disk or quota be recognised by
// errors.Is(err, ErrNoSpace) whichever call met it.
func step(name string, err error) error {
	if err == nil {
		return nil
	}
	// A source can not make DEST full.
	if isFull(err) && !errors.Is(err, ErrNoSpace) && !errors.Is(err, ErrSource) {
		err = kindError{ErrNoSpace, err}
	}
	return &StepError{Step: name, Err: err}
}

// A kindError files a cause under one of the sentinels above without
// repeating the sentinel's text.
type kindError struct{ kind, err error }

func (e kindError) Error() string   { return e.err.Error() }
func (e kindError) Unwrap() []error { return []error{e.kind, e.err} }

// failf makes an error of the given kind; format may carry %w.
func failf(kind error, format string, args ...any) error {
	return kindError{kind, fmt.Errorf(format, args...)}
}
