package source

import (
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// CheckRules refuses rules that would make a backup no copy, and files of rules
// that can not be read: rsync would say so only when pending has been made.
func CheckRules(filter, excludeFrom, extra []string) error {
	if err := rsyncexec.CheckRules(filter, excludeFrom); err != nil {
		return fail.Kind(facts.ErrUsage, err)
	}
	for _, name := range rsyncexec.RuleFiles(filter, excludeFrom, extra) {
		var st unix.Stat_t
		err := at.Retry(func() error { return unix.Faccessat(unix.AT_FDCWD, name, unix.R_OK, unix.AT_EACCESS) })
		if err == nil && unix.Stat(name, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			err = unix.EISDIR
		}
		if err != nil {
			return fail.Kind(facts.ErrUsage, &fs.PathError{Op: "read rules", Path: name, Err: err})
		}
	}
	return nil
}
