// What a caller may want to know of rsync, without a second package to import.

package rsbtbackup

import (
	"context"

	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

var (
	// ErrRsyncNotFound: rsync is not installed.
	ErrRsyncNotFound = rsyncexec.ErrNotFound
	// ErrRsyncTooOld: rsync lacks an option that is needed.
	ErrRsyncTooOld = rsyncexec.ErrTooOld
)

// RsyncExitError is how an rsync that was started failed.
type RsyncExitError = rsyncexec.ExitError

// RsyncOptionError is a further option for rsync that is refused; its Hint
// says what to do instead.
type RsyncOptionError = rsyncexec.ExtraError

// CheckRsyncArgs tells whether args may be BackupOptions.RsyncArgs. The error is
// a *RsyncOptionError.
func CheckRsyncArgs(args []string) error { return rsyncexec.CheckExtra(args) }

// FindRsync returns the path and the version of the rsync that Backup would
// run; an empty program looks it up in PATH. Errors match ErrRsyncNotFound,
// ErrRsyncTooOld or those of rsyncexec.Probe.
func FindRsync(ctx context.Context, program string) (path, version string, err error) {
	path, v, err := rsyncexec.Probe(ctx, program)
	if err != nil {
		return path, "", err
	}
	return path, v.String(), nil
}

// TrySource finds out whether rsync reaches o.Source and can list it, with the Rsh, RsyncProgram, RsyncArgs and Timeout
// of o. Nothing is transferred; it needs no DEST. Errors match ErrSource, ErrUsage, ErrRsyncNotFound, ErrRsyncTooOld, or
// context.Cause(ctx).
func TrySource(ctx context.Context, o BackupOptions) error {
	return source.Try(ctx, o.Source, rsyncexec.Options{
		Program: o.RsyncProgram, Rsh: o.Rsh, Timeout: o.Timeout, Extra: o.RsyncArgs,
	})
}
