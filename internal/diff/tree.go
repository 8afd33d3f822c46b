// Finding differences by looking at everything: a parallel walk of two trees.

package diff

import (
	"context"
	"errors"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
)

// contextReader reads until ctx is done.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

// pairWalker walks two paired directories. Names that exist on both sides are compared at once, the others become
// loose.
type pairWalker struct {
	*differ
	crew  *walk.Crew
	first walk.FirstError
}

// walkBoth compares from the top down; one side may be missing.
func (d *differ) walkBoth(a, b *diffLink) error {
	w := &pairWalker{differ: d, crew: walk.NewCrew()}
	if err := w.meet(d.a.root, d.b.root, d.inside, a, b); err != nil {
		w.first.Set(err)
	}
	w.crew.Wait()
	return w.first.Get()
}

// meet compares p on both sides; name is its path below the directories given.
func (w *pairWalker) meet(dirA, dirB *os.File, name string, a, b *diffLink) error {
	if a == nil || b == nil || !w.together(a, b) {
		return errors.Join(w.looseTree(w.a, dirA, name, a), w.looseTree(w.b, dirB, name, b))
	}
	if err := w.pair("", a, b, false); err != nil || !a.st.IsDir() {
		return err
	}
	subA, err := at.OpenPathInside(dirA, at.CmpOrDot(name), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return w.skip(err)
	}
	subB, err := at.OpenPathInside(dirB, at.CmpOrDot(name), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return errors.Join(w.skip(err), subA.Close())
	}
	w.crew.Do(func() { w.read(subA, subB, a.path) })
	return nil
}

// together reports names of one file, or, if that cannot be known, files of the same kind. The tops belong together if
// they are of the same kind.
func (w *pairWalker) together(a, b *diffLink) bool {
	switch {
	case a.path == w.inside:
		return a.st.Format() == b.st.Format()
	case w.related:
		return a.st.ID == b.st.ID && a.st.ID.Known()
	}
	return a.st.Format() == b.st.Format()
}

// read goes through two directories and closes them.
func (w *pairWalker) read(a, b *os.File, p string) {
	defer a.Close()
	defer b.Close()
	both := 0
	err := w.each(a, func(name string) error {
		linkA, linkB, err := w.look(a, b, p, name)
		if err != nil {
			return w.skip(err)
		}
		if linkB != nil {
			both++
		}
		return w.meet(a, b, name, inBackup(linkA), inBackup(linkB))
	})
	if err == nil {
		err = w.readAdded(a, b, p, both)
	}
	if err != nil {
		w.first.Set(err)
	}
}

// readAdded finds the names that are only in b. Counting first is cheaper than looking each up.
func (w *pairWalker) readAdded(a, b *os.File, p string, both int) error {
	err := w.each(b, func(string) error { both--; return nil })
	if err != nil || both >= 0 {
		return err
	}
	if _, err := b.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return w.each(b, func(name string) error {
		linkB, linkA, err := w.look(b, a, p, name)
		if err != nil {
			return w.skip(err)
		}
		if linkA != nil || inBackup(linkB) == nil {
			return nil
		}
		return w.looseTree(w.b, b, name, linkB)
	})
}

// look describes name in two directories, of which the second may not have it.
func (w *pairWalker) look(here, there *os.File, p, name string) (*diffLink, *diffLink, error) {
	st, err := at.InfoOf(here, name)
	if err != nil {
		return nil, nil, err
	}
	link := &diffLink{path: path.Join(p, name), st: st}
	other, err := at.InfoOf(there, name)
	if at.IsAbsent(err) {
		return link, nil, nil
	}
	return link, &diffLink{path: link.path, st: other}, err
}

// inBackup skips nested subvolumes: they are not part of the backup.
func inBackup(l *diffLink) *diffLink {
	if l == nil || l.st.IsBoundary() {
		return nil
	}
	return l
}

// each calls do with the names in dir, in bounded memory.
func (w *pairWalker) each(dir *os.File, do func(name string) error) error {
	for {
		if w.ctx.Err() != nil {
			return context.Cause(w.ctx)
		}
		if err := w.first.Get(); err != nil {
			return err
		}
		names, err := dir.Readdirnames(walk.ReadBatch)
		for _, name := range names {
			if err := do(name); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return w.skip(err)
		}
	}
}

// looseTree notes link, which is name in dir, and everything below it.
func (w *pairWalker) looseTree(side *diffSide, dir *os.File, name string, link *diffLink) error {
	if link == nil {
		return nil
	}
	w.mu.Lock()
	side.loose[link.path] = link
	w.mu.Unlock()
	if !link.st.IsDir() {
		return nil
	}
	sub, err := at.OpenPathInside(dir, at.CmpOrDot(name), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return w.skip(err)
	}
	defer sub.Close()
	return w.each(sub, func(name string) error {
		st, err := at.InfoOf(sub, name)
		if err != nil {
			return w.skip(err)
		}
		if st.IsBoundary() {
			return nil
		}
		return w.looseTree(side, sub, name, &diffLink{path: path.Join(link.path, name), st: st})
	})
}
