package facts

import (
	"github.com/rsbtbackup/rsbtbackup/btrfs"
)

// Damaged reports whether Verify has found something in the backup that cannot be read any more.
func (b Snapshot) Damaged() bool {
	return btrfs.IsDamage(b.WhyNot) || b.Record != nil && b.Record.Verified != nil && b.Record.Verified.Result == Damaged
}
