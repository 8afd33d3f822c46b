// The reflink copy of a tree: its directories, several in parallel, and their attributes, which are set last.

package reflink

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
)

// Options say what to copy and how. Progress and Log may be nil.
type Options struct {
	Paths    []string // below the root; none means everything
	Log      *slog.Logger
	Progress func(facts.ReflinkStats)
}

// Result is what was copied. Left reports that something was not.
type Result struct {
	Stats facts.ReflinkStats
	Left  bool
}

// Copy fills target, an empty directory on the btrfs of root, with a copy of everything below root that shares its
// blocks. Only root may do this. It skips what it cannot copy; an error is one the error that ended the copy.
func Copy(ctx context.Context, root, target *os.File, o Options) (Result, error) {
	top, err := at.StatFile(target)
	if err != nil {
		return Result{}, err
	}
	c := &cloner{
		ctx: ctx, log: o.Log, target: target, crew: walk.NewCrew(), links: map[mounts.Inode]*firstLink{}, progress: o.Progress,
		umask: readUmask(), chownAll: top.Mode&unix.S_ISGID != 0 || os.Getegid() != 0,
	}
	c.copy(root, o.Paths)
	return Result{c.stats.load(), c.left.Load()}, c.err
}

// cloner is a copy in progress.
type cloner struct {
	ctx    context.Context
	log    *slog.Logger
	target *os.File
	crew   *walk.Crew
	stats  counters
	left   atomic.Bool // something was not copied
	// umask of the process; all ones if it cannot be read.
	umask uint32
	// chownAll: new files in the target may get another group than 0: that of the target (set-group-id) or of the
	// process.
	chownAll bool

	mu       sync.Mutex // of what follows
	err      error      // the error that ended the copy
	progress func(facts.ReflinkStats)

	linkMu sync.Mutex // held while a file with several names is copied
	links  map[mounts.Inode]*firstLink
}

type counters struct {
	files, directories, symlinks, specials, hardLinks, bytes atomic.Int64
}

func (n *counters) load() facts.ReflinkStats {
	return facts.ReflinkStats{
		Files: n.files.Load(), Directories: n.directories.Load(), Symlinks: n.symlinks.Load(),
		Specials: n.specials.Load(), HardLinks: n.hardLinks.Load(), Bytes: n.bytes.Load(),
	}
}

// firstLink is the copy of an inode with further names to come.
type firstLink struct {
	path string // below the target
	more uint64
}

// clonedDir is a directory being copied. Its attributes are set after its last entry, because each new entry changes
// its time.
type clonedDir struct {
	src, dst *os.File
	up       *clonedDir // nil: the target itself
	path     string     // below the target
	keep     bool       // keeps its attributes: the target, if only paths are copied
	open     atomic.Int32
}

const reflinkProgressEvery = 256 // entries

// copy copies everything below root, and returns when all is done.
func (c *cloner) copy(root *os.File, paths []string) {
	top := &clonedDir{keep: len(paths) > 0}
	top.open.Store(1)
	var err error
	if top.src, err = at.OpenDir(root, "."); err == nil {
		if top.dst, err = at.OpenDir(c.target, "."); err != nil {
			err = errors.Join(err, top.src.Close())
		}
	}
	if err != nil {
		c.leave(err)
		return
	}
	if len(paths) == 0 {
		c.read(top)
		c.crew.Wait()
		return
	}
	above := map[string]*clonedDir{".": top}
	for _, path := range paths {
		if c.stopped() {
			break
		}
		if dir := c.parent(above, filepath.Dir(path)); dir != nil {
			c.take(dir, filepath.Base(path))
		}
	}
	for _, dir := range above {
		c.done(dir)
	}
	c.crew.Wait()
}

