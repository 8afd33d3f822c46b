package scan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

// What is known of a directory when its turn comes.
const (
	markKnown     mark = iota // it is where it was, and unchanged
	markChanged               // it is where it was, and has changed
	markFresh                 // it is new here, or may have been elsewhere meanwhile
	markUntouched             // it is known, and so is all that has a name in it: it need not be read
	markFew                   // its names are known, and only the inodes that are newer must be looked at
)

const (
	// racy is how long before a walk a change must lie, in seconds, to be told from one right after it: some
	// filesystems have times of whole seconds, and all of them take the time from a clock that ticks.
	racy = 2
	// tick is more than the clock takes, in nanoseconds, that the times of files come from.
	tick = 100_000_000
	// aloneShare: one name in so many of a directory that changed, and the directory is listed as a whole. rsync takes
	// some three times as long for a name of the list as for one it finds in a directory.
	aloneShare = 3
)

// comparer compares what a walk shows with the catalog of the last one, and writes the new catalog.
type comparer struct {
	known *catalog.Reader // nil: there is none
	ended bool            // it has no more directories
	list  *builder
	to    *catalog.Writer
	racy  int64 // see there
	moves *moves

	gens   *Generations // nil: nobody asked
	trust  bool         // they say what need not be read
	read   func(path string, seen catalog.Entry) (catalog.Listing, error)
	look   func(old catalog.Dir, seen catalog.Entry, newer func(catalog.Entry) bool) (l catalog.Listing, looked int, err error)
	now    catalog.Time // when the walk began
	told   func(old, now catalog.Dir, unchanged func(was, e catalog.Entry) bool)
	apart  int      // directories that lie on another filesystem and are not entered, or of which no generation is known
	missed []string // of what had changed, and the generations had not told
}

// needsNoReading reports whether a directory is not read before its turn, because the generations tell what has changed
// in it.
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
	return c.markOf(h.Root, now.Root, u, unsettled)
}

// markOf compares two directories of the same path.
func (c *comparer) markOf(old, now catalog.Entry, u catalog.Unsettled, unsettled bool) mark {
	switch {
	case !sameThing(old, now) || u.Deep:
		return markFresh
	case unsettled || !c.unchanged(old, now):
		return markChanged
	case c.trust && c.gens.untouched(now):
		return markUntouched
	case c.trust && !c.gens.touched(now):
		return markFew // a name that comes or goes makes the directory itself newer
	}
	return markKnown
}

// sameThing reports whether an entry is the same inode, perhaps changed.
func sameThing(old, now catalog.Entry) bool {
	return isTrusted(now.FS) && old.FS == now.FS && old.Inode == now.Inode && old.Birth == now.Birth &&
		old.Kind() == now.Kind() && old.Closed == now.Closed
}

// unchanged reports whether now is what the last backup has: equal in everything, and not changed so shortly before the
// last walk that a change after it could look the same. Where generations tell of changes, such a one would have been
// told.
func (c *comparer) unchanged(old, now catalog.Entry) bool {
	return sameThing(old, now) && sameState(old, now) && !(c.isRacy(old) && c.gens.touched(now)) && !c.gens.written(now)
}

func sameState(old, now catalog.Entry) bool {
	return old.Change == now.Change && old.Modify == now.Modify && old.Size == now.Size && old.Mode == now.Mode &&
		old.UID == now.UID && old.GID == now.GID && old.Links == now.Links && old.Device == now.Device && old.Target == now.Target
}

func (c *comparer) isRacy(old catalog.Entry) bool {
	started := c.known.Header.Started
	return !old.Change.Before(catalog.Time{Sec: started.Sec - c.racy, Nsec: started.Nsec})
}

