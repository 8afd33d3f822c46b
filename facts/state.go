package facts

import (
	"github.com/rsbtbackup/rsbtbackup/btrfs"
)

// Damaged tells whether it is known that something in the backup cannot be read any more.
func (b Snapshot) Damaged() bool {
	return btrfs.IsDamage(b.WhyNot) || b.Record != nil && b.Record.Verified != nil && b.Record.Verified.Result == Damaged
}
