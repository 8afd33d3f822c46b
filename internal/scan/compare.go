package scan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

// What is known about a directory before it is compared.
const (
	markKnown     mark = iota // it has the same path, and is unchanged
	markChanged               // it has the same path, and has changed
	markFresh                 // it is new here, or may have had another path meanwhile
	markUntouched             // it is known, and so are all inodes that have a name in it: it is not read
	markFew                   // its names are known, and only the newer inodes are examined
)

// aloneShare: if more than one name in aloneShare of a changed directory would be listed, the directory is listed as a
// whole. For a name on the list rsync needs about three times as long as for one that it finds in a directory.
const aloneShare = 3

// comparer compares the result of a walk with the catalog of the last one, and writes the new catalog.
type comparer struct {
	known *catalog.Reader // nil: there is none
	ended bool            // the catalog has no more directories
	list  *builder
	to    *catalog.Writer
	racy  int64 // the constant, unless a test sets it
	moves *moves

	gens  *Generations // nil: btrfs is not asked
	trust bool         // the generations decide what is not read
	read  func(path string, seen catalog.Entry) (catalog.Listing, error)
	look  func(old catalog.Dir, seen catalog.Entry, newer func(catalog.Entry) bool) (l catalog.Listing, looked int, err error)
	now   catalog.Time // when the walk began
	told  func(old, now catalog.Dir, unchanged func(was, e catalog.Entry) bool)
	// suspect is Options.Suspect.
	suspect func(dir string, files []catalog.Entry)
	cut     bool
	apart   int      // directories on another filesystem that are not entered, or without a known generation
	missed  []string // directories with a change that the generations did not report
}

// needsNoReading reports whether a directory is not read ahead, because the generations report the changes in it.
func (m mark) needsNoReading() bool { return m == markUntouched || m == markFew }

func newComparer(known *catalog.Reader, to *catalog.Writer) (*comparer, error) {
	c := &comparer{known: known, list: newBuilder(), to: to, ended: known == nil, racy: racy, moves: newMoves(known)}
	return c, c.advance()
}

// top is the mark of the root.
func (c *comparer) top(now catalog.Header) mark {
	if c.known == nil {
		return markFresh
	}
	h := c.known.Header
	u, unsettled := c.known.Unsettled["."]
	m := c.markOf(h.Root, now.Root, u, unsettled)
	if !settled(h.Parent, now.Parent) && !settled(now.Root, now.Parent) { // the parent of / is /
		m = c.below(markChanged, m)
	}
	return m
}

// markOf compares two states of a directory with the same path.
func (c *comparer) markOf(old, now catalog.Entry, u catalog.Unsettled, unsettled bool) mark {
	switch {
	case !sameThing(old, now) || u.Deep:
		return markFresh
	case unsettled || !c.unchanged(old, now):
		return markChanged
	case c.trust && c.gens.untouched(now):
		return markUntouched
	case c.trust && !c.gens.touched(now):
		return markFew // if a name is added or removed, the directory itself is newer
	}
	return markKnown
}

// sameThing reports whether an entry is the same inode, perhaps changed.
func sameThing(old, now catalog.Entry) bool {
	return isTrusted(now.FS) && old.FS == now.FS && old.Inode == now.Inode && old.Birth == now.Birth &&
		old.Kind() == now.Kind() && old.Closed == now.Closed
}

// unchanged reports whether now is what the last backup has: equal in everything, and not changed so shortly before the
// last walk that a later change could look the same. Such a change is excluded if the generations would have reported
// it.
func (c *comparer) unchanged(old, now catalog.Entry) bool {
	return sameThing(old, now) && sameState(old, now) && !(c.isRacy(old) && c.gens.touched(now)) && !c.gens.written(now)
}

func sameState(old, now catalog.Entry) bool {
	return old.Change == now.Change && old.Modify == now.Modify && old.Size == now.Size && old.Mode == now.Mode &&
		old.UID == now.UID && old.GID == now.GID && old.Links == now.Links && old.Device == now.Device && old.Target == now.Target
}

