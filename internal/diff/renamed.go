// Directories that were renamed at the source.

package diff

import (
	"path"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/replay"
)

// matchRenamedDirs finds directories that were renamed at the source, by files in them with the same name, size and
// time, and pairs what has the same path in them. It reads no content: a file with another content is modified.
func (d *differ) matchRenamedDirs(a, b []*diffLink) error {
	gone, come := dirsAmong(a), dirsAmong(b)
	if len(gone) == 0 || len(come) == 0 {
		return nil
	}
	votes := countVotes(unmatched(a), unmatched(b), gone, come)
	for _, l := range slices.Backward(unmatched(a)) { // entries of a directory before the directory
		if other := votes.elect(l, gone, come); other != nil {
			l.partner, other.partner = other, l
		}
	}
	for _, l := range unmatched(a) {
		other := l.partner
		if other == nil || other.done {
			continue
		}
		kind := facts.DiffRenamed
		if d.opposite(l) == other {
			kind = ""
		}
		l.done, other.done = true, true
		if err := d.pair(kind, l, other, false); err != nil {
			return err
		}
	}
	return d.matchReplaced(a)
}

// dirsAmong are those not already in an entry, by path.
func dirsAmong(links []*diffLink) map[string]*diffLink {
	dirs := map[string]*diffLink{}
	for _, l := range unmatched(links) {
		if l.st.IsDir() {
			dirs[l.path] = l
		}
	}
	return dirs
}

// dirVotes count, for directories that are gone, which new directories have their entries.
type dirVotes struct {
	from map[string]map[string]int // by path, how many entries moved to which directory
	best map[string]string         // of a new one, the directory that most entries came from
	most map[string]int
	size map[string]int // how many entries vote, including entries that are gone
}

// voteKey is what a file keeps when its directory is renamed: its name, and if that is not unique, the name of its
// directory too.
type voteKey struct {
	copyKey
	name string
}

// countVotes counts files whose key is unique on both sides.
func countVotes(a, b []*diffLink, gone, come map[string]*diffLink) *dirVotes {
	v := &dirVotes{from: map[string]map[string]int{}, best: map[string]string{}, most: map[string]int{}, size: map[string]int{}}
	for _, name := range []func(string) string{path.Base, baseOfTwo} {
		var restA, restB []*diffLink
		news := bySignature(b, come, name)
		for key, olds := range bySignature(a, gone, name) {
			if len(olds) > 1 || len(news[key]) > 1 {
				restA, restB = append(restA, olds...), append(restB, news[key]...)
				continue
			}
			v.size[replay.ParentOf(olds[0].path)]++
			if len(news[key]) == 1 {
				v.add(replay.ParentOf(olds[0].path), replay.ParentOf(news[key][0].path))
			}
		}
		a, b = restA, restB
	}
	return v
}

func baseOfTwo(p string) string { return path.Join(path.Base(replay.ParentOf(p)), path.Base(p)) }

// bySignature skips files that are in no directory that could have been renamed.
func bySignature(links []*diffLink, dirs map[string]*diffLink, name func(string) string) map[voteKey][]*diffLink {
	found := map[voteKey][]*diffLink{}
	for _, l := range links {
		if l.st.IsFile() && dirs[replay.ParentOf(l.path)] != nil {
			key := voteKey{keyOf(l), name(l.path)}
			found[key] = append(found[key], l)
		}
	}
	return found
}

func (v *dirVotes) add(from, to string) {
	if v.from[from] == nil {
		v.from[from] = map[string]int{}
	}
	v.from[from][to]++
	if n := v.from[from][to]; n > v.most[to] || n == v.most[to] && from < v.best[to] {
		v.best[to], v.most[to] = from, n
	}
}

// elect returns the directory that l was renamed to, if at least half of all voters and most of those that moved are
// there. It also counts as a vote for the parent directories.
func (v *dirVotes) elect(l *diffLink, gone, come map[string]*diffLink) *diffLink {
	if gone[l.path] == nil {
		return nil
	}
	to, n := "", 0
	for other, votes := range v.from[l.path] {
		if votes > n || votes == n && other < to {
			to, n = other, votes
		}
	}
	other := come[to]
	if n == 0 || 2*n < v.size[l.path] || v.best[to] != l.path || other == nil || other.partner != nil {
		return nil
	}
	if path.Base(l.path) == path.Base(to) && gone[replay.ParentOf(l.path)] != nil && come[replay.ParentOf(to)] != nil {
		v.add(replay.ParentOf(l.path), replay.ParentOf(to))
		v.size[replay.ParentOf(l.path)]++
	}
	return other
}
