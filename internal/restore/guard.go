// Guards of a restore: what it refuses to delete and where it refuses to write.

package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// checkDelete refuses Delete with a backup that may lack files of its source: files that could not be read when it was
// made, or that a rule left out.
func (x opened) checkDelete() error {
	b := x.view.Snap
	if b.RecordError != "" {
		x.tell.Notice("whether " + b.Name + " is complete is not known: " + b.RecordError)
	} else if b.Status == facts.Incomplete {
		x.tell.Notice(b.Name + " is incomplete: it lacks files that could not be read when it was made")
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

// unrecorded reports that no run has recorded how it made b: another program did, or the record is lost.
func unrecorded(b facts.Snapshot) bool { return b.Record == nil || b.Record.Started.IsZero() }

// noticeFake says of an unrecorded backup that its owners and modes are stored as --fake-super stores them. They may as
// well be attributes of the source, so they are restored as they are.
func (x opened) noticeFake() error {
	if !unrecorded(x.view.Snap) {
		return nil
	}
	names, err := at.Names(x.view.Root)
	if err != nil {
		return err
	}
	for _, name := range append(names, ".") {
		if _, err := unix.Lgetxattr(filepath.Join(at.ProcPath(x.view.Root), name), "user.rsync.%stat", nil); err == nil {
			x.tell.Notice(fmt.Sprintf("no record says how %s was made, but %q has an owner and a mode stored by rsync --fake-super, which are restored as an attribute only; to restore them: rsync -aHAX --numeric-ids --fake-super -M--super BACKUP/ TARGET/", x.view.Snap.Name, name))
			return nil
		}
	}
	return nil
}

// lacks is nil if everything that is not in b was not in its source either, or is protected by exclude. Exclude
// patterns of the backup can be given again in a restore. Other rules cannot: what --one-file-system left out may be on
// the filesystem of the target.
func lacks(b facts.Snapshot, exclude []string) *facts.LacksError {
	if b.Status == facts.Incomplete {
		return &facts.LacksError{Backup: b.Name, Incomplete: true}
	}
	if unrecorded(b) {
		return &facts.LacksError{Backup: b.Name, Unrecorded: true}
	}
	if len(b.Record.Rules) == 0 {
		return nil
	}
	patterns, otherwise := rsyncexec.Excluded(source.RsyncRules(b.Record.Rules))
	if otherwise || slices.ContainsFunc(b.Record.Rules, source.IsMark) {
		return &facts.LacksError{Backup: b.Name, Rules: b.Record.Rules}
	}
	missing := slices.DeleteFunc(patterns, func(p string) bool { return slices.Contains(exclude, p) })
	if len(missing) == 0 {
		return nil
	}
	return &facts.LacksError{Backup: b.Name, Rules: b.Record.Rules, Exclude: missing}
}

// linksKept is the first rsync that does not follow a symlink in the target where the backup has a directory, if it
// must not replace the symlink; 3.2.7 does follow it.
var linksKept = rsyncexec.Version{Major: 3, Minor: 5}

// checkNever refuses overwrite=never with an rsync that would follow symlinks in the target. For a remote target the
// rsync there decides, and its version is not known.
func (x opened) checkNever(ctx context.Context, t *target) error {
	if x.o.Overwrite != facts.OverwriteNever || t.empty {
		return nil
	}
	if t.remote != nil {
		x.tell.Notice(fmt.Sprintf("an rsync before %v at the target follows symlinks there where the backup has a directory", linksKept))
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

// spareDests protects every directory with backups below the target from --delete.
func (x opened) spareDests(ctx context.Context, t *target) error {
	if !x.o.Delete || t.empty {
		return nil
	}
	dests, err := destsBelow(ctx, t.dir, x.paths)
	for _, rel := range dests {
		if !slices.Contains(t.spared, rel) {
			x.tell.Notice(filepath.Join(t.shown, rel) + " holds backups and is not changed")
			t.spared = append(t.spared, rel)
		}
	}
	return err
}

// destsBelow returns the directories below dir that hold backups, relative to it, as far as rsync can get: with
// --one-file-system it does not leave the filesystem of dir, but each of paths can be on another one. A directory that
// cannot be read is ignored: rsync cannot empty it either.
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
