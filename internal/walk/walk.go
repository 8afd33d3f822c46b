// Walking a tree in parallel through descriptors, in bounded memory.

package walk

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

const (
	// ReadBatch bounds the memory for one directory however large it is.
	ReadBatch = 512
	// heldLevels is how many directories each goroutine keeps open on its way down. Below that it closes a directory
	// before it goes into the next one, so that the depth of a tree is not limited by that of open files.
	heldLevels = 8
)

// Walker goes through a tree. Visit is called for everything but directories, Enter for each directory: it returns it
// opened, or nil to leave it out. Both are called from several goroutines.
type Walker struct {
	Visit func(dir *os.File, e os.DirEntry) error
	Enter func(dir *os.File, name string) (*os.File, error)
	// Unreadable, if set, is called for a directory that cannot be read to its end. If it returns nil, the walk
	// continues with the others.
	Unreadable func(dir *os.File, err error) error

	ctx   context.Context
	crew  *Crew
	first FirstError
}

// Below is the path of name, in dir, relative to root, which may be "/".
func Below(root, dir *os.File, name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(filepath.Join(dir.Name(), name), root.Name()), "/")
}

// Walk goes through everything below root and returns the first error.
func (w *Walker) Walk(ctx context.Context, root *os.File) error {
	w.ctx, w.crew = ctx, NewCrew()
	dir, err := at.OpenDir(root, ".")
	if err != nil {
		return err
	}
	w.finish(dir)
	w.crew.Wait()
	return w.first.Get()
}

func (w *Walker) stopped() bool {
	if w.ctx.Err() != nil {
		w.first.Set(context.Cause(w.ctx))
	}
	return w.first.Get() != nil
}

// finish goes through dir and closes it.
func (w *Walker) finish(dir *os.File) {
	if dir = w.read(dir, heldLevels); dir != nil {
		_ = dir.Close() // it was only read
	}
}

// read goes through dir, keeping up to levels directories open. It returns dir, which may have been closed and opened
// again on the way, or nil if it was lost.
func (w *Walker) read(dir *os.File, levels int) *os.File {
	var later []string // subdirectories that wait until dir is read
	for !w.stopped() {
		entries, err := dir.ReadDir(ReadBatch)
		for _, e := range entries {
			switch {
			case !e.IsDir():
				err := w.Visit(dir, e)
				if err != nil {
					w.first.Set(err)
					return dir
				}
			case levels > 0:
				if dir = w.descend(dir, e.Name(), levels); w.stopped() {
					return dir
				}
			default:
				later = append(later, e.Name())
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			w.failed(dir, err)
			break
		}
	}
	for _, name := range later {
		if dir == nil || w.stopped() {
			break
		}
		dir = w.descend(dir, name, levels)
	}
	return dir
}

func (w *Walker) failed(dir *os.File, err error) {
	if w.Unreadable != nil {
		err = w.Unreadable(dir, err)
	}
	if err != nil {
		w.first.Set(err)
	}
}

// descend hands a subdirectory to an idle goroutine or reads it itself. It returns dir as read does.
func (w *Walker) descend(dir *os.File, name string, levels int) *os.File {
	sub, err := w.Enter(dir, name)
	if err != nil {
		w.first.Set(err)
		return dir
	}
	if sub == nil {
		return dir
	}
	if w.crew.TryGo(func() { w.finish(sub) }) {
		return dir
	}
	if levels > 0 {
		if sub = w.read(sub, levels-1); sub != nil {
			_ = sub.Close() // it was only read
		}
		return dir
	}
	return w.descendAlone(dir, sub)
}

// descendAlone reads sub with dir closed meanwhile, if ".." leads back to it.
func (w *Walker) descendAlone(dir, sub *os.File) *os.File {
	was, err := at.Stat(dir, ".")
	if err != nil || !isParent(sub, was) {
		if sub = w.read(sub, 0); sub != nil {
			_ = sub.Close() // it was only read
		}
		return dir
	}
	_ = dir.Close() // it was only read
	if sub = w.read(sub, 0); sub == nil {
		return nil
	}
	defer sub.Close()
	up, err := Up(sub, was)
	if err != nil {
		w.failed(sub, err)
		return nil
	}
	return up
}

// Up opens the directory that sub is in, which must be the one that was there. It is not if sub was moved, and it
// cannot be opened if sub may not be searched any more.
func Up(sub *os.File, was unix.Stat_t) (*os.File, error) {
	up, err := at.OpenDir(sub, "..")
	if err == nil && !isSame(up, was) {
		return nil, errors.Join(at.Error("open", sub, "..", unix.ESTALE), up.Close())
	}
	return up, err
}

func isParent(sub *os.File, dir unix.Stat_t) bool {
	st, err := at.Stat(sub, "..")
	return err == nil && st.Dev == dir.Dev && st.Ino == dir.Ino
}

func isSame(f *os.File, st unix.Stat_t) bool {
	now, err := at.StatFile(f)
	return err == nil && now.Dev == st.Dev && now.Ino == st.Ino
}