// parent returns the copy of a parent directory of a path.
func (c *cloner) parent(above map[string]*clonedDir, path string) *clonedDir {
	if dir, ok := above[path]; ok {
		return dir
	}
	up := c.parent(above, filepath.Dir(path))
	if up == nil {
		return nil
	}
	dir, err := c.makeDir(up, filepath.Base(path))
	if err != nil {
		c.leave(err)
		return nil
	}
	above[path] = dir
	return dir
}

// leave notes that rsync must copy the rest. A full disk and cancellation end the copy.
func (c *cloner) leave(err error) {
	calledOff := c.ctx.Err() != nil
	if calledOff {
		err = context.Cause(c.ctx) // the failure follows from it
	}
	if calledOff || fail.IsFull(err) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.err == nil {
			c.err = err
		}
		return
	}
	if !c.left.Swap(true) {
		c.log.Debug("left to rsync", "error", err)
	}
}

func (c *cloner) stopped() bool {
	if c.ctx.Err() != nil {
		c.leave(context.Cause(c.ctx))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

// read copies what is in dir.
func (c *cloner) read(dir *clonedDir) {
	defer c.done(dir)
	for !c.stopped() {
		entries, err := dir.src.ReadDir(walk.ReadBatch)
		for _, e := range entries {
			if e.IsDir() {
				c.enter(dir, e.Name())
			} else {
				c.takeOther(dir, e.Name(), e.Type().IsRegular())
			}
			if c.stopped() {
				return
			}
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			c.leave(err)
			return
		}
	}
}

// take copies one entry of unknown kind.
func (c *cloner) take(dir *clonedDir, name string) {
	st, err := at.Stat(dir.src, name)
	switch {
	case err != nil:
		c.leave(err)
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		c.enter(dir, name)
	default:
		c.takeOther(dir, name, st.Mode&unix.S_IFMT == unix.S_IFREG)
	}
}

// enter reads a directory in an idle goroutine or in this one.
func (c *cloner) enter(dir *clonedDir, name string) {
	sub, err := c.makeDir(dir, name)
	if err != nil {
		c.leave(err)
		return
	}
	c.crew.Do(func() { c.read(sub) })
}

// makeDir creates a directory, not accessible to others until it is complete.
func (c *cloner) makeDir(up *clonedDir, name string) (*clonedDir, error) {
	dir := &clonedDir{up: up, path: filepath.Join(up.path, name)}
	dir.open.Store(1)
	var err error
	if dir.src, err = at.OpenDir(up.src, name); err != nil {
		return nil, err
	}
	if err = at.Mkdir(up.dst, name, 0o700); err == nil {
		dir.dst, err = at.OpenDir(up.dst, name)
	}
	if err != nil {
		return nil, errors.Join(err, dir.src.Close())
	}
	if err = checkNew(dir.dst, unix.S_IFDIR); err != nil {
		return nil, errors.Join(err, dir.src.Close(), dir.dst.Close())
	}
	up.open.Add(1)
	return dir, nil
}

// done is called once for each directory and once for each of its children.
func (c *cloner) done(dir *clonedDir) {
	for ; dir != nil && dir.open.Add(-1) == 0; dir = dir.up {
		var err error
		if !dir.keep {
			err = CopyAttributes(dir.dst, ".", dir.dst, dir.src)
		}
		if err = errors.Join(err, dir.src.Close(), dir.dst.Close()); err != nil {
			c.leave(err)
		}
		if !dir.keep {
			c.count(&c.stats.directories)
		}
	}
}

func (c *cloner) count(n *atomic.Int64) {
	n.Add(1)
	if c.progress == nil {
		return
	}
	if s := c.stats.load(); Entries(s)%reflinkProgressEvery == 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.progress(s)
	}
}

// takeOther copies an entry that is not a directory.
func (c *cloner) takeOther(dir *clonedDir, name string, regular bool) {
	var err error
	if regular {
		err = c.file(dir, name)
	} else {
		err = c.special(dir, name)
	}
	if err != nil {
		c.leave(err)
	}
}
