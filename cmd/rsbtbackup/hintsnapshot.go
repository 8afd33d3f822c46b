// Hints about a snapshot of SRC that cannot be taken.

package main

import (
	"errors"
	"io/fs"
	"os"

	"github.com/rsbtbackup/rsbtbackup"
)

// snapshotHints: leave out what the snapshot would lack, or read SRC itself.
func snapshotHints(err error, i invocation) ([]string, bool) {
	var refused *rsbtbackup.SnapshotError
	b, ok := i.command.(*backupCommand)
	if !ok || !errors.As(err, &refused) {
		return nil, false
	}
	leaveOut := "to leave them out: " + i.again("--one-file-system")
	live := i
	live.args = withoutFlag(withoutFlag(i.args, "--snapshot-source"), "--snapshot-nested")
	asIs := "to back up SRC as it is: " + live.again()
	switch {
	case len(refused.Nested) > 0:
		return []string{"to take a snapshot of each: " + i.again("--snapshot-nested"), leaveOut}, true
	case len(refused.Mounted) > 0 && !b.OneFileSystem && !b.SnapshotNested:
		return []string{leaveOut, asIs}, true
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		return []string{"sudo " + i.again(), asIs}, true
	}
	return []string{asIs}, true
}