// advance reads the next directory of the catalog.
func (c *comparer) advance() (err error) {
	if c.ended {
		return nil
	}
	if err = c.known.Step(); errors.Is(err, io.EOF) {
		c.ended, err = true, nil
	}
	return err
}

// rest reads the catalog to its end. Only the end shows whether the catalog is valid.
func (c *comparer) rest() error {
	for !c.ended {
		if err := c.advance(); err != nil {
			return err
		}
	}
	return nil
}

// find advances in the catalog to the directory at path, and reports whether the catalog has it.
func (c *comparer) find(path string) (bool, error) {
	for !c.ended && catalog.ComparePaths(c.known.Now.Path, path) < 0 {
		if err := c.advance(); err != nil {
			return false, err
		}
	}
	return !c.ended && c.known.Now.Path == path && !c.known.Now.Unread, nil
}

// show compares the next directory of the walk, and returns the directories in it with their marks.
func (c *comparer) show(l catalog.Listing, seen catalog.Entry, m mark) ([]catalog.Entry, []mark, error) {
	if len(l.Path) > catalog.MaxPath {
		return nil, nil, fmt.Errorf("%w: a path of %d bytes", ErrUnfit, len(l.Path))
	}
	found, err := c.find(l.Path)
	if err != nil {
		return nil, nil, err
	}
	if found && c.isSame(l, m) {
		c.list.looked, c.list.total = c.list.looked+l.Count, c.list.total+l.Count
		c.known.EnterSame(l)
		return l.Subs, make([]mark, len(l.Subs)), c.to.HandOn(c.known)
	}
	var old catalog.Dir
	if found {
		if old, err = c.known.Dir(); err != nil {
			return nil, nil, err
		}
	}
	covered := found && !bordersOn(old, seen.FS) && !c.gens.mountedIn(l.Path) // generations report every change in it
	looked := l.Count
	switch {
	case m == markUntouched && covered:
		c.list.total += len(old.Entries)
		c.tell(old, old, m)
		subs, marks := c.same(old)
		return subs, marks, c.to.HandOn(c.known)
	case m == markFew && covered:
		l, looked, err = c.look(old, seen, c.gens.touched)
	case m.needsNoReading():
		l, err = c.read(l.Path, seen)
		looked = l.Count
	}
	if err != nil {
		return nil, nil, err
	}
	if m.needsNoReading() {
		m = markKnown
	}
	c.list.looked, c.list.total = c.list.looked+looked, c.list.total+l.Count
	if err := c.keep(l, found); err != nil || l.Unread {
		return nil, nil, err // the parent of an unread directory has changed, and the next walk finds that
	}
	marks, err := c.compare(old, found, l, seen, m)
	return l.Subs, marks, err
}

// isSame reports, without decoding it, whether the current directory of the catalog is unchanged, with everything in
// it: its bytes are equal, relative to the same directory, and nothing in it must be examined again.
func (c *comparer) isSame(l catalog.Listing, m mark) bool {
	return m == markKnown && !l.Unread && !l.Apart && c.gens == nil && len(c.known.Unsettled) == 0 &&
		!c.isRecent(l.Youngest) && bytes.Equal(l.Code, c.known.Now.Code)
}

// keep writes a directory to the new catalog.
func (c *comparer) keep(l catalog.Listing, found bool) error {
	if found && !l.Unread && bytes.Equal(l.Code, c.known.Now.Code) {
		return c.to.HandOn(c.known)
	}
	return c.to.Add(l)
}

