// Sparse: files with many holes that the target lacks, copied before rsync runs. rsync reads holes as zeros: a file of
// 20 GiB without data takes it minutes. It then finds them with the right size and time, and sets what else they need.

package restore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/pending"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// manyHoles is from how many bytes of holes on a file is copied here.
const manyHoles = 64 << 20

// hasManyHoles leaves files with several names to rsync, which links them.
func hasManyHoles(st unix.Stat_t) bool {
	return isFile(st) && st.Nlink == 1 && st.Size-st.Blocks*512 >= manyHoles
}

// sparseFits reports whether rsync would copy a file that the target lacks, and would leave its content alone when it
// is there. With never it would not set the attributes either, with always it reads everything. Only rsync knows what a
// pattern excludes, and what a file made with --fake-super is.
func (x cleared) sparseFits() bool {
	o := x.o
	return !o.DryRun && x.target.remote == nil && len(o.Exclude) == 0 && !x.stored.FakeSuper &&
		(o.Overwrite == "" || o.Overwrite == facts.OverwriteIfChanged || o.Overwrite == facts.OverwriteIfNewer)
}

// copySparse copies what it can and returns what it did. Whatever goes wrong, rsync tries the file again, and reports
// it.
func (x cleared) copySparse(ctx context.Context) rsyncexec.Stats {
	var done rsyncexec.Stats
	if !x.sparseFits() {
		return done
	}
	paths, err := x.sparseFiles(ctx)
	step := transfer.Step(ctx, x.o.Bwlimit, x.o.Progress)
	for _, path := range paths {
		if ctx.Err() != nil || fail.IsFull(err) {
			break
		}
		if err = x.copySparseFile(ctx, path, step, &done); err != nil {
			x.tell.Log.Debug("a file with holes is left to rsync", "path", path, "error", err)
		}
	}
	return done
}

// sparseFiles are the files with many holes that are restored, in order; none on other filesystems mounted in the
// backup.
func (x cleared) sparseFiles(ctx context.Context) ([]string, error) {
	root, err := at.StatFile(x.view.Root)
	if err != nil {
		return nil, err
	}
	hidden := slices.Sorted(slices.Values(slices.Concat(x.stay, x.target.spared)))
	var mu sync.Mutex
	var paths []string
	w := walk.Walker{
		Visit: func(dir *os.File, e os.DirEntry) error {
			if !e.Type().IsRegular() {
				return nil
			}
			st, err := at.Stat(dir, e.Name())
			path := walk.Below(x.view.Root, dir, e.Name())
			if err != nil || !hasManyHoles(st) || st.Dev != root.Dev || !isAsked(path, x.open) || len(hidden) > 0 && isAsked(path, hidden) {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			paths = append(paths, path)
			return nil
		},
		Enter: func(up *os.File, name string) (*os.File, error) {
			if !transfer.OnTheWay(walk.Below(x.view.Root, up, name), x.open) {
				return nil, nil
			}
			dir, err := at.OpenDir(up, name)
			if err != nil {
				return nil, nil // rsync reports it
			}
			return dir, nil
		},
		Unreadable: func(*os.File, error) error { return nil },
	}
	err = w.Walk(ctx, x.view.Root)
	slices.Sort(paths)
	return paths, err
}

// copySparseFile copies a file that the target lacks. It gets its name when it is whole: a name that is taken by then
// is an error, and a run that is killed leaves nothing.
func (x cleared) copySparseFile(ctx context.Context, path string, step pending.Step, done *rsyncexec.Stats) error {
	from, err := at.OpenResolved(x.view.Root, path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	st, err := at.StatFile(from)
	if err != nil || !hasManyHoles(st) {
		return err
	}
	dir, err := x.makeParents(filepath.Dir(path), done)
	if err != nil {
		return err
	}
	defer dir.Close()
	name := filepath.Base(path)
	if _, err := at.Stat(dir, name); !errors.Is(err, fs.ErrNotExist) {
		return err // rsync and the mode decide
	}
	to, err := at.Open(dir, ".", unix.O_TMPFILE|unix.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	written, err := pending.CopyData(ctx, to, from, &st, step)
	if err == nil {
		err = x.finish(to, from, st)
	}
	if err == nil {
		err = at.Retry(func() error {
			return unix.Linkat(unix.AT_FDCWD, at.ProcPath(to), int(dir.Fd()), name, unix.AT_SYMLINK_FOLLOW)
		})
		err = at.Error("link", dir, name, err)
	}
	if err != nil {
		return err
	}
	done.Created, done.Transferred = done.Created+1, done.Transferred+1
	done.TransferredSize, done.Literal = done.TransferredSize+st.Size, done.Literal+written
	x.changed(">f+++++++++", path)
	return nil
}

// finish sets what the file must not lack when it has its name. For an ordinary user rsync sets what that user may:
// until then nobody else can read the file.
func (x cleared) finish(to, from *os.File, st unix.Stat_t) error {
	now, err := at.StatFile(from)
	if err == nil && at.StampOf(now) != at.StampOf(st) {
		err = at.Error("copy", from, "", unix.ESTALE) // the backup was made writable
	}
	if err == nil {
		err = at.Error("stat", from, "", at.CheckTimes(int(from.Fd())))
	}
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := x.setAttributes(to, from, st); err != nil {
			return err
		}
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, st.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, at.ProcPath(to), times, 0); err != nil {
		return at.Error("utimens", to, "", err)
	}
	return nil
}

// setAttributes sets the owner first, which clears set-id bits and capabilities.
func (x cleared) setAttributes(to, from *os.File, st unix.Stat_t) error {
	if err := unix.Fchown(int(to.Fd()), int(st.Uid), int(st.Gid)); err != nil {
		return at.Error("chown", to, "", err)
	}
	if !x.stored.NoXattrs && !x.stored.NoACLs {
		if err := at.CopyXattrs(to, from); err != nil {
			return err
		}
	}
	return at.Error("chmod", to, "", unix.Fchmod(int(to.Fd()), st.Mode&0o7777))
}

// makeParents opens a directory of the target and creates missing parents, whose metadata rsync sets. It follows no
// symlink: rsync replaces one by a directory.
func (x cleared) makeParents(path string, done *rsyncexec.Stats) (*os.File, error) {
	dir, err := at.OpenDir(x.target.dir, ".")
	if err != nil || path == "." {
		return dir, err
	}
	for up := range ancestors(path) {
		name := filepath.Base(up)
		next, err := at.OpenDir(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			if err = at.Mkdir(dir, name, 0o700); err == nil {
				done.Created++
				x.changed("cd+++++++++", up+"/")
				next, err = at.OpenDir(dir, name)
			}
		}
		if err := errors.Join(err, dir.Close()); err != nil {
			return nil, err
		}
		dir = next
	}
	return dir, nil
}

func (x cleared) changed(code, path string) {
	if x.o.Changes != nil {
		x.o.Changes(rsyncexec.Change{Code: code, Path: path})
	}
}
