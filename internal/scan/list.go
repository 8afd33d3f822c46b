package scan

import (
	"maps"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

// List is what rsync must examine. Paths are relative to the root, which is ".".
type List struct {
	// Dirs are listed again, one level deep: entries were added, removed or changed in them.
	Dirs []string
	// Fresh are directories that are new or unknown, with all directories below them; a parent comes before its
	// children.
	Fresh []string
	// Names are single entries, not directories, in directories that are not listed.
	Names []string
	// Doubtful are files whose size and time do not show whether they have changed, also in a full run.
	Doubtful []string

	// Looked is the number of entries that the walk saw, Listed the number of entries that rsync will examine.
	Looked, Listed int
}

// maxListed limits the paths in a list. rsync reads it byte by byte.
const maxListed = 10000

// maxDoubts limits the doubtful files.
const maxDoubts = 20_000

// AllDoubtful reports whether there are more doubtful files than can be kept.
func (l List) AllDoubtful() bool { return len(l.Doubtful) > maxDoubts }

// Empty reports whether rsync has nothing to examine.
func (l List) Empty() bool { return len(l.Dirs)+len(l.Fresh)+len(l.Names) == 0 }

// Render is the list in the format of --files-from=- --from0. Every path begins with "./", because rsync drops names
// that begin with "#" or ";" even from such a list. A directory ends with "/": only then does rsync list it, and with
// --delete and without --recursive it does so one level deep.
func (l List) Render() []byte {
	text := []byte{}
	for _, dir := range slices.Concat(l.Dirs, l.Fresh) {
		text = append(text, "./"...)
		if dir != "." {
			text = append(append(text, dir...), '/')
		}
		text = append(text, 0)
	}
	for _, name := range l.Names {
		text = append(append(append(text, "./"...), name...), 0)
	}
	return text
}

// Restrict removes excluded paths, because rsync does not apply rules to the parents of a listed path. had reports
// whether the last backup has a directory, which shows that no rule excludes it. included reports it for fresh
// directories, whose parents count as well.
func (l List) Restrict(had func(dir string) (bool, error), included func(dir string) bool) (List, error) {
	kept := List{Looked: l.Looked, Listed: l.Listed}
	known := map[string]bool{}
	has := func(dir string) (bool, error) {
		is, seen := known[dir]
		if seen {
			return is, nil
		}
		is, err := had(dir)
		known[dir] = is
		return is, err
	}
	for _, dir := range l.Fresh {
		in := dir == "."
		if !in {
			var err error
			if in, err = has(catalog.Parent(dir)); err != nil {
				return List{}, err
			}
		}
		known[dir] = in && included(dir)
		if known[dir] {
			kept.Fresh = append(kept.Fresh, dir)
		}
	}
	keep := func(paths []string, dirOf func(string) string) (some []string, err error) {
		for _, path := range paths {
			is, err := has(dirOf(path))
			if err != nil {
				return nil, err
			}
			if is {
				some = append(some, path)
			}
		}
		return some, nil
	}
	var err error
	if kept.Dirs, err = keep(l.Dirs, func(path string) string { return path }); err != nil {
		return List{}, err
	}
	if kept.Names, err = keep(l.Names, catalog.Parent); err != nil {
		return List{}, err
	}
	kept.Doubtful, err = keep(l.Doubtful, catalog.Parent)
	return kept, err
}

// Tops are the fresh directories without a fresh parent.
func (l List) Tops() (tops []string) {
	fresh := map[string]bool{}
	for _, dir := range l.Fresh {
		fresh[dir] = true
		if !fresh[catalog.Parent(dir)] {
			tops = append(tops, dir)
		}
	}
	return tops
}

// Covers reports whether rsync with this list would notice a change at path. It notices a deletion also if it lists the
// place of a deleted parent.
func (l List) Covers() func(path string, deleted bool) bool {
	dirs, names := map[string]bool{}, map[string]bool{}
	for _, dir := range slices.Concat(l.Dirs, l.Fresh) {
		dirs[dir] = true
	}
	for _, name := range l.Names {
		names[name] = true
	}
	return func(path string, deleted bool) bool {
		covered := dirs[path] || names[path] || dirs[catalog.Parent(path)]
		for dir := catalog.Parent(path); deleted && dir != "" && !covered; dir = catalog.Parent(dir) {
			covered = dirs[catalog.Parent(dir)]
		}
		return covered
	}
}

// inode identifies one file, with all its names.
type inode struct {
	fs     string
	number uint64
}

// builder collects a list.
type builder struct {
	dirs     map[string]bool // in the list; true for fresh ones
	order    []string        // the same, in the order of the walk
	names    []string
	doubtful []string
	linked   map[inode]bool // files with several names, of which at least one is listed
	looked   int            // entries that were examined
	total    int            // all entries
	listed   int
	long     bool // there is too much to list
}

func newBuilder() *builder {
	return &builder{dirs: map[string]bool{}, linked: map[inode]bool{}}
}

func (b *builder) addDir(d catalog.Dir, fresh bool) {
	b.listed += 1 + len(d.Entries)
	if b.tooLong(1) {
		return
	}
	b.dirs[d.Path] = fresh
	b.order = append(b.order, d.Path)
	for _, e := range d.Entries {
		b.touch(e)
	}
}

func (b *builder) addNames(d catalog.Dir, names []string) {
	b.listed += len(names)
	if b.tooLong(len(names)) {
		return
	}
	i := 0
	for _, e := range d.Entries {
		if i < len(names) && e.Name == names[i] {
			b.names = append(b.names, catalog.Join(d.Path, e.Name))
			b.touch(e)
			i++
		}
	}
}

// addDoubts keeps one more than maxDoubts, to show that there are more.
func (b *builder) addDoubts(dir string, names []string) {
	for _, name := range names[:min(len(names), maxDoubts+1-len(b.doubtful))] {
		b.doubtful = append(b.doubtful, catalog.Join(dir, name))
	}
}

// touch notes that a file with several names is listed: rsync must see all its names, or it breaks the link.
func (b *builder) touch(e catalog.Entry) {
	if e.IsLinked() && !b.tooLong(1) {
		b.linked[inode{e.FS, e.Inode}] = true
	}
}

// tooLong reports whether the list would be too long with more paths, and drops the list if so.
func (b *builder) tooLong(more int) bool {
	if b.long || len(b.order)+len(b.names)+len(b.linked)+more > maxListed {
		b.long = true
		b.dirs, b.order, b.names, b.linked = nil, nil, nil, nil
	}
	return b.long
}

// addLinks adds the other names of listed files, from all directories of a walk.
func (b *builder) addLinks(dirs func() func() (catalog.Dir, bool, error)) error {
	if len(b.linked) == 0 {
		return nil
	}
	have := map[string]bool{}
	for _, name := range b.names {
		have[name] = true
	}
	next := dirs()
	for d, more, err := next(); more || err != nil; d, more, err = next() {
		if err != nil {
			return err
		}
		if _, listed := b.dirs[d.Path]; listed {
			continue
		}
		for _, e := range d.Entries {
			if !e.IsLinked() || !b.linked[inode{e.FS, e.Inode}] || have[catalog.Join(d.Path, e.Name)] {
				continue
			}
			if b.tooLong(1) {
				return nil
			}
			b.names = append(b.names, catalog.Join(d.Path, e.Name))
			b.listed++
		}
	}
	return nil
}

func (b *builder) list() List {
	l := List{Names: b.names, Doubtful: b.doubtful, Looked: b.looked, Listed: b.listed}
	for _, dir := range b.order {
		if b.dirs[dir] {
			l.Fresh = append(l.Fresh, dir)
		} else {
			l.Dirs = append(l.Dirs, dir)
		}
	}
	return l
}

// Ways are the listed directories and all parents of listed paths: rsync sets the attributes of each.
func (l List) Ways() []string { return slices.Sorted(maps.Keys(l.ways())) }

// ways are the directories that must not change during the transfer, so that the backup has everything that is listed:
// the listed ones and all parents of listed paths.
func (l List) ways() map[string]bool {
	all := map[string]bool{}
	for _, dir := range slices.Concat(l.Dirs, l.Fresh) {
		all[dir] = true
	}
	for _, name := range slices.Concat(l.Names, slices.Collect(maps.Keys(all))) {
		for dir := catalog.Parent(name); dir != "" && !all[dir]; dir = catalog.Parent(dir) {
			all[dir] = true
		}
	}
	return all
}

// tooMuch says why a full run is cheaper than the list; empty if it is not.
func (b *builder) tooMuch() string {
	switch {
	case b.long:
		return "too much has changed for a list"
	case b.listed*fullShare > b.total*(fullShare-1) && b.total > alwaysPays:
		return "most of it has changed"
	}
	return ""
}

const (
	// fullShare: a list of more than (fullShare-1)/fullShare of all entries costs as much as a full run.
	fullShare = 4
	// alwaysPays: with fewer entries a list is always used.
	alwaysPays = 1000
)
