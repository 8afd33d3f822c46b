// Prune, Delete, Pin: which backups go.

package rsbtbackup

import (
	"context"
	"log/slog"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/prune"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// PruneOptions say what to keep. Policy or MinFree must be set.
type PruneOptions struct {
	// Policy keeps each backup that any of its rules matches; see package retention. Pinned backups and the newest
	// complete one are always kept.
	Policy retention.Policy
	// MinFree deletes further backups, oldest first, until this much is free. It deletes none if the file data of all
	// backups that may be deleted is too little, or while something is mounted on a backup. It stops while a file is
	// open in a backup that it has deleted. Only root can find out any of this.
	MinFree MinFree
	// KeepMin complete backups are kept even if MinFree is not reached; 0 means 1.
	KeepMin int
	// Wait returns only when the space of the deleted backups is free again.
	Wait bool

	// Force also deletes when the clock has jumped, or when nearly all backups would be deleted although earlier prunes
	// deleted few. Without Force this is ErrUnusual.
	Force bool

	// DryRun reports the plan and the space it would free, and changes nothing.
	DryRun   bool
	LockWait time.Duration // how long to wait for another run; 0 fails at once
	Now      time.Time     // zero means now
	Logger   *slog.Logger  // nil logs nothing; activity.log is always written
	// Progress is called after each deletion. total is 0 if the number is not known beforehand: while MinFree deletes.
	Progress func(done, total int)
}

// PruneReport says what Prune decided and did. Decisions are newest first.
type PruneReport struct {
	Dest      string     `json:"dest"`
	DryRun    bool       `json:"dry_run"`
	Decisions []Decision `json:"decisions"`
	Deleted   []string   `json:"deleted"`
	Free      uint64     `json:"free"`  // bytes, as statfs reports to an ordinary user
	Total     uint64     `json:"total"` // bytes
	Repairs   []string   `json:"repairs,omitempty"`
	// Refused says, in a dry run, why a run without Force would delete nothing.
	Refused string `json:"refused,omitempty"`
	// AtMost reports that Frees is an upper bound, as in Listing.
	AtMost bool `json:"at_most,omitempty"`
}

// Prune deletes the backups that o.Policy does not keep, oldest first. The owner of the backups and root may do this.
//
// Errors match ErrUsage (neither Policy nor MinFree is set, or a value is invalid), ErrGuard with ErrUnusual (see
// PruneOptions.Force), ErrNoSpace (MinFree cannot be reached, and if that was known beforehand nothing was deleted for
// it; or, as a *HeldError, it cannot be reached yet), or those of opening and locking DEST. The report is valid with
// any error.
func Prune(ctx context.Context, dest string, o PruneOptions) (*PruneReport, error) {
	r, err := prune.Run(ctx, dest, prune.Options(o))
	return (*PruneReport)(r), err
}

// DeleteOptions are the options of Delete. The zero value is usable.
type DeleteOptions struct {
	// Force deletes pinned backups, the newest, and the newest complete one too.
	Force bool
	// Wait returns only when the space of the deleted backups is free again.
	Wait bool

	// DryRun reports what would be deleted and the space this would free, and changes nothing.
	DryRun   bool
	LockWait time.Duration // how long to wait for another run; 0 fails at once
	Now      time.Time     // zero means now
	Logger   *slog.Logger  // nil logs nothing; activity.log is always written
	// Progress is called after each deletion.
	Progress func(done, total int)
}

// DeleteReport says what Delete did.
type DeleteReport struct {
	Dest    string   `json:"dest"`
	DryRun  bool     `json:"dry_run"`
	Deleted []string `json:"deleted"` // in a dry run, what would be
	// Frees is the file data, in bytes, that deleting all of them frees. It is nil without root, while a mount hides a
	// backup, and outside a dry run.
	Frees *uint64 `json:"frees,omitempty"`
	// AtMost reports that Frees is an upper bound, as in Listing.
	AtMost  bool     `json:"at_most,omitempty"`
	Repairs []string `json:"repairs,omitempty"`
}

// Delete removes the backups that refs name: full names, unique prefixes, "latest" or "latest~N". All are looked up
// before the first is deleted. The owner of the backups and root may do this.
//
// Errors match ErrNoBackup, ErrAmbiguous, ErrGuard (pinned, the newest, or the newest complete backup, without Force),
// or those of opening and locking DEST. The report is valid with any error.
func Delete(ctx context.Context, dest string, refs []string, o DeleteOptions) (*DeleteReport, error) {
	r, err := prune.Delete(ctx, dest, refs, prune.DeleteOptions(o))
	return (*DeleteReport)(r), err
}

// PinOptions are the options of Pin and Unpin. The zero value is usable.
type PinOptions struct {
	Note string // why; kept in the record
	// LockWait is how long to wait for another process that changes records; 0 is a minute.
	LockWait time.Duration
	Now      time.Time    // zero means now
	Logger   *slog.Logger // nil logs nothing; activity.log is always written
}

// Pin protects the backup ref names, as in Delete, and returns it. It does not wait for a running backup. Errors match
// ErrNoBackup, ErrAmbiguous or ErrLocked.
func Pin(ctx context.Context, dest, ref string, o PinOptions) (Snapshot, error) {
	return prune.Pin(ctx, dest, ref, prune.PinOptions(o))
}

// Unpin removes the protection and reports whether there was one. A backup that is not pinned is not changed.
func Unpin(ctx context.Context, dest, ref string, o PinOptions) (b Snapshot, was bool, err error) {
	return prune.Unpin(ctx, dest, ref, prune.PinOptions(o))
}
