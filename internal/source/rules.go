package source

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// CheckRules refuses rules with which a backup would not be a copy, and unreadable files of rules: rsync would report
// these only after pending was made.
func CheckRules(filter, excludeFrom, extra []string) error {
	if err := rsyncexec.CheckRules(filter, excludeFrom); err != nil {
		return fail.Kind(facts.ErrUsage, err)
	}
	for _, name := range rsyncexec.RuleFiles(filter, excludeFrom, extra) {
		var st unix.Stat_t
		err := at.Retry(func() error { return unix.Faccessat(unix.AT_FDCWD, name, unix.R_OK, unix.AT_EACCESS) })
		if err == nil && unix.Stat(name, &st) == nil {
			err = readable(st.Mode)
		}
		if err != nil {
			return fail.Kind(facts.ErrUsage, &fs.PathError{Op: "read rules", Path: name, Err: err})
		}
	}
	return nil
}

var errNotRegular = errors.New("not a regular file: rsync would wait until someone writes to it")

// readable checks that rsync can read rules from a file of this kind, to their end.
func readable(mode uint32) error {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return unix.EISDIR
	case unix.S_IFIFO, unix.S_IFSOCK:
		return errNotRegular
	}
	return nil
}

// CheckDirRules checks, in a local source, each file of rules that rsync would read in its directories. A fifo would
// block rsync, and keep the lock, forever. It walks the source only if there are such rules.
func (s *Source) CheckDirRules(ctx context.Context, oneFS bool, filter, extra []string) error {
	names := rsyncexec.DirRuleFiles(filter, extra)
	if !s.Local() || len(names) == 0 {
		return nil
	}
	for i := range names {
		names[i] = path.Base(names[i])
	}
	check := func(dir *os.File, name string) error {
		var st unix.Stat_t
		err := at.Retry(func() error { return unix.Fstatat(int(dir.Fd()), name, &st, 0) })
		if err != nil || readable(st.Mode) != errNotRegular {
			return nil
		}
		return fail.Kind(facts.ErrUsage, &fs.PathError{Op: "read rules", Path: filepath.Join(dir.Name(), name), Err: errNotRegular})
	}
	root, err := os.OpenFile(s.Spec.Path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return fail.Kind(facts.ErrSource, err)
	}
	defer root.Close()
	w := walk.Walker{
		Visit: func(dir *os.File, e os.DirEntry) error {
			if !slices.Contains(names, e.Name()) {
				return nil
			}
			return check(dir, e.Name())
		},
		Enter: func(dir *os.File, name string) (*os.File, error) {
			if st, err := at.Stat(dir, name); err != nil || oneFS && uint64(st.Dev) != s.dev {
				return nil, nil
			}
			sub, err := at.OpenDir(dir, name)
			if err != nil {
				return nil, nil // rsync reports it
			}
			return sub, nil
		},
		Unreadable: func(*os.File, error) error { return nil },
	}
	if err := w.Walk(ctx, root); err != nil {
		return err
	}
	return s.checkAbove(names, check)
}

// checkAbove checks the directories above SRC: rsync also reads rule files there if their name has a slash.
func (s *Source) checkAbove(names []string, check func(dir *os.File, name string) error) error {
	for up := s.Spec.Path; up != "/"; {
		up = filepath.Dir(up)
		dir, err := os.OpenFile(up, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			continue
		}
		for _, name := range names {
			err = errors.Join(err, check(dir, name))
		}
		if err := errors.Join(err, dir.Close()); err != nil {
			return err
		}
	}
	return nil
}
