package scan

import (
	"errors"
	"io"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

// Move is a directory, or a file of one name, that the last catalog has at From and the walk at To. All that is in a
// directory is said once, by the directory.
type Move struct {
	From, To string
	Dir      bool
}

// maxArrivals bounds what is remembered of what came and went; beyond it nothing is known of moves.
const maxArrivals = 50_000

// identity is what tells one inode from another, also from a later one of that number.
type identity struct {
	fs    string
	inode uint64
	birth catalog.Time
	kind  uint32
}

func identityOf(e catalog.Entry) identity { return identity{e.FS, e.Inode, e.Birth, e.Kind()} }

// isMovable: a file with several names is left to rsync.
func isMovable(e catalog.Entry) bool {
	return isTrusted(e.FS) && e.Birth != catalog.Time{} && (e.IsOpen() || e.IsFile() && e.Links == 1)
}

// arrival is what a walk found where the last one did not.
type arrival struct {
	now   catalog.Entry
	dir   string // it is in
	from  string // where the last catalog has it; empty if it has not
	old   catalog.Entry
	twice bool // it, or that, is not one place
}

func (a *arrival) path() string { return catalog.Join(a.dir, a.now.Name) }

// moves gathers what came and what went during a walk, and finds out what moved.
type moves struct {
	since    catalog.Time // nothing that was born later has moved
	arrived  map[string]*arrival
	known    map[identity]*arrival // those that may have been elsewhere
	departed map[string]bool
	over     bool // there is too much
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

// arrive takes in what is new at its place.
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

// depart takes in what is no longer at its place.
func (m *moves) depart(dir string, e catalog.Entry) {
	if isMovable(e) && !m.full() {
		m.departed[catalog.Join(dir, e.Name)] = true
	}
}

// find reads the catalog of the last backup once more. The moves are in no order. doubtful are files in what moved
// whose size and time do not tell whether they are what they were in their old place.
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
				doubtful = append(doubtful, a.path()) // to be renamed has given it a new ctime
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
		return nil, nil, err // more than can be kept: all that moved is copied
	}
	return sortMoves(found), doubtful, err
}

// match looks for what arrived in a directory of the old catalog. Of one that may have been elsewhere while rsync
// looked at it, the backup need not have what the catalog says.
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

// unmoved is the old path of a if it only came along with the directory that it is in; empty if nothing is known of
// that.
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

// hasDeparted reports whether nothing of the old path is where it was: else it is still there as well.
func (m *moves) hasDeparted(path string) bool {
	for ; path != "" && path != "."; path = catalog.Parent(path) {
		if m.departed[path] {
			return true
		}
	}
	return false
}

// places are the directories that an old one may be at once all has moved, its own place left out.
func places(path string, to map[string]string) (all []string) {
	for up := path; up != "" && up != "."; up = catalog.Parent(up) {
		if now, moved := to[up]; moved {
			all = append(all, now+path[len(up):])
		}
	}
	return all
}

// doubts are the files that would come to be in dir with what the old directory has under their name, and are doubtful.
func (m *moves) doubts(c *comparer, old catalog.Dir, dir string, deep bool) (names []string) {
	for _, e := range old.Entries {
		a := m.arrived[catalog.Join(dir, e.Name)]
		if a != nil && (deep || !c.unchanged(e, a.now) && c.doubtful(e, a.now)) {
			names = append(names, a.path())
		}
	}
	return names
}

// eachOld reads a catalog, which is known to be sound, once more. deep is said of directories that may have been
// elsewhere during the last backup.
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

// sortMoves is for the eye.
func sortMoves(all []Move) []Move {
	slices.SortFunc(all, func(a, b Move) int { return catalog.ComparePaths(a.To, b.To) })
	return all
}
