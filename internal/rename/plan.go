// Package rename does in the copy of a tree what was renamed in the tree, so that what only moved is not copied again.
//
// Everything that moved is first taken out of its old place, the deepest first, and then put into its new one, the
// topmost first. That handles what swapped places, chains, and a directory that is now inside of what was in it. What
// comes of it need not be right: rsync compares all of it afterwards. But nothing may be lost from its view, so only
// directories are written to that it will list.
package rename

import (
	"cmp"
	"slices"
	"strings"
)

// Move says that what was at From is at To. Both are paths below the root of the tree.
type Move struct {
	From, To string
	Dir      bool // else it is a file of one name
}

// Plan is what is to be done, in this order.
type Plan struct {
	Take []Move // each out of its old place
	Put  []Move // the same ones, each into its new place
}

// NewPlan orders moves. listed tells of a directory, by its new path, whether rsync will list it; what comes into
// another one is left out, and so is what is said to come from, or to go to, one place twice.
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

// isBelow: the root itself stays where it is.
func isBelow(path string) bool { return path != "" && path != "." }

func depth(path string) int { return strings.Count(path, "/") }

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return "."
}

func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
