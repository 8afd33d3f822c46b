// Package rename repeats renames of a tree in its copy, so that files that only moved are not copied again.
//
// Everything that moved is first taken out of its old path, the deepest first, and then moved to its new path, the
// topmost first. This handles swapped names, chains, and a directory that is now inside one of its former children. The
// result may be wrong, because rsync compares all of it afterwards. But rsync must list all of it, so only directories
// that rsync will list are changed.
package rename

import (
	"cmp"
	"slices"
	"strings"
)

// Move says that the entry at From has moved to To. Both are paths below the root of the tree.
type Move struct {
	From, To string
	Dir      bool // otherwise it is a file with one name
}

// Plan is a list of moves, in this order.
type Plan struct {
	Take []Move // each out of its old place
	Put  []Move // the same ones, each into its new place
}

// NewPlan orders moves. listed reports whether rsync will list a directory, given by its new path. Moves into other
// directories are dropped, and so are two moves from or to one path.
func NewPlan(moves []Move, listed func(dir string) bool) Plan {
	from, to := map[string]int{}, map[string]int{}
	for _, m := range moves {
		from[m.From]++
		to[m.To]++
	}
	var p Plan
	for _, m := range moves {
		if from[m.From] == 1 && to[m.To] == 1 && isBelow(m.From) && isBelow(m.To) && listed(parent(m.To)) {
			p.Take = append(p.Take, m)
		}
	}
	p.Put = slices.Clone(p.Take)
	slices.SortStableFunc(p.Take, func(a, b Move) int { return cmp.Compare(depth(b.From), depth(a.From)) })
	slices.SortStableFunc(p.Put, func(a, b Move) int { return cmp.Compare(depth(a.To), depth(b.To)) })
	return p
}

// isBelow is false for the root itself, which cannot move.
func isBelow(path string) bool { return path != "" && path != "." }

func depth(path string) int { return strings.Count(path, "/") }

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return "."
}

func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
