// The target of a restore: where it is, whether it may be written to, and what in it must not be touched.

package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// target is where a restore writes. A local one is held open, so that the restore writes to this directory even if its
// path changes.
type target struct {
	shown  string
	remote *rsyncexec.Source // nil: local
	dir    *os.File          // local only
	// missing is the last element of a target that does not exist, in a dry run; dir is then its parent.
	missing string
	empty   bool
	spared  []string // directories with backups, below it
}

func (t *target) close() error {
	if t.dir == nil {
		return nil
	}
	return t.dir.Close()
}

// flush waits until everything written to the filesystem of a local target is on the disk. The target was opened before
// the first write, so flush reports every write that the disk refused; see store.flush.
func (t *target) flush() error {
	if t.remote != nil {
		return nil
	}
	if err := btrfs.SyncFS(t.dir); err != nil {
		return fmt.Errorf("the disk of %s refused data of this restore; the files there cannot be trusted: %w", t.shown, err)
	}
	return nil
}

func (x opened) openTarget(ctx context.Context) (*target, error) {
	name := x.o.Target
	if x.o.InPlace {
		var err error
		if name, err = recordedSource(x.view.Snap); err != nil {
			return nil, err
		}
	}
	spec, err := rsyncexec.ParseSource(name)
	if err != nil {
		return nil, fail.Kindf(facts.ErrUsage, "%w", err)
	}
	if spec.Kind != rsyncexec.Local {
		if err := spec.CheckDest(); err != nil {
			return nil, fail.Kind(facts.ErrUsage, err)
		}
		t := &target{shown: name, remote: &spec}
		if err := x.checkEmpty(t); err != nil {
			return nil, err
		}
		return t, x.checkNever(ctx, t)
	}
	if err := x.checkInPlace(spec.Path); err != nil {
		return nil, err
	}
	t, err := openLocalTarget(spec.Path, x.o.DryRun, x.checkOverlap)
	if err != nil {
		return nil, err
	}
	if err = x.checkEmpty(t); err == nil {
		err = x.checkNever(ctx, t)
	}
	if err == nil {
		err = x.spareDests(ctx, t)
	}
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// recordedSource is the source of the backup. A local path is on the machine that made it.
func recordedSource(b facts.Snapshot) (string, error) {
	if b.Record == nil || b.Record.Source == "" {
		return "", fail.Kindf(facts.ErrUsage, "it is not recorded where %s was made from; name a target", b.Name)
	}
	spec, err := rsyncexec.ParseSource(b.Record.SourceName())
	if err != nil || spec.Kind != rsyncexec.Local || b.Record.Host == "" {
		return b.Record.SourceName(), err
	}
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	if host != b.Record.Host {
		return "", fail.Kindf(facts.ErrGuard, "%s was made from %s on %s, and this is %s; name a target", b.Name, b.Record.SourceName(), b.Record.Host, host)
	}
	return b.Record.SourceName(), nil
}

// openLocalTarget resolves path once. allow is called before anything is created.
func openLocalTarget(path string, dryRun bool, allow func(dir *os.File, path string) ([]string, error)) (*target, error) {
	path, err := at.AbsoluteNew(path)
	if err != nil {
		return nil, fail.Kind(facts.ErrTarget, err)
	}
	t := &target{shown: path}
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, t.openParent(dryRun, allow)
	}
	if err != nil {
		return nil, fail.Kind(facts.ErrTarget, err)
	}
	if t.dir, err = openTargetDir(real); err != nil {
		return nil, err
	}
	if err := checkWritable(t.dir); err != nil && !dryRun {
		return nil, errors.Join(err, t.close())
	}
	if t.spared, err = allow(t.dir, real); err != nil {
		return nil, errors.Join(err, t.close())
	}
	if t.empty, err = at.IsEmpty(t.dir); err != nil {
		return nil, errors.Join(fail.Kind(facts.ErrTarget, err), t.close())
	}
	return t, nil
}

// checkWritable refuses a filesystem that is mounted read-only: rsync would fail at each file.
func checkWritable(dir *os.File) error {
	var st unix.Statfs_t
	err := unix.Fstatfs(int(dir.Fd()), &st)
	if err == nil && st.Flags&unix.ST_RDONLY != 0 {
		err = unix.EROFS
	}
	if err != nil {
		return fail.Kind(facts.ErrTarget, &fs.PathError{Op: "write to", Path: dir.Name(), Err: err})
	}
	return nil
}

