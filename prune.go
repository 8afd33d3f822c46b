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
	// Policy keeps what any of its rules matches; see package retention. Pinned backups and the newest complete one are
	// kept whatever it says.
	Policy retention.Policy
	// MinFree deletes further backups, oldest first, until that much is free. It deletes none if the file data of all
	// that may go is too little, or while something is mounted on a backup, and no more as long as something is open in
	// a backup it has deleted; without root neither is known.
	MinFree MinFree
	// KeepMin complete backups are left whatever MinFree says; 0 means 1.
	KeepMin int
	// Wait returns only when the space of what was deleted is free again.
	Wait bool

	// Force deletes also where the clock has jumped, or nearly all backups would go although the prunes before deleted
	// few: that stops it otherwise.
	Force bool

	// DryRun reports the plan, with the space it would free, and changes nothing.
	DryRun   bool
	LockWait time.Duration
	Now      time.Time // zero is the present
	Logger   *slog.Logger
	// Progress is called after each deletion. total is 0 where nobody knows how many it takes, which is with MinFree,
	// after what Policy deletes.
	Progress func(done, total int)
}

// PruneReport says what Prune decided and did. Decisions are newest first.
type PruneReport struct {
	Dest      string     `json:"dest"`
	DryRun    bool       `json:"dry_run"`
	Decisions []Decision `json:"decisions"`
	Deleted   []string   `json:"deleted"`
	Free      uint64     `json:"free"`  // bytes, as statfs tells an ordinary user
	Total     uint64     `json:"total"` // bytes
	Repairs   []string   `json:"repairs,omitempty"`
	// Refused says, in a dry run, why nothing would be deleted without Force.
	Refused string `json:"refused,omitempty"`
	// AtMost tells that what Frees says is an upper bound, as of Listing.
	AtMost bool `json:"at_most,omitempty"`
}

// Prune deletes the backups that o.Policy does not keep, oldest first. The owner of the backups and root may do this.
//
// Errors match ErrUsage (nothing says what to keep, or a value makes no sense), ErrGuard with ErrUnusual (unless
// forced: see PruneOptions.Force), ErrNoSpace (MinFree cannot be reached: where that can be told beforehand nothing is
// deleted for it; a *HeldError, not yet), or what opening and locking DEST gives. The report is valid with any error.
func Prune(ctx context.Context, dest string, o PruneOptions) (*PruneReport, error) {
	r, err := prune.Run(ctx, dest, prune.Options(o))
	return (*PruneReport)(r), err
}

// DeleteOptions are the options of Delete. The zero value is usable.
type DeleteOptions struct {
	// Force deletes pinned backups, the newest, and the newest complete one too.
	Force bool
	// Wait returns only when the space of what was deleted is free again.
	Wait bool

	// DryRun reports what would be deleted, and the space that would free, and changes nothing.
	DryRun   bool
	LockWait time.Duration
	Now      time.Time // zero is the present
	Logger   *slog.Logger
	// Progress is called after each deletion.
	Progress func(done, total int)
}

// DeleteReport says what Delete did.
type DeleteReport struct {
	Dest    string   `json:"dest"`
	DryRun  bool     `json:"dry_run"`
	Deleted []string `json:"deleted"` // in a dry run, what would be
	// Frees is the file data, in bytes, that goes with all of them. It is nil without root, with a backup hidden by a
	// mount, and outside a dry run.
	Frees *uint64 `json:"frees,omitempty"`
	// AtMost tells that Frees is an upper bound, as of Listing.
	AtMost  bool     `json:"at_most,omitempty"`
	Repairs []string `json:"repairs,omitempty"`
}

// Delete removes the backups that refs name: full names, unique prefixes, "latest" or "latest~N". All are looked up
// before the first is deleted. The owner of the backups and root may do this.
//
// Errors match ErrNoBackup, ErrAmbiguous, ErrGuard (pinned, the newest, or the newest complete backup, without Force),
// or what opening and locking DEST gives. The report is valid with any error.
func Delete(ctx context.Context, dest string, refs []string, o DeleteOptions) (*DeleteReport, error) {
	r, err := prune.Delete(ctx, dest, refs, prune.DeleteOptions(o))
	return (*DeleteReport)(r), err
}

// PinOptions are the options of Pin and Unpin. The zero value is usable.
type PinOptions struct {
	Note string // why; kept in the record
	// LockWait is how long to wait for another process that changes records; 0 is a minute.
	LockWait time.Duration
	Now      time.Time // zero is the present
	Logger   *slog.Logger
}

// Pin protects the backup ref names, as in Delete, and returns it. It does not wait for a running backup. Errors match
// ErrNoBackup, ErrAmbiguous or ErrLocked.
func Pin(ctx context.Context, dest, ref string, o PinOptions) (Snapshot, error) {
	return prune.Pin(ctx, dest, ref, prune.PinOptions(o))
}

// Unpin takes the protection away again and tells whether there was one; a backup that is not pinned stays as it is.
func Unpin(ctx context.Context, dest, ref string, o PinOptions) (b Snapshot, was bool, err error) {
	return prune.Unpin(ctx, dest, ref, prune.PinOptions(o))
}
