package scan

import (
	"context"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

const (
	// aheadDirs and aheadEntries limit what is read ahead: the memory of a walk, and its descriptors, one for each
	// reader.
	aheadDirs    = 128
	aheadEntries = 32 << 10
	maxReaders   = 8
)

// Options say what a walk skips and reports.
type Options struct {
	// OneFileSystem does not enter directories on other filesystems.
	OneFileSystem bool
	// Skip are paths that are left out.
	Skip []string
	// See, if set, is called by several goroutines for everything except the directories that are entered, in the open
	// directory dir; SeeDir is called for these.
	See    func(dir int, path string, st *unix.Statx_t)
	SeeDir func(path string)
	// AsOf is set for a walk of a snapshot of the source: a time not later than that of the snapshot. Origins maps the
	// UUIDs of subvolumes in it to those of the subvolumes that they stand for.
	AsOf    time.Time
	Origins map[string]string
	// Generations, if set, report what has changed. If Trust is set, everything that is not newer is taken from the
	// catalog and not examined.
	Generations *Generations
	Trust       bool
	nested      *nested      // if they cannot be asked
	denied      *atomic.Bool // something may not be read; nil: that is an error
	// Tell, if set with Generations, is called by one goroutine with each directory, sorted by name, and with what the
	// catalog has at its path: nothing, if the directory or one of its parents has moved. Both are overwritten later.
	Tell func(old, now catalog.Dir, unchanged func(was, e catalog.Entry) bool)
	// Suspect, if set, is called by one goroutine with the files of a directory that are not known to be those of the
	// catalog, which is of a run that was cut or could not read everything: what it copied, or had before, may be of
	// other files with the same size and time.
	Suspect func(dir string, files []catalog.Entry)
	// Cut: that run was cut, and could not note what changed while it copied.
	Cut bool
}

// mark is passed from a directory to the directories in it.
type mark uint8

// walker reads the tree below a root in parallel and shows each directory in the order of catalog.ComparePaths, that of
// the catalog. Readers take the directories that are shown next, as long as not too much is read ahead.
type walker struct {
	root    *os.File
	options Options
	rootDev uint64
	// show is called by one goroutine with each directory; with its path alone if it needs no reading. It returns the
	// directories in it that are entered, and their marks.
	show func(l catalog.Listing, seen catalog.Entry, m mark) ([]catalog.Entry, []mark, error)

	mu      sync.Mutex
	more    sync.Cond // there is something to read
	ready   sync.Cond // the next directory has been read
	idle    int       // readers that wait for more
	stack   []*task   // the directories to show, the next one last
	dirs    int       // read, or being read, ahead
	entries int       // the same
	over    bool
}

// task is one directory to read.
type task struct {
	path  string
	seen  catalog.Entry
	mark  mark
	taken bool
	done  bool
	found catalog.Listing
	err   error
}

// newTask returns a task that is done if there is nothing to read.
func newTask(path string, seen catalog.Entry, m mark) *task {
	skip := m.needsNoReading()
	return &task{path: path, seen: seen, mark: m, taken: skip, done: skip, found: catalog.Listing{Path: path}}
}

func (w *walker) walk(ctx context.Context, top catalog.Entry, m mark) error {
	w.more.L, w.ready.L = &w.mu, &w.mu
	w.stack = []*task{newTask(".", top, m)}
	var group sync.WaitGroup
	for range min(maxReaders, 2*runtime.GOMAXPROCS(0)) {
		group.Go(w.readAhead)
	}
	err := w.showAll(ctx)
	w.mu.Lock()
	w.over = true
	w.more.Broadcast()
	w.mu.Unlock()
	group.Wait()
	return err
}

// readAhead is one reader.
func (w *walker) readAhead() {
	r := newReader(w.root, w.options, w.rootDev)
	for t := w.take(); t != nil; t = w.take() {
		l, err := r.read(t.path, t.seen)
		w.finish(t, l, err)
	}
}

// take waits for a directory to read; nil at the end.
func (w *walker) take() *task {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.over {
		if t := w.soonest(); t != nil {
			t.taken = true
			w.dirs++
			return t
		}
		w.idle++
		w.more.Wait()
		w.idle--
	}
	return nil
}

func (w *walker) soonest() *task {
	for i := len(w.stack) - 1; i >= 0; i-- {
		t := w.stack[i]
		if t.taken {
			continue
		}
		// The next directory is always read, because the walk waits for it.
		if i == len(w.stack)-1 || w.dirs < aheadDirs && w.entries < aheadEntries {
			return t
		}
		return nil
	}
	return nil
}

func (w *walker) finish(t *task, l catalog.Listing, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.found, t.err, t.done = l, err, true
	w.entries += l.Count
	if t == w.stack[len(w.stack)-1] {
		w.ready.Signal()
	}
}

// showAll shows one directory after the other.
func (w *walker) showAll(ctx context.Context) error {
	for t := w.next(); t != nil; t = w.next() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if t.err != nil {
			return t.err
		}
		subs, marks, err := w.show(t.found, t.seen, t.mark)
		if err != nil {
			return err
		}
		w.push(t.path, subs, marks)
	}
	return nil
}

// next waits until the next directory has been read; nil at the end.
func (w *walker) next() *task {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.stack) == 0 {
		return nil
	}
	t := w.stack[len(w.stack)-1]
	for !t.done {
		w.ready.Wait()
	}
	w.stack[len(w.stack)-1] = nil
	w.stack = w.stack[:len(w.stack)-1]
	if !t.mark.needsNoReading() {
		w.dirs--
		w.entries -= t.found.Count
	}
	return t
}

// push puts the directories in dir before all others.
func (w *walker) push(dir string, subs []catalog.Entry, marks []mark) {
	tasks := make([]*task, len(subs))
	for i, e := range subs {
		tasks[len(subs)-1-i] = newTask(catalog.Join(dir, e.Name), e, marks[i])
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stack = append(w.stack, tasks...)
	// Less is read ahead than before, so there may be room for more.
	for range min(w.idle, len(subs)+1) {
		w.more.Signal()
	}
}
