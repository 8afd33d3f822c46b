// The reflink copy of a tree: its directories, several at a time, and what they
// get when everything is in them.

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
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
)

// Cloner is one copy under way.
type Cloner struct {
	Ctx    context.Context
	Log    *slog.Logger
	Target *os.File
	Token  chan struct{} // one for each further goroutine
	group  sync.WaitGroup
	Stats  reflinkCounters
	Left   atomic.Bool // something was left out
	// umask of the process, all ones where it can not be read.
	Umask uint32
	// chownAll: what is made in the target may get another group than 0, that of
	// the target (set-group-id) or ours.
	ChownAll bool

	mu       sync.Mutex // of what follows
	Err      error      // that ended the copy
	Progress func(facts.ReflinkStats)

	linkMu sync.Mutex // held while a file with several names is copied
	Links  map[InodeKey]*FirstLink
}

type reflinkCounters struct {
	files, directories, symlinks, specials, hardLinks, bytes atomic.Int64
}

func (n *reflinkCounters) Load() facts.ReflinkStats {
	return facts.ReflinkStats{
		Files: n.files.Load(), Directories: n.directories.Load(), Symlinks: n.symlinks.Load(),
		Specials: n.specials.Load(), HardLinks: n.hardLinks.Load(), Bytes: n.bytes.Load(),
	}
}

type InodeKey struct{ dev, ino uint64 }

// FirstLink is the copy of an inode of which more names will come.
type FirstLink struct {
	path string // below the target
	more uint64
}

// clonedDir is a directory being copied. Its attributes are set when
// everything in it is there, since each new entry changes its time.
type clonedDir struct {
	src, dst *os.File
	up       *clonedDir // nil: the target itself
	path     string     // below the target
	keep     bool       // has attributes of its own: the target, when only paths are copied
	open     atomic.Int32
}

const reflinkProgressEvery = 256 // entries

// Copy goes through what is below root, and returns when all of it is done.
func (c *Cloner) Copy(root *os.File, paths []string) {
	top := &clonedDir{keep: len(paths) > 0}
	top.open.Store(1)
	var err error
	if top.src, err = at.OpenDir(root, "."); err == nil {
		if top.dst, err = at.OpenDir(c.Target, "."); err != nil {
			err = errors.Join(err, top.src.Close())
		}
	}
	if err != nil {
		c.leave(err)
		return
	}
	if len(paths) == 0 {
		c.read(top)
		c.group.Wait()
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
	c.group.Wait()
}

// parent returns the copy of a directory on the way to a path.
func (c *Cloner) parent(above map[string]*clonedDir, path string) *clonedDir {
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

// leave is for what rsync will have to look at. A full disk, and a caller who
// has had enough, end the copy.
func (c *Cloner) leave(err error) {
	calledOff := c.Ctx.Err() != nil
	if calledOff {
		err = context.Cause(c.Ctx) // whatever failed since
	}
	if calledOff || fail.IsFull(err) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.Err == nil {
			c.Err = err
		}
		return
	}
	if !c.Left.Swap(true) {
		c.Log.Debug("left to rsync", "error", err)
	}
}

func (c *Cloner) stopped() bool {
	if c.Ctx.Err() != nil {
		c.leave(context.Cause(c.Ctx))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Err != nil
}

// read copies what is in dir.
func (c *Cloner) read(dir *clonedDir) {
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

// take copies one entry of which nothing is known.
func (c *Cloner) take(dir *clonedDir, name string) {
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

// enter hands a directory to an idle goroutine or reads it itself.
func (c *Cloner) enter(dir *clonedDir, name string) {
	sub, err := c.makeDir(dir, name)
	if err != nil {
		c.leave(err)
		return
	}
	select {
	case c.Token <- struct{}{}:
		c.group.Go(func() {
			c.read(sub)
			<-c.Token
		})
	default:
		c.read(sub)
	}
}

// makeDir makes a directory, closed to others until it is complete.
func (c *Cloner) makeDir(up *clonedDir, name string) (*clonedDir, error) {
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
func (c *Cloner) done(dir *clonedDir) {
	for ; dir != nil && dir.open.Add(-1) == 0; dir = dir.up {
		var err error
		if !dir.keep {
			err = CopyAttributes(dir.dst, ".", dir.dst, dir.src)
		}
		if err = errors.Join(err, dir.src.Close(), dir.dst.Close()); err != nil {
			c.leave(err)
		}
		if !dir.keep {
			c.count(&c.Stats.directories)
		}
	}
}

func (c *Cloner) count(n *atomic.Int64) {
	n.Add(1)
	if c.Progress == nil {
		return
	}
	if s := c.Stats.Load(); Entries(s)%reflinkProgressEvery == 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.Progress(s)
	}
}

// takeOther copies what is not a directory.
func (c *Cloner) takeOther(dir *clonedDir, name string, regular bool) {
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
