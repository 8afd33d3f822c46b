package pending

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Weight is the number of entries of each kind, and the size of files and symlinks, as rsync counts them.
type Weight struct {
	Files, Dirs, Links, Devices, Specials, Size atomic.Int64
}

// Growth is how much more pending has than its base, if only the listed paths can differ. had is what the names on the
// list were in the base; nil if not known.
func Growth(ctx context.Context, base, work *os.File, l Listed, had *Weight) (*Weight, error) {
	w := &Weight{}
	for _, dir := range l.Dirs {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := w.compareDir(ctx, base, work, dir); err != nil {
			return nil, err
		}
	}
	for _, name := range l.Names {
		if err := w.addName(work, name, 1); err != nil {
			return nil, err
		}
		if had != nil {
			continue
		}
		if err := w.addName(base, name, -1); err != nil {
			return nil, err
		}
	}
	if had != nil {
		w.subtract(had)
	}
	return w, nil
}

// AddTo adds it to the totals of a backup.
func (w *Weight) AddTo(sum *rsyncexec.Stats) {
	sum.RegularFiles += w.Files.Load()
	sum.Directories += w.Dirs.Load()
	sum.Symlinks += w.Links.Load()
	sum.Devices += w.Devices.Load()
	sum.Specials += w.Specials.Load()
	sum.Files += w.Files.Load() + w.Dirs.Load() + w.Links.Load() + w.Devices.Load() + w.Specials.Load()
	sum.TotalSize += w.Size.Load()
}

func (w *Weight) subtract(other *Weight) {
	w.Files.Add(-other.Files.Load())
	w.Dirs.Add(-other.Dirs.Load())
	w.Links.Add(-other.Links.Load())
	w.Devices.Add(-other.Devices.Load())
	w.Specials.Add(-other.Specials.Load())
	w.Size.Add(-other.Size.Load())
}

// compareDir counts the entries of a directory, and everything below its deleted subdirectories.
func (w *Weight) compareDir(ctx context.Context, base, work *os.File, rel string) error {
	was, err := w.addDir(base, rel, -1)
	if err != nil {
		return err
	}
	is, err := w.addDir(work, rel, 1)
	if err != nil {
		return err
	}
	for name := range was {
		if is[name] {
			continue
		}
		if err := w.removeBelow(ctx, base, path.Join(rel, name)); err != nil {
			return err
		}
	}
	return nil
}

// addDir counts the entries of the directory at rel, and returns its subdirectories.
func (w *Weight) addDir(root *os.File, rel string, sign int64) (map[string]bool, error) {
	dir, err := at.OpenBeneath(root, rel)
	if at.IsNoDir(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	dirs := map[string]bool{}
	for {
		entries, err := dir.ReadDir(walk.ReadBatch)
		for _, e := range entries {
			if e.IsDir() {
				dirs[e.Name()] = true
			}
			st, err := at.Stat(dir, e.Name())
			if err != nil {
				return nil, err
			}
			w.add(&st, sign)
		}
		if errors.Is(err, io.EOF) {
			return dirs, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (w *Weight) addName(root *os.File, name string, sign int64) error {
	dir, err := at.OpenBeneath(root, path.Dir(name))
	if at.IsNoDir(err) {
		return nil
	}
	if err != nil {
		return err
	}
	st, err := at.Stat(dir, path.Base(name))
	if err := errors.Join(err, dir.Close()); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	w.add(&st, sign)
	return nil
}

// removeBelow subtracts everything below a directory of base.
func (w *Weight) removeBelow(ctx context.Context, base *os.File, rel string) error {
	dir, err := at.OpenBeneath(base, rel)
	if err != nil {
		return err
	}
	defer dir.Close()
	take := func(dir *os.File, name string) error {
		st, err := at.Stat(dir, name)
		if err == nil {
			w.add(&st, -1)
		}
		return err
	}
	all := walk.Walker{
		Visit: func(dir *os.File, e os.DirEntry) error { return take(dir, e.Name()) },
		Enter: func(dir *os.File, name string) (*os.File, error) {
			if err := take(dir, name); err != nil {
				return nil, err
			}
			return at.OpenDir(dir, name)
		},
	}
	return all.Walk(ctx, dir)
}

func (w *Weight) add(st *unix.Stat_t, sign int64) {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		w.Files.Add(sign)
		w.Size.Add(sign * st.Size)
	case unix.S_IFDIR:
		w.Dirs.Add(sign)
	case unix.S_IFLNK:
		w.Links.Add(sign)
		w.Size.Add(sign * st.Size)
	case unix.S_IFCHR, unix.S_IFBLK:
		w.Devices.Add(sign)
	default:
		w.Specials.Add(sign)
	}
}