// openTargetDir opens a resolved path: a symlink in it, put there meanwhile, is an error (openat2, Linux 5.6).
func openTargetDir(path string) (*os.File, error) {
	fd, err := at.Openat2(unix.AT_FDCWD, path, unix.O_DIRECTORY, unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return nil, fail.Kind(facts.ErrTarget, &os.PathError{Op: "open", Path: path, Err: err})
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openParent creates a target that does not exist, with mode 0700, unless this is a dry run. A dangling symlink of its
// name is not followed.
func (t *target) openParent(dryRun bool, allow func(dir *os.File, path string) ([]string, error)) error {
	parent, err := filepath.EvalSymlinks(filepath.Dir(t.shown))
	if err != nil {
		return fail.Kind(facts.ErrTarget, err)
	}
	dir, err := openTargetDir(parent)
	if err != nil {
		return err
	}
	name := filepath.Base(t.shown)
	if _, err := allow(dir, filepath.Join(parent, name)); err != nil {
		return errors.Join(err, dir.Close())
	}
	t.empty = true
	if dryRun {
		t.dir, t.missing = dir, name
		return nil
	}
	defer dir.Close()
	if err := at.Mkdir(dir, name, 0o700); err != nil {
		return fail.Kind(facts.ErrTarget, err)
	}
	if t.dir, err = at.OpenDir(dir, name); err != nil {
		return fail.Kind(facts.ErrTarget, err)
	}
	return nil
}

// checkOverlap refuses a target in DEST, and excludes a DEST in the target. path is that of the target, dir the target
// or, before it is created, its parent.
func (x opened) checkOverlap(dir *os.File, path string) ([]string, error) {
	if err := store.CheckOutside(x.view.Store, path); err != nil {
		return nil, err
	}
	if !x.o.Force {
		if err := store.CheckNotInDest(path); err != nil {
			return nil, err
		}
	}
	st, err := at.StatFile(dir)
	if err != nil {
		return nil, err
	}
	up, err := mounts.AncestorIs(x.view.Store.Path, uint64(st.Dev), st.Ino)
	if err != nil || up == "" {
		return nil, err
	}
	rel, err := filepath.Rel(up, x.view.Store.Path)
	if err != nil {
		return nil, err
	}
	return []string{rel}, nil
}

// checkEmpty requires --overwrite if the target has files, or is remote and so may have.
func (x opened) checkEmpty(t *target) error {
	if len(t.spared) > 0 {
		x.tell.Notice(x.view.Store.Path + " lies inside " + t.shown + " and is not touched")
	}
	if t.empty || x.o.Overwrite != "" {
		return nil
	}
	if free, err := x.pathsAreFree(t); free || err != nil {
		return err
	}
	if x.o.DryRun {
		x.tell.Notice("this would be refused without --overwrite, which decides about existing files in " + t.shown)
		return nil
	}
	if t.remote != nil {
		return fail.Kind(facts.ErrNotEmpty, fail.Kindf(facts.ErrGuard, "%s may hold files; say what to do with them", t.shown))
	}
	return fail.Kind(facts.ErrNotEmpty, fail.Kindf(facts.ErrGuard, "%s is not empty; say what to do with the files in it", t.shown))
}

// pathsAreFree reports whether none of the paths exists in the target, so that nothing can be overwritten.
func (x opened) pathsAreFree(t *target) (bool, error) {
	if len(x.paths) == 0 || t.dir == nil {
		return false, nil
	}
	for _, path := range x.paths {
		free, err := isFree(t.dir, path)
		if !free || err != nil {
			return false, err
		}
	}
	return true, nil
}

// isFree reports whether path does not exist in dir and those of its parents that exist are directories.
func isFree(dir *os.File, path string) (bool, error) {
	for up := range ancestors(path) {
		parent, err := at.OpenBeneath(dir, filepath.Dir(up))
		if err != nil {
			return false, fail.Kind(facts.ErrTarget, err)
		}
		st, err := at.Stat(parent, filepath.Base(up))
		err = errors.Join(at.IgnoreNotExist(err), parent.Close())
		switch {
		case err != nil:
			return false, fail.Kind(facts.ErrTarget, err)
		case st.Mode == 0:
			return true, nil
		case st.Mode&unix.S_IFMT != unix.S_IFDIR:
			return false, nil
		}
	}
	return false, nil
}

// ancestors yields a, a/b, a/b/c of a/b/c.
func ancestors(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range len(path) {
			if path[i] == '/' && !yield(path[:i]) {
				return
			}
		}
		yield(path)
	}
}
