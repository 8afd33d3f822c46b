// Guards of a restore: what it refuses to delete or to write into.

package rsbtbackup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// checkDelete refuses to delete by a backup that may lack what its source had:
// what could not be read when it was made, or was left out by a rule.
func (r *restore) checkDelete() error {
	b := r.view.snap
	if b.Status == Incomplete {
		r.notice(b.Name + " is incomplete: what could not be read when it was made is not in it")
	}
	why := deletesTooMuch(b)
	if !r.o.Delete || r.o.Force || why == "" {
		return nil
	}
	if r.o.DryRun {
		r.notice("this would be refused: " + why)
		return nil
	}
	return failf(ErrGuard, "%s", why)
}

// deletesTooMuch is empty if everything that is not in b was not in its source
// either.
func deletesTooMuch(b Snapshot) string {
	switch {
	case b.Status == Incomplete:
		return fmt.Sprintf("%s is incomplete: to delete what it does not have would delete what could not be read when it was made", b.Name)
	case b.Record != nil && len(b.Record.Rules) > 0:
		return fmt.Sprintf("%s was made with %s: to delete what it does not have would delete what that left out", b.Name, strings.Join(b.Record.Rules, " "))
	}
	return ""
}

// checkNotInDest refuses path if any directory on the way to it, or itself,
// holds backups. What is missing at the end of path is passed over.
func checkNotInDest(path string) error {
	for dir := path; ; dir = filepath.Dir(dir) {
		for _, marker := range []string{filepath.Join(logDirName, markerName), rsyncbtrfsMarker} {
			_, err := os.Lstat(filepath.Join(dir, marker))
			if err == nil {
				return failf(ErrGuard, "%s lies inside %s, which holds backups", path, dir)
			}
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
				return err
			}
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// spareDests keeps --delete out of every directory with backups below the
// target that rsync could enter.
func (r *restore) spareDests(ctx context.Context, t *target) error {
	if !r.o.Delete || t.empty {
		return nil
	}
	dests, err := destsInTheWay(ctx, t.dir, r.paths)
	for _, rel := range dests {
		rule := "- /" + escapePattern(rel)
		if !slices.Contains(t.filter, rule) {
			r.notice(filepath.Join(t.shown, rel) + " holds backups and is left alone")
			t.filter = append(t.filter, rule)
		}
	}
	return err
}

// destsInTheWay returns the directories with backups below target, relative to
// it. rsync stays on the filesystem of each path by itself, which can be
// another than that of the target.
func destsInTheWay(ctx context.Context, target *os.File, paths []string) ([]string, error) {
	found, err := destsBelow(ctx, target)
	for _, path := range paths {
		if err != nil {
			return nil, err
		}
		var more []string
		more, err = destsOn(ctx, target, path)
		found = append(found, more...)
	}
	return found, err
}

// destsOn returns those on the way to path, path itself, and those below it.
func destsOn(ctx context.Context, target *os.File, path string) ([]string, error) {
	var found []string
	for at := path; at != "."; at = filepath.Dir(at) {
		dir, err := openBeneath(target, at)
		if err != nil {
			if err = ignoreClosed(err); err != nil {
				return nil, err
			}
			continue
		}
		holds, err := holdsBackups(dir)
		if holds {
			found = append(found, at)
		}
		var lower []string
		if at == path && err == nil {
			lower, err = destsBelow(ctx, dir)
		}
		for _, rel := range lower {
			found = append(found, filepath.Join(path, rel))
		}
		if err = errors.Join(err, dir.Close()); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// destsBelow returns the directories below dir, on its filesystem, that hold
// backups, relative to it. What can not be looked into, rsync can not empty.
func destsBelow(ctx context.Context, dir *os.File) ([]string, error) {
	top, err := statFile(dir)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var found []string
	w := walker{
		visit: func(*os.File, os.DirEntry) error { return nil },
		enter: func(up *os.File, name string) (*os.File, error) {
			sub, err := openDirAt(up, name)
			if err != nil {
				return nil, ignoreClosed(err)
			}
			st, err := statFile(sub)
			if err != nil || st.Dev != top.Dev {
				return nil, errors.Join(err, sub.Close())
			}
			holds, err := holdsBackups(sub)
			if err != nil {
				return nil, errors.Join(err, sub.Close())
			}
			if !holds {
				return sub, nil
			}
			mu.Lock()
			defer mu.Unlock()
			found = append(found, below(dir, up, name))
			return nil, sub.Close()
		},
		unreadable: func(*os.File, error) error { return nil },
	}
	err = w.walk(ctx, dir)
	return found, err
}

// holdsBackups tells whether init or a predecessor has prepared dir, or may
// have: .log is there and closed to us.
func holdsBackups(dir *os.File) (bool, error) {
	_, err := statAt(dir, rsyncbtrfsMarker)
	if err == nil || ignoreClosed(err) != nil {
		return err == nil, err
	}
	log, err := openDirAt(dir, logDirName)
	if err != nil {
		return errors.Is(err, unix.EACCES), ignoreClosed(err)
	}
	defer log.Close()
	_, err = statAt(log, markerName)
	return err == nil || errors.Is(err, unix.EACCES), ignoreClosed(err)
}

// ignoreClosed is for directories on a search: what is gone, none, or not for
// us to look into.
func ignoreClosed(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EACCES) {
		return nil
	}
	return err
}
