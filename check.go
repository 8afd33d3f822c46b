// Check: the state of DEST, for monitoring.

package rsbtbackup

import (
	"context"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/check"
)

// CheckOptions are the options of Check. The zero value is usable.
type CheckOptions struct {
	// MaxAge of the newest complete backup, counted from the end of its transfer or else from its name; 0 means 26
	// hours.
	MaxAge time.Duration
	// MinFree is the least space that must be free; the zero value means 5 %. Below twice as much it warns.
	MinFree MinFree
	// MinMetadata is the least room for metadata, in bytes; 0 means 128 MiB, or a 64th of a filesystem below 8 GiB.
	// Below twice as much it warns.
	MinMetadata uint64
	// AcceptDamaged are the names of backups whose damage is known and accepted: it is told, and fails no check.
	AcceptDamaged []string
	Now           time.Time // zero is the present
}

// CheckReport has the answers, always in the same order.
type CheckReport struct {
	Dest    string        `json:"dest"`
	Level   CheckLevel    `json:"level"` // the worst
	Results []CheckResult `json:"results"`
}

// Check looks at DEST and reports on each of the questions in CheckResult. It takes no lock, not even for an instant,
// so a backup can run or start meanwhile, and it works on a read-only mount. It needs no more than read access to DEST
// and .log.
//
// Errors match ErrCheck if any result is CheckFail, or are those of List. The report is valid with any error.
func Check(ctx context.Context, dest string, o CheckOptions) (*CheckReport, error) {
	r, err := check.Run(ctx, dest, check.Options(o))
	return (*CheckReport)(r), err
}

// Count is the number of results of that level.
func (r *CheckReport) Count(level CheckLevel) int { return (*check.Report)(r).Count(level) }
