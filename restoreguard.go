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

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
	"golang.org/x/sys/unix"
)

// checkDelete refuses to delete by a backup that may lack what its source had:
// what could not be read when it was made, or was left out by a rule.
func (r *restore) checkDelete() error {
	b := r.view.snap
	if b.Status == Incomplete {
		r.notice(b.Name + " is incomplete: what could not be read when it was made is not in it")
	}
	why := lacks(b, r.o.Exclude)
	if !r.o.Delete || r.o.Force || why == nil {
		return nil
	}
	if r.o.DryRun {
		r.notice("this would be refused: " + why.Error())
		return nil
	}
	return kindError{ErrGuard, why}
}

// lacks is nil if everything that is not in b was not in its source either, or
// is spared by exclude. Patterns that were excluded can be given again. Another
// rule can not, --one-file-system among them: what it left out may be on the
// filesystem of the target.
func lacks(b Snapshot, exclude []string) *LacksError {
	if b.Status == Incomplete {
		return &LacksError{Backup: b.Name, Incomplete: true}
	}
	if b.Record == nil || len(b.Record.Rules) == 0 {
		return nil
	}
	patterns, otherwise := rsyncexec.Excluded(b.Record.Rules)
	if otherwise {
		return &LacksError{Backup: b.Name, Rules: b.Record.Rules}
	}
	missing := slices.DeleteFunc(patterns, func(p string) bool { return slices.Contains(exclude, p) })
	if len(missing) == 0 {
		return nil
	}
	return &LacksError{Backup: b.Name, Rules: b.Record.Rules, Exclude: missing}
}

// linksKept is the first rsync that does not write below a symlink which stands
// in the target where the backup has a directory, if it must not replace it;
// 3.2.7 does.
var linksKept = rsyncexec.Version{Major: 3, Minor: 5}

// checkNever refuses to leave what is there to an rsync that would follow it. Of
// a remote target it is the rsync over there that counts, which nobody knows.
func (r *restore) checkNever(ctx context.Context, t *target) error {
	if r.o.Overwrite != OverwriteNever || t.empty {
		return nil
	}
	if t.remote != nil {
		r.notice(fmt.Sprintf("an rsync before %v at the target follows symlinks there that stand where the backup has a directory", linksKept))
		return nil
	}
	_, version, err := rsyncexec.Probe(ctx, r.o.RsyncProgram)
	if err != nil {
		return err
	}
	if !version.Less(linksKept) {
		return nil
	}
	why := fmt.Sprintf("rsync %v would follow symlinks in %s with overwrite=never; %v does not", version, t.shown, linksKept)
	if r.o.DryRun {
		r.notice("this would be refused: " + why)
		return nil
	}
	return kindError{ErrUsage, failf(rsyncexec.ErrTooOld, "%s", why)}
}

// checkNotInDest refuses path if any directory on the way to it, or itself,
// holds backups. What is missing at the end of path is passed over.
func checkNotInDest(path string) error {
	for dir := path; ; dir = filepath.Dir(dir) {
		for _, marker := range []string{filepath.Join(logDirName, markerName), rsyncbtrfsMarker} {
			_, err := os.Lstat(filepath.Join(dir, marker))
			switch {
			case err == nil && dir == path:
				return failf(ErrGuard, "%s is a directory that holds backups", path)
			case err == nil:
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
	dests, err := destsBelow(ctx, t.dir, r.paths)
	for _, rel := range dests {
		rule := "- /" + escapePattern(rel)
		if !slices.Contains(t.filter, rule) {
			r.notice(filepath.Join(t.shown, rel) + " holds backups and is left alone")
			t.filter = append(t.filter, rule)
		}
	}
	return err
}

// destsBelow returns the directories below dir that hold backups, relative to
// it, as far as rsync comes: with --one-file-system it does not leave the
// filesystem of dir, but each of paths can be on another. What can not be looked
// into, rsync can not empty.
func destsBelow(ctx context.Context, dir *os.File, paths []string) ([]string, error) {
	var mu sync.Mutex
	var found []string
	w := walker{
		visit: func(*os.File, os.DirEntry) error { return nil },
		enter: func(up *os.File, name string) (*os.File, error) {
			sub, err := openDirAt(up, name)
			if err != nil {
				return nil, ignoreClosed(err)
			}
			path := below(dir, up, name)
			stays, err := sameDevice(up, sub)
			if err != nil || !stays && !leadsTo(path, paths) {
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
			found = append(found, path)
			return nil, sub.Close()
		},
		unreadable: func(*os.File, error) error { return nil },
	}
	err := w.walk(ctx, dir)
	return found, err
}

func sameDevice(a, b *os.File) (bool, error) {
	x, err := statFile(a)
	if err != nil {
		return false, err
	}
	y, err := statFile(b)
	return x.Dev == y.Dev, err
}

// leadsTo tells whether dir is one of paths or on the way to it.
func leadsTo(dir string, paths []string) bool {
	return slices.ContainsFunc(paths, func(path string) bool { return strings.HasPrefix(path+"/", dir+"/") })
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
	if isNoDir(err) || errors.Is(err, unix.EACCES) {
		return nil
	}
	return err
}
