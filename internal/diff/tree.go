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
	if enter, err := w.meet(d.a.root, d.b.root, d.inside, a, b); err != nil {
		w.first.Set(err)
	} else if enter {
		if subA, subB := w.open(d.a.root, d.b.root, d.inside); subA != nil {
			w.read(subA, subB, a.path)
		}
	}
	w.crew.Wait()
	return w.first.Get()
}

// meet compares p on both sides, and reports whether both are directories to go into; name is its path below the
// directories given.
func (w *pairWalker) meet(dirA, dirB *os.File, name string, a, b *diffLink) (enter bool, err error) {
	if a == nil || b == nil || !w.together(a, b) {
		return false, errors.Join(w.looseTree(w.a, dirA, name, a), w.looseTree(w.b, dirB, name, b))
	}
	return a.st.IsDir(), w.pair("", a, b, false)
}

// open opens a directory on both sides; nil if that is not possible.
func (w *pairWalker) open(dirA, dirB *os.File, name string) (subA, subB *os.File) {
	subA, err := at.OpenPathInside(dirA, at.CmpOrDot(name), unix.O_RDONLY|unix.O_DIRECTORY)
	if err == nil {
		if subB, err = at.OpenPathInside(dirB, at.CmpOrDot(name), unix.O_RDONLY|unix.O_DIRECTORY); err == nil {
			return subA, subB
		}
		_ = subA.Close() // nothing was read
	}
	if err := w.skip(err); err != nil {
		w.first.Set(err)
	}
	return nil, nil
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
	if a, b = w.through(a, b, p); a != nil {
		_, _ = a.Close(), b.Close() // they were only read
	}
}

// through goes through two directories. It returns them, perhaps opened again, or nil if they were lost.
func (w *pairWalker) through(a, b *os.File, p string) (*os.File, *os.File) {
	both := 0
	var later []string // directories on both sides, which wait until these are read
	err := w.each(a, func(name string) error {
		linkA, linkB, err := w.look(a, b, p, name)
		if err != nil {
			return w.skip(err)
		}
		if linkB != nil {
			both++
		}
		enter, err := w.meet(a, b, name, inBackup(linkA), inBackup(linkB))
		if enter && err == nil {
			later = append(later, name)
		}
		return err
	})
	if err == nil {
		err = w.readAdded(a, b, p, both)
	}
	if err != nil {
		w.first.Set(err)
		return a, b
	}
	for _, name := range later {
		subA, subB := w.open(a, b, name)
		below := path.Join(p, name)
		if subA == nil || w.crew.TryGo(func() { w.read(subA, subB, below) }) {
			continue
		}
		if a, b = w.alone(a, b, subA, subB, below); a == nil {
			break
		}
	}
	return a, b
}

// alone goes through two subdirectories with those above them closed: the depth of a tree is not limited by that of
// open files. It returns them as through does.
func (w *pairWalker) alone(a, b, subA, subB *os.File, p string) (*os.File, *os.File) {
	wasA, errA := at.StatFile(a)
	wasB, errB := at.StatFile(b)
	_, _ = a.Close(), b.Close() // they were only read
	if err := errors.Join(errA, errB); err != nil {
		w.first.Set(errors.Join(err, subA.Close(), subB.Close()))
		return nil, nil
	}
	if subA, subB = w.through(subA, subB, p); subA == nil {
		return nil, nil
	}
	defer subB.Close()
	defer subA.Close()
	upA, errA := walk.Up(subA, wasA)
	upB, errB := walk.Up(subB, wasB)
	if err := errors.Join(errA, errB); err != nil {
		w.first.Set(err)
		for _, up := range []*os.File{upA, upB} {
			if up != nil {
				_ = up.Close() // nothing was read
			}
		}
		return nil, nil
	}
	return upA, upB
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
