// Check: the state of DEST, for monitoring.

package rsbtbackup

import (
	"context"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/check"
)

// CheckOptions are the options of Check. The zero value is usable.
type CheckOptions struct {
	// MaxAge is the allowed age of the newest complete backup, counted from the end of its transfer, or else from the
	// time in its name; 0 means 26 hours.
	MaxAge time.Duration
	// MinFree is the space that must be free; the zero value means 5 %. Below twice this, Check warns.
	MinFree MinFree
	// MinMetadata is the space, in bytes, that must be free for metadata; 0 means 128 MiB, or a 64th of a filesystem
	// smaller than 8 GiB. Below twice this, Check warns.
	MinMetadata uint64
	// AcceptDamaged names backups whose damage is known and accepted: it is reported, but fails no check.
	AcceptDamaged []string
	Now           time.Time // zero means now
}

// CheckReport has the answers, always in the same order.
type CheckReport struct {
	Dest    string        `json:"dest"`
	Level   CheckLevel    `json:"level"` // the worst
	Results []CheckResult `json:"results"`
}

// Check answers each of the questions in CheckResult about DEST. It never takes a lock, so a backup can run or start
// meanwhile, and it works on a read-only mount. It needs only read access to DEST and .log.
//
// Errors match ErrCheck if any result is CheckFail, or are those of List. The report is valid with any error.
func Check(ctx context.Context, dest string, o CheckOptions) (*CheckReport, error) {
	r, err := check.Run(ctx, dest, check.Options(o))
	return (*CheckReport)(r), err
}

// Count is the number of results of that level.
func (r *CheckReport) Count(level CheckLevel) int { return (*check.Report)(r).Count(level) }
