// Init: a new DEST.

package rsbtbackup

import (
	"context"
	"log/slog"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// InitOptions are the options of Init. The zero value is usable.
type InitOptions struct {
	LockWait time.Duration // how long to wait for another run to finish; 0 fails at once
	Logger   *slog.Logger  // nil logs nothing; activity.log is always written
}

// InitReport says what Init found and did.
type InitReport struct {
	Dest string `json:"dest"` // without symlinks
	// Already is set if DEST had been initialised before; nothing was changed then.
	Already bool `json:"already"`
	// Adopted names the program whose backups were found: "RsbtBackup", "rsyncbtrfs" or empty.
	Adopted  string   `json:"adopted,omitempty"`
	Backups  int      `json:"backups"` // found in DEST
	Warnings []string `json:"warnings,omitempty"`
}

// Init makes dest, an existing directory on btrfs, a backup directory. It may be run again at any time, also after a
// run that was interrupted. The caller needs the right to create files in dest.
//
// Errors match ErrDest (missing, not a directory), ErrNotBtrfs, ErrLocked, ErrNoSpace, or the errno of the call that
// failed.
func Init(ctx context.Context, dest string, o InitOptions) (*InitReport, error) {
	r, err := store.Init(ctx, dest, store.InitOptions(o))
	return (*InitReport)(r), err
}