// compare compares a directory with the old one, if the catalog has it.
func (c *comparer) compare(old catalog.Dir, found bool, l catalog.Listing, seen catalog.Entry, m mark) ([]mark, error) {
	d, err := l.Decoded(seen.Base())
	if err != nil {
		return nil, err
	}
	for i := range d.Entries {
		if e := &d.Entries[i]; e.Closed || c.gens != nil && e.FS != seen.FS && c.gens.Noted(e.FS) == 0 {
			c.apart++
		}
	}
	if found {
		c.list.addDoubts(d.Path, c.doubts(old, d))
	}
	if c.suspect != nil {
		c.suspect(d.Path, c.suspects(old, d, found && m != markFresh))
	}
	if m == markFresh || !found {
		c.tell(catalog.Dir{}, d, m)
		return c.fresh(d), nil
	}
	c.tell(old, d, m)
	marks, changed := c.merge(old, d, m)
	borders := bordersOn(old, seen.FS) || bordersOn(d, seen.FS) || c.gens.mountedIn(d.Path)
	if changed && c.gens.untouched(seen) && seen.Change.Before(c.now) && !borders {
		c.missed = append(c.missed, d.Path)
	}
	return marks, nil
}

// bordersOn reports whether another filesystem or subvolume begins in a directory. The generations of the directory's
// own subvolume do not report changes there.
func bordersOn(d catalog.Dir, fs string) bool {
	return slices.ContainsFunc(d.Entries, func(e catalog.Entry) bool { return e.Closed || e.FS != fs })
}

// tell reports a directory, and what the last backup has of it, to Options.Tell.
func (c *comparer) tell(old, now catalog.Dir, m mark) {
	if c.told != nil {
		c.told(old, now, func(was, e catalog.Entry) bool { return m == markUntouched || c.known != nil && c.unchanged(was, e) })
	}
}

// same replaces merge for a directory that is untouched.
func (c *comparer) same(d catalog.Dir) (subs []catalog.Entry, marks []mark) {
	for _, e := range d.Entries {
		if e.IsOpen() {
			u, unsettled := c.known.Unsettled[catalog.Join(d.Path, e.Name)]
			subs, marks = append(subs, e), append(marks, c.markOf(e, e, u, unsettled))
		}
	}
	return subs, marks
}

func (c *comparer) fresh(d catalog.Dir) []mark {
	var marks []mark
	for _, e := range d.Entries {
		c.moves.arrive(d.Path, e)
		if e.IsOpen() {
			marks = append(marks, markFresh)
		}
	}
	c.list.addDir(d, true)
	return marks
}

// merge compares two states of one directory, both sorted by name, and reports whether something in it has changed. An
// entry that is new in it, or not in it any more, may have moved.
func (c *comparer) merge(old, now catalog.Dir, m mark) (marks []mark, changed bool) {
	whole := m == markChanged
	var names []string
	i := 0
	for _, e := range now.Entries {
		for ; i < len(old.Entries) && old.Entries[i].Name < e.Name; i++ {
			c.moves.depart(old.Path, old.Entries[i])
			whole, changed = true, true // not there any more
		}
		var was catalog.Entry // the zero value, if it is new
		if i < len(old.Entries) && old.Entries[i].Name == e.Name {
			was = old.Entries[i]
			i++
		}
		if !sameThing(was, e) {
			c.moves.depart(old.Path, was)
			c.moves.arrive(now.Path, e)
		}
		if before := was; e.Change.Before(c.now) {
			if e.IsDir() {
				before.Change = e.Change // a nested subvolume that is put into a snapshot changes the ctime
			}
			changed = changed || !(sameThing(was, e) && sameState(before, e))
		}
		if e.IsOpen() {
			u, unsettled := c.known.Unsettled[catalog.Join(now.Path, e.Name)]
			child := c.below(m, c.markOf(was, e, u, unsettled))
			marks = append(marks, child)
			whole = whole || !was.IsDir()
			continue
		}
		if c.unchanged(was, e) {
			continue
		}
		whole = whole || e.IsDir() || e.Kind() != was.Kind()
		names = append(names, e.Name)
	}
	for ; i < len(old.Entries); i++ {
		c.moves.depart(old.Path, old.Entries[i])
		whole, changed = true, true
	}
	whole = whole || len(names)*aloneShare > len(now.Entries)
	switch {
	case whole:
		c.list.addDir(now, false)
	case len(names) > 0:
		c.list.addNames(now, names)
	}
	return marks, changed
}