// doubtful tells of a changed file that rsync would take for unchanged: size and time are those of what had the name
// before. Either that was another file, or its ctime is not as it was: a new mode, owner or link does not tell that
// nothing was written as well.
func (c *comparer) doubtful(old, now catalog.Entry) bool {
	if !isTrusted(now.FS) || !old.IsFile() || !now.IsFile() || old.Size != now.Size || old.Modify != now.Modify {
		return false
	}
	if c.gens.written(now) {
		return true // also without getting another time, as through a mapping
	}
	if sameThing(old, now) && old.Change == now.Change {
		// Listed only because it changed right before the last walk: it was read much later than a clock ticks, unless
		// that ticks in seconds, or a snapshot was read that was made within the tick.
		return now.Change.Nsec == 0 || !now.Change.Before(c.known.Header.Started.Minus(tick))
	}
	return true
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

// rest reads the catalog to its end, which alone reports whether it is sound.
func (c *comparer) rest() error {
	for !c.ended {
		if err := c.advance(); err != nil {
			return err
		}
	}
	return nil
}

// find goes on in the catalog until it has come to a directory, and reports whether it knows that.
func (c *comparer) find(path string) (bool, error) {
	for !c.ended && catalog.ComparePaths(c.known.Now.Path, path) < 0 {
		if err := c.advance(); err != nil {
			return false, err
		}
	}
	return !c.ended && c.known.Now.Path == path && !c.known.Now.Unread, nil
}

// show takes the next directory of the walk, and returns the directories in it with their marks.
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
	covered := found && !bordersOn(old, seen.FS) && !c.gens.mountedIn(l.Path) // generations tell of all that is in it
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
		return nil, nil, err // the directory that an unread one is in has changed since, and is found so by the next walk
	}
	marks, err := c.compare(old, found, l, seen, m)
	return l.Subs, marks, err
}

// isSame reports, without decoding it, whether the directory that the catalog has come to is unchanged with all that is
// in it: the code is the same, relative to the same directory, and nothing in it needs a second look.
func (c *comparer) isSame(l catalog.Listing, m mark) bool {
	return m == markKnown && !l.Unread && !l.Apart && c.gens == nil && len(c.known.Unsettled) == 0 &&
		!c.isRacy(catalog.Entry{Change: l.Youngest}) && bytes.Equal(l.Code, c.known.Now.Code)
}

// keep puts a directory into the new catalog.
func (c *comparer) keep(l catalog.Listing, found bool) error {
	if found && !l.Unread && bytes.Equal(l.Code, c.known.Now.Code) {
		return c.to.HandOn(c.known)
	}
	return c.to.Add(l)
}

// compare compares a directory with the old one, if that was found.
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

// bordersOn reports whether another filesystem, or subvolume, begins in a directory: what is there is not told by the
// directory's own.
func bordersOn(d catalog.Dir, fs string) bool {
	return slices.ContainsFunc(d.Entries, func(e catalog.Entry) bool { return e.Closed || e.FS != fs })
}

// tell tells of a directory, of which the last backup has old.
func (c *comparer) tell(old, now catalog.Dir, m mark) {
	if c.told != nil {
		c.told(old, now, func(was, e catalog.Entry) bool { return m == markUntouched || c.known != nil && c.unchanged(was, e) })
	}
}

// same is merge of a directory that is untouched.
func (c *comparer) same(d catalog.Dir) (subs []catalog.Entry, marks []mark) {
	for _, e := range d.Entries {
		if e.IsOpen() {
			u, unsettled := c.known.Unsettled[catalog.Join(d.Path, e.Name)]
			subs, marks = append(subs, e), append(marks, c.markOf(e, e, u, unsettled))
		}
	}
	return subs, marks
}

// doubts are the files of a directory that are doubtful.
func (c *comparer) doubts(old, now catalog.Dir) (names []string) {
	i := 0
	for _, e := range now.Entries {
		for i < len(old.Entries) && old.Entries[i].Name < e.Name {
			i++
		}
		if i < len(old.Entries) && old.Entries[i].Name == e.Name && !c.unchanged(old.Entries[i], e) && c.doubtful(old.Entries[i], e) {
			names = append(names, e.Name)
		}
	}
	return names
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

// merge compares two states of one directory, both sorted by name, and reports whether something in it has changed.
// What is known to be new in it, or gone, may have moved.
func (c *comparer) merge(old, now catalog.Dir, m mark) (marks []mark, changed bool) {
	whole := m == markChanged
	var names []string
	i := 0
	for _, e := range now.Entries {
		for ; i < len(old.Entries) && old.Entries[i].Name < e.Name; i++ {
			c.moves.depart(old.Path, old.Entries[i])
			whole, changed = true, true // gone
		}
		var was catalog.Entry // nothing, if it is new
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
				before.Change = e.Change // that of one in a snapshot of the source is new if a nested subvolume was put in it
			}
			changed = changed || !(sameThing(was, e) && sameState(before, e))
		}
		if e.IsOpen() {
			u, unsettled := c.known.Unsettled[catalog.Join(now.Path, e.Name)]
			child := c.markOf(was, e, u, unsettled)
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
