package scan

import (
	"errors"
	"io"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

// Move is a directory, or a file with one name, that the last catalog has at From and the walk at To. The contents of a
// moved directory have no Move of their own.
type Move struct {
	From, To string
	Dir      bool
}

// maxArrivals limits how many new and missing entries are kept; with more, no moves are found.
const maxArrivals = 50_000

// identity distinguishes inodes, also from a later inode with the same number.
type identity struct {
	fs    string
	inode uint64
	birth catalog.Time
	kind  uint32
}

func identityOf(e catalog.Entry) identity { return identity{e.FS, e.Inode, e.Birth, e.Kind()} }

// isMovable is false for files with several names, which are left to rsync.
func isMovable(e catalog.Entry) bool {
	return isTrusted(e.FS) && e.Birth != catalog.Time{} && (e.IsOpen() || e.IsFile() && e.Links == 1)
}

// arrival is an entry that the last walk did not find at this path.
type arrival struct {
	now   catalog.Entry
	dir   string // its directory
	from  string // its path in the last catalog; empty if that does not have it
	old   catalog.Entry
	twice bool // it, or the old entry, has several paths
}

func (a *arrival) path() string { return catalog.Join(a.dir, a.now.Name) }

// moves collects new and missing entries during a walk, and finds out what moved.
type moves struct {
	since    catalog.Time // an inode that was born later has not moved
	arrived  map[string]*arrival
	known    map[identity]*arrival // those that the last catalog may have at another path
	departed map[string]bool
	over     bool // there are too many
}

func newMoves(known *catalog.Reader) *moves {
	if known == nil {
		return &moves{over: true}
	}
	return &moves{since: known.Header.Started, arrived: map[string]*arrival{}, known: map[identity]*arrival{}, departed: map[string]bool{}}
}

func (m *moves) full() bool {
	if m.over || len(m.arrived)+len(m.departed) >= maxArrivals {
		m.over, m.arrived, m.known, m.departed = true, nil, nil, nil
	}
	return m.over
}

// arrive adds an entry that is new at its path.
func (m *moves) arrive(dir string, e catalog.Entry) {
	if !e.IsOpen() && !e.IsFile() || m.full() {
		return
	}
	a := &arrival{now: e, dir: dir}
	m.arrived[a.path()] = a
	if !isMovable(e) || !e.Birth.Before(m.since) {
		return
	}
	if other := m.known[identityOf(e)]; other != nil { // a mount shows it twice
		other.twice, a.twice = true, true
	}
	m.known[identityOf(e)] = a
}

// depart adds an entry that is not at its path any more.
func (m *moves) depart(dir string, e catalog.Entry) {
	if isMovable(e) && !m.full() {
		m.departed[catalog.Join(dir, e.Name)] = true
	}
}

// find reads the catalog of the last backup again. The moves are in no order. doubtful are moved files, and files below
// moved directories, whose size and time do not show whether they are unchanged.
func (m *moves) find(c *comparer) (found []Move, doubtful []string, err error) {
	if m.over || len(m.known) == 0 || len(m.departed) == 0 {
		return nil, nil, nil
	}
	if err := eachOld(c.known, func(d catalog.Dir, deep bool) { m.match(d, deep, c.known.Unsettled) }); err != nil {
		return nil, nil, err
	}
	to := map[string]string{} // by the old path
	for _, a := range m.known {
		if !a.twice && a.from != "" && a.from != m.unmoved(a) && m.hasDeparted(a.from) {
			found = append(found, Move{From: a.from, To: a.path(), Dir: a.now.IsDir()})
			to[a.from] = a.path()
			if a.now.IsFile() && a.now.Size == a.old.Size && a.now.Modify == a.old.Modify {
				doubtful = append(doubtful, a.path()) // the rename has set a new ctime
			}
		}
	}
	if len(found) == 0 {
		return nil, nil, nil
	}
	err = eachOld(c.known, func(d catalog.Dir, deep bool) {
		for _, dir := range places(d.Path, to) {
			doubtful = append(doubtful, m.doubts(c, d, dir, deep)...)
		}
	})
	if len(doubtful)+len(c.list.doubtful) > maxDoubts {
		return nil, nil, err // more than can be kept: moved files are copied
	}
	return sortMoves(found), doubtful, err
}

// match looks for arrivals in a directory of the old catalog. A directory that may have been elsewhere while rsync read
// it is ignored, because the backup need not have the contents that the catalog lists.
func (m *moves) match(d catalog.Dir, deep bool, unsettled map[string]catalog.Unsettled) {
	if deep {
		return
	}
	for _, e := range d.Entries {
		if !isMovable(e) || unsettled[catalog.Join(d.Path, e.Name)].Deep {
			continue
		}
		if a := m.known[identityOf(e)]; a != nil {
			a.twice = a.twice || a.from != ""
			a.from, a.old = catalog.Join(d.Path, e.Name), e
		}
	}
}

// unmoved is the old path of a if it moved only together with its directory; empty if that is unknown.
func (m *moves) unmoved(a *arrival) string {
	dir := m.arrived[a.dir]
	switch {
	case dir == nil:
		return a.path()
	case dir.from == "" || dir.twice:
		return ""
	}
	return catalog.Join(dir.from, a.now.Name)
}

// hasDeparted reports whether an entry or one of its parents is missing at the old path. Otherwise it still exists
// there.
func (m *moves) hasDeparted(path string) bool {
	for ; path != "" && path != "."; path = catalog.Parent(path) {
		if m.departed[path] {
			return true
		}
	}
	return false
}

// places are the paths that an old directory may have after all moves, without its old path.
func places(path string, to map[string]string) (all []string) {
	for up := path; up != "" && up != "."; up = catalog.Parent(up) {
		if now, moved := to[up]; moved {
			all = append(all, now+path[len(up):])
		}
	}
	return all
}

// doubts are the doubtful files that get, in the directory dir, the content that the old directory has under their
// name.
func (m *moves) doubts(c *comparer, old catalog.Dir, dir string, deep bool) (names []string) {
	for _, e := range old.Entries {
		a := m.arrived[catalog.Join(dir, e.Name)]
		if a != nil && (deep || !c.unchanged(e, a.now) && c.doubtful(e, a.now)) {
			names = append(names, a.path())
		}
	}
	return names
}

// eachOld reads a catalog, which is known to be valid, again. deep is true for directories that may have been elsewhere
// during the last backup.
func eachOld(known *catalog.Reader, do func(d catalog.Dir, deep bool)) error {
	r, err := known.Again()
	if err != nil {
		return err
	}
	deep := ""
	for {
		d, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if deep == "" || !isWithin(d.Path, deep) {
			deep = ""
			if known.Unsettled[d.Path].Deep {
				deep = d.Path
			}
		}
		do(d, deep != "")
	}
}

// isWithin reports whether path is dir or below it.
func isWithin(path, dir string) bool {
	return dir == "." || path == dir || len(path) > len(dir) && path[:len(dir)] == dir && path[len(dir)] == '/'
}

// sortMoves makes the order the same in every run.
func sortMoves(all []Move) []Move {
	slices.SortFunc(all, func(a, b Move) int { return catalog.ComparePaths(a.To, b.To) })
	return all
}
