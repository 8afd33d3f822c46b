// Walking a tree in parallel through descriptors, in bounded memory.

package walk

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

const (
	// walkers is the number of directories read at a time. A walk is bound by
	// the kernel reading inodes; what it read, rsync finds in the cache.
	Walkers = 4
	// readBatch bounds the memory for one directory however large it is.
	ReadBatch = 512
)

// Walker goes through a tree. visit is called for everything but directories,
// enter for each directory: it returns it opened, or nil to leave it out.
// Both are called from several goroutines.
type Walker struct {
	Visit func(dir *os.File, e os.DirEntry) error
	Enter func(dir *os.File, name string) (*os.File, error)
	// unreadable, if set, is asked about a directory that can not be read to
	// its end: without an error of its own the walk goes on with the others.
	Unreadable func(dir *os.File, err error) error

	ctx   context.Context
	token chan struct{} // one for each further goroutine
	group sync.WaitGroup
	first FirstError
}

// Below is the path of name, in dir, relative to root, which may be "/".
func Below(root, dir *os.File, name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(filepath.Join(dir.Name(), name), root.Name()), "/")
}

// FirstError keeps the first of the errors of several goroutines.
type FirstError struct {
	mu  sync.Mutex
	err error
}

func (f *FirstError) Set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *FirstError) Get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Walk goes through everything below root and returns the first error.
func (w *Walker) Walk(ctx context.Context, root *os.File) error {
	w.ctx, w.token = ctx, make(chan struct{}, Walkers-1)
	dir, err := at.OpenDir(root, ".")
	if err != nil {
		return err
	}
	w.read(dir)
	w.group.Wait()
	return w.first.Get()
}

func (w *Walker) stopped() bool {
	if w.ctx.Err() != nil {
		w.first.Set(context.Cause(w.ctx))
	}
	return w.first.Get() != nil
}

// read goes through dir and closes it.
func (w *Walker) read(dir *os.File) {
	defer dir.Close()
	for !w.stopped() {
		entries, err := dir.ReadDir(ReadBatch)
		for _, e := range entries {
			if err := w.take(dir, e); err != nil {
				w.first.Set(err)
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

func (w *Walker) failed(dir *os.File, err error) {
	if w.Unreadable != nil {
		err = w.Unreadable(dir, err)
	}
	if err != nil {
		w.first.Set(err)
	}
}

// take hands a subdirectory to an idle goroutine or reads it itself.
func (w *Walker) take(dir *os.File, e os.DirEntry) error {
	if !e.IsDir() {
		return w.Visit(dir, e)
	}
	sub, err := w.Enter(dir, e.Name())
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
