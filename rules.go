// Rules: what the user gives to leave out, or to keep.

package rsbtbackup

import (
	"io/fs"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
	"golang.org/x/sys/unix"
)

// checkRules refuses rules that would make a backup no copy, and files of rules
// that can not be read: rsync would say so only when pending has been made.
func checkRules(filter, excludeFrom, extra []string) error {
	if err := rsyncexec.CheckRules(filter, excludeFrom); err != nil {
		return kindError{ErrUsage, err}
	}
	for _, name := range rsyncexec.RuleFiles(filter, excludeFrom, extra) {
		var st unix.Stat_t
		err := retry(func() error { return unix.Faccessat(unix.AT_FDCWD, name, unix.R_OK, unix.AT_EACCESS) })
		if err == nil && unix.Stat(name, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			err = unix.EISDIR
		}
		if err != nil {
			return kindError{ErrUsage, &fs.PathError{Op: "read rules", Path: name, Err: err}}
		}
	}
	return nil
}

// rules are the options by which a backup may lack something its source has.
// Any further option for rsync may be one.
func rules(o *BackupOptions) []string {
	var rules []string
	if o.OneFileSystem {
		rules = append(rules, "--one-file-system")
	}
	for _, text := range o.Filter {
		rules = append(rules, "--filter="+text)
	}
	for _, text := range o.Exclude {
		rules = append(rules, "--exclude="+text)
	}
	for _, text := range o.ExcludeFrom {
		rules = append(rules, "--exclude-from="+text)
	}
	return append(rules, o.RsyncArgs...)
}
