package changed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
)

// Part is the part of the tree that may differ; paths are relative to the root.
type Part struct {
	Dirs  []string // with their entries, one level deep
	Names []string
}

// Compare returns the first difference found between work and base, of which work is a snapshot, or "". A nil part
// means everything. What cannot be compared counts as a difference.
func Compare(ctx context.Context, base, work *os.File, part *Part) string {
	c := &comparison{ctx: ctx, base: base, work: work, was: map[uint64]uint64{}, is: map[uint64]uint64{}}
	var err error
	if part == nil {
		err = c.all()
	} else {
		err = c.listed(part)
	}
	return found(err, "it cannot be compared with the last backup")
}

// Differs returns the first difference found in a part of a source and of pending that rsync could remove, or "". Like
// rsync it takes files of the same size and time for equal. All else must be equal, also what rsync does not copy, and
// no file may have several names: which of them are linked is for rsync to find.
func Differs(ctx context.Context, source, work *os.File, part *Part) string {
	c := &comparison{ctx: ctx, base: source, work: work, bySource: true}
	return found(c.listed(part), "they cannot be compared")
}

// found is the text of what ended a comparison.
func found(err error, unknown string) string {
	switch {
	case err == nil:
		return ""
	case errors.As(err, new(difference)):
		return err.Error()
	}
	return unknown + ": " + err.Error()
}

// difference is an error, so that it ends a walk.
type difference struct{ path, what string }

func (d difference) Error() string { return fmt.Sprintf("%q has another %s", d.path, d.what) }

type comparison struct {
	ctx        context.Context
	base, work *os.File
	bySource   bool // base is a source, and not what work is a snapshot of

	mu sync.Mutex
	// was and is map the inodes of files with several names from base to work, and back.
	was, is map[uint64]uint64
}

// all compares everything: each name of base, and the number of names.
func (c *comparison) all() error {
	var had, has atomic.Int64
	if err := c.entry("."); err != nil {
		return err
	}
	compare := func(dir *os.File, name string) error {
		had.Add(1)
		return c.entry(walk.Below(c.base, dir, name))
	}
	w := walk.Walker{
		Visit: func(dir *os.File, e os.DirEntry) error { return compare(dir, e.Name()) },
		Enter: func(dir *os.File, name string) (*os.File, error) {
			if err := compare(dir, name); err != nil {
				return nil, err
			}
			return at.OpenDir(dir, name)
		},
	}
	if err := w.Walk(c.ctx, c.base); err != nil {
		return err
	}
	count := walk.Walker{
		Visit: func(*os.File, os.DirEntry) error { has.Add(1); return nil },
		Enter: func(dir *os.File, name string) (*os.File, error) {
			has.Add(1)
			return at.OpenDir(dir, name)
		},
	}
	if err := count.Walk(c.ctx, c.work); err != nil {
		return err
	}
	if had.Load() != has.Load() {
		return difference{".", "number of names below it"}
	}
	return nil
}

// listed compares a part.
func (c *comparison) listed(p *Part) error {
	for _, dir := range p.Dirs {
		if c.ctx.Err() != nil {
			return context.Cause(c.ctx)
		}
		if err := c.dir(dir); err != nil {
			return err
		}
	}
	for _, name := range p.Names {
		if err := c.entry(name); err != nil {
			return err
		}
	}
	return nil
}

// dir compares a directory and what is in it.
func (c *comparison) dir(rel string) error {
	was, err := names(c.base, rel)
	if err != nil {
		return err
	}
	is, err := names(c.work, rel)
	if err != nil {
		return err
	}
	if len(was) != len(is) {
		return difference{rel, "number of names in it"}
	}
	if err := c.entry(rel); err != nil {
		return err
	}
	for _, name := range was {
		if err := c.entry(path.Join(rel, name)); err != nil {
			return err
		}
	}
	return nil
}

