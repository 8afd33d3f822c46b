package restore

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// protects reports whether the mode keeps some of what is in the target.
func (o *overwriting) protects() bool {
	return o.mode == facts.OverwriteNever || o.mode == facts.OverwriteIfNewer
}

// closedWith reports whether the caller may not enter a directory of the target, of which the backup has files. rsync
// gives it the mode of the backup first, and then compares only as its own options do.
func (o *overwriting) closedWith(path string) (bool, error) {
	err := at.Retry(func() error { return unix.Faccessat(int(o.target.Fd()), path, unix.X_OK, unix.AT_EACCESS) })
	if !errors.Is(err, unix.EACCES) {
		return false, nil
	}
	return holdsFiles(o.backup, path)
}
