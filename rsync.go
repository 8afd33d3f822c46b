// The parts of package rsyncexec that a caller may need, without importing it.

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

// RsyncExitError says how an rsync that was started failed.
type RsyncExitError = rsyncexec.ExitError

// RsyncOptionError is an option in BackupOptions.RsyncArgs that is refused; its Hint says what to do instead.
type RsyncOptionError = rsyncexec.ExtraError

// CheckRsyncArgs checks whether args are allowed as BackupOptions.RsyncArgs. The error is a *RsyncOptionError.
func CheckRsyncArgs(args []string) error { return rsyncexec.CheckExtra(args) }

// FindRsync returns the path and the version of the rsync that Backup would run; an empty program looks it up in PATH.
// Errors match ErrRsyncNotFound, ErrRsyncTooOld or those of rsyncexec.Probe.
func FindRsync(ctx context.Context, program string) (path, version string, err error) {
	path, v, err := rsyncexec.Probe(ctx, program)
	if err != nil {
		return path, "", err
	}
	return path, v.String(), nil
}

// TrySource checks whether rsync can reach and list o.Source, with the Rsh, RsyncProgram, RsyncArgs and Timeout of o.
// Nothing is transferred; it needs no DEST. Errors match ErrSource, ErrUsage, ErrRsyncNotFound, ErrRsyncTooOld, or
// context.Cause(ctx).
func TrySource(ctx context.Context, o BackupOptions) error {
	_, err := ReachSource(ctx, o)
	return err
}

// ReachSource is TrySource, and returns the version of the rsync protocol that both ends have agreed on; 0 if the
// source is local or was not reached. rsync before 3.1, which sends times as whole seconds, has 30.
func ReachSource(ctx context.Context, o BackupOptions) (protocol int, err error) {
	err = source.Try(ctx, o.Source, rsyncexec.Options{
		Program: o.RsyncProgram, Rsh: o.Rsh, Timeout: o.Timeout, Extra: o.RsyncArgs,
		Protocol: true, Line: func(_, line string) {
			if version, ok := rsyncexec.ParseProtocol(line); ok {
				protocol = version
			}
		},
	})
	return protocol, err
}