// names returns the names in a directory; none if there is no such directory.
func names(root *os.File, rel string) ([]string, error) {
	dir, err := at.OpenBeneath(root, rel)
	if at.IsNoDir(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return at.Names(dir)
}

// entry compares a path in both.
func (c *comparison) entry(rel string) error {
	before, was, wasErr := look(c.base, rel)
	after, is, isErr := look(c.work, rel)
	for _, f := range []*os.File{before, after} {
		if f != nil {
			defer f.Close()
		}
	}
	switch {
	case at.IsAbsent(wasErr) && at.IsAbsent(isErr) && !c.bySource: // a source has what it lists, perhaps behind a mount
		return nil
	case at.IsAbsent(wasErr) != at.IsAbsent(isErr):
		return difference{rel, "name"}
	case wasErr != nil || isErr != nil:
		return errors.Join(wasErr, isErr)
	}
	if err := c.links(rel, was, is); err != nil {
		return err
	}
	// The ctime cannot be set by programs, and every change sets it: a file with the ctime of base has not changed
	// since the snapshot.
	if was == is && was.ID.Known() && !c.bySource {
		return nil
	}
	if err := sameState(rel, was, is); err != nil {
		return err
	}
	if err := sameXattrs(rel, before, after); err != nil {
		return err
	}
	return c.content(rel, was)
}

// look opens a path, as a place only, and describes it. The file is nil if there is none.
func look(root *os.File, rel string) (f *os.File, st at.Info, err error) {
	if f, err = at.OpenPathInside(root, rel, unix.O_PATH); err == nil {
		st, err = at.InfoOf(f, "")
	}
	return f, st, err
}

// links compares which names are one file.
func (c *comparison) links(rel string, was, is at.Info) error {
	if was.IsDir() || was.Links < 2 && is.Links < 2 {
		return nil
	}
	if c.bySource {
		return difference{rel, "set of names for one file"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	to, known := c.was[was.ID.Inode]
	from, back := c.is[is.ID.Inode]
	if was.Links != is.Links || known != back || known && (to != is.ID.Inode || from != was.ID.Inode) {
		return difference{rel, "set of names for one file"}
	}
	c.was[was.ID.Inode], c.is[is.ID.Inode] = is.ID.Inode, was.ID.Inode
	return nil
}

func sameState(rel string, was, is at.Info) error {
	switch {
	case was.Format() != is.Format():
		return difference{rel, "type"}
	case was.Mode != is.Mode:
		return difference{rel, "mode"}
	case was.UID != is.UID || was.GID != is.GID:
		return difference{rel, "owner"}
	case was.MTime != is.MTime:
		return difference{rel, "time"}
	case was.Device != is.Device:
		return difference{rel, "device number"}
	case was.FileSize() != is.FileSize():
		return difference{rel, "size"}
	}
	return nil
}

func sameXattrs(rel string, before, after *os.File) error {
	was, wasHidden, wasErr := at.AllXattrs(before)
	is, isHidden, isErr := at.AllXattrs(after)
	if err := errors.Join(wasErr, isErr, wasHidden, isHidden); err != nil {
		return err
	}
	if was != is {
		return difference{rel, "set of attributes"}
	}
	return nil
}

// content compares targets of symlinks, and data where that is not rsync's to compare.
func (c *comparison) content(rel string, was at.Info) (err error) {
	same := true
	switch was.Format() {
	case unix.S_IFLNK:
		same, err = c.sameTarget(rel)
	case unix.S_IFREG:
		if !c.bySource {
			same, err = c.sameContent(rel)
		}
	}
	if err == nil && !same {
		err = difference{rel, "content"}
	}
	return err
}

func (c *comparison) sameTarget(rel string) (bool, error) {
	was, err := at.ReadlinkInside(c.base, rel)
	if err != nil {
		return false, err
	}
	is, err := at.ReadlinkInside(c.work, rel)
	return was == is, err
}

// sameContent reads both, unless they share all extents, as files do that were split from a hard link.
func (c *comparison) sameContent(rel string) (same bool, err error) {
	was, err := at.OpenPathInside(c.base, rel, unix.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer was.Close()
	is, err := at.OpenPathInside(c.work, rel, unix.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer is.Close()
	// Data just written is allocated on the disk only after a sync. Only root may query extents.
	if is.Sync() == nil {
		if same, err := at.SameExtents(was, is); err == nil && same {
			return true, nil
		}
	}
	return at.SameBytes(c.ctx, was, is)
}
