// Guards of a restore: what it refuses to delete or to write into.

package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// checkDelete refuses to delete by a backup that may lack what its source had: what could not be read when it was made,
// or was left out by a rule.
func (x opened) checkDelete() error {
	b := x.view.Snap
	if b.Status == facts.Incomplete {
		x.tell.Notice(b.Name + " is incomplete: what could not be read when it was made is not in it")
	}
	why := lacks(b, x.o.Exclude)
	if !x.o.Delete || x.o.Force || why == nil {
		return nil
	}
	if x.o.DryRun {
		x.tell.Notice("this would be refused: " + why.Error())
		return nil
	}
	return fail.Kind(facts.ErrGuard, why)
}

// lacks is nil if everything that is not in b was not in its source either, or is spared by exclude. Patterns that were
// excluded can be given again. Another rule cannot, --one-file-system among them: what it left out may be on the
// filesystem of the target.
func lacks(b facts.Snapshot, exclude []string) *facts.LacksError {
	if b.Status == facts.Incomplete {
		return &facts.LacksError{Backup: b.Name, Incomplete: true}
	}
	if b.Record == nil || len(b.Record.Rules) == 0 {
		return nil
	}
	patterns, otherwise := rsyncexec.Excluded(rsyncRules(b.Record.Rules))
	if otherwise || slices.ContainsFunc(b.Record.Rules, source.IsMark) {
		return &facts.LacksError{Backup: b.Name, Rules: b.Record.Rules}
	}
	missing := slices.DeleteFunc(patterns, func(p string) bool { return slices.Contains(exclude, p) })
	if len(missing) == 0 {
		return nil
	}
	return &facts.LacksError{Backup: b.Name, Rules: b.Record.Rules, Exclude: missing}
}

// rsyncRules are those that rsync knows.
func rsyncRules(rules []string) []string {
	return slices.DeleteFunc(slices.Clone(rules), source.IsMark)
}

// linksKept is the first rsync that does not write below a symlink which stands in the target where the backup has a
// directory, if it must not replace it; 3.2.7 does.
var linksKept = rsyncexec.Version{Major: 3, Minor: 5}

// checkNever refuses to leave what is there to an rsync that would follow it. Of a remote target it is the rsync over
// there that counts, which nobody knows.
func (x opened) checkNever(ctx context.Context, t *target) error {
	if x.o.Overwrite != facts.OverwriteNever || t.empty {
		return nil
	}
	if t.remote != nil {
		x.tell.Notice(fmt.Sprintf("an rsync before %v at the target follows symlinks there that stand where the backup has a directory", linksKept))
		return nil
	}
	_, version, err := rsyncexec.Probe(ctx, x.o.RsyncProgram)
	if err != nil {
		return err
	}
	if !version.Less(linksKept) {
		return nil
	}
	why := fmt.Sprintf("rsync %v would follow symlinks in %s with overwrite=never; %v does not", version, t.shown, linksKept)
	if x.o.DryRun {
		x.tell.Notice("this would be refused: " + why)
		return nil
	}
	return fail.Kind(facts.ErrUsage, fail.Kindf(rsyncexec.ErrTooOld, "%s", why))
}

// spareDests keeps --delete out of every directory with backups below the target that rsync could enter.
func (x opened) spareDests(ctx context.Context, t *target) error {
	if !x.o.Delete || t.empty {
		return nil
	}
	dests, err := destsBelow(ctx, t.dir, x.paths)
	for _, rel := range dests {
		if !slices.Contains(t.spared, rel) {
			x.tell.Notice(filepath.Join(t.shown, rel) + " holds backups and is left alone")
			t.spared = append(t.spared, rel)
		}
	}
	return err
}

// destsBelow returns the directories below dir that hold backups, relative to it, as far as rsync comes: with
// --one-file-system it does not leave the filesystem of dir, but each of paths can be on another. What cannot be looked
// into, rsync cannot empty.
func destsBelow(ctx context.Context, dir *os.File, paths []string) ([]string, error) {
	var mu sync.Mutex
	var found []string
	w := walk.Walker{
		Visit: func(*os.File, os.DirEntry) error { return nil },
		Enter: func(up *os.File, name string) (*os.File, error) {
			sub, err := at.OpenDir(up, name)
			if err != nil {
				return nil, store.IgnoreClosed(err)
			}
			path := walk.Below(dir, up, name)
			stays, err := sameDevice(up, sub)
			if err != nil || !stays && !at.LeadsTo(path, paths) {
				return nil, errors.Join(err, sub.Close())
			}
			holds, err := store.HoldsBackups(sub)
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
		Unreadable: func(*os.File, error) error { return nil },
	}
	err := w.Walk(ctx, dir)
	return found, err
}

func sameDevice(a, b *os.File) (bool, error) {
	x, err := at.StatFile(a)
	if err != nil {
		return false, err
	}
	y, err := at.StatFile(b)
	return x.Dev == y.Dev, err
}
