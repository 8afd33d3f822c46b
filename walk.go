// Walking a tree in parallel through descriptors, in bounded memory.

package rsbtbackup

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const (
	// walkers is the number of directories read at a time. A walk is bound by
	// the kernel reading inodes; what it read, rsync finds in the cache.
	walkers = 4
	// readBatch bounds the memory for one directory however large it is.
	readBatch = 512
)

// walker goes through a tree. visit is called for everything but directories,
// enter for each directory: it returns it opened, or nil to leave it out.
// Both are called from several goroutines.
type walker struct {
	visit func(dir *os.File, e os.DirEntry) error
	enter func(dir *os.File, name string) (*os.File, error)
	// unreadable, if set, is asked about a directory that can not be read to
	// its end: without an error of its own the walk goes on with the others.
	unreadable func(dir *os.File, err error) error

	ctx   context.Context
	token chan struct{} // one for each further goroutine
	group sync.WaitGroup
	first firstError
}

// below is the path of name, in dir, relative to root, which may be "/".
func below(root, dir *os.File, name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(filepath.Join(dir.Name(), name), root.Name()), "/")
}

// firstError keeps the first of the errors of several goroutines.
type firstError struct {
	mu  sync.Mutex
	err error
}

func (f *firstError) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *firstError) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// walk goes through everything below root and returns the first error.
func (w *walker) walk(ctx context.Context, root *os.File) error {
	w.ctx, w.token = ctx, make(chan struct{}, walkers-1)
	dir, err := openDirAt(root, ".")
	if err != nil {
		return err
	}
	w.read(dir)
	w.group.Wait()
	return w.first.get()
}

func (w *walker) stopped() bool {
	if w.ctx.Err() != nil {
		w.first.set(context.Cause(w.ctx))
	}
	return w.first.get() != nil
}

// read goes through dir and closes it.
func (w *walker) read(dir *os.File) {
	defer dir.Close()
	for !w.stopped() {
		entries, err := dir.ReadDir(readBatch)
		for _, e := range entries {
			if err := w.take(dir, e); err != nil {
				w.first.set(err)
				return
			}
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			w.failed(dir, err)
			return
		}
	}
}

func (w *walker) failed(dir *os.File, err error) {
	if w.unreadable != nil {
		err = w.unreadable(dir, err)
	}
	if err != nil {
		w.first.set(err)
	}
}

// take hands a subdirectory to an idle goroutine or reads it itself.
func (w *walker) take(dir *os.File, e os.DirEntry) error {
	if !e.IsDir() {
		return w.visit(dir, e)
	}
	sub, err := w.enter(dir, e.Name())
	if err != nil || sub == nil {
		return err
	}
	select {
	case w.token <- struct{}{}:
		w.group.Go(func() {
			w.read(sub)
			<-w.token
		})
	default:
		w.read(sub)
	}
	return nil
}
