package scan

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

// nested are the btrfs subvolumes of a walk whose caller may not ask for generations: a later run looks for stubs in
// their places. Several goroutines fill it.
type nested struct {
	mu    sync.Mutex
	paths map[string]string // by identity
}

// meet takes in a filesystem, at the path at which it is met first.
func (n *nested) meet(path string, fs filesystem) {
	if n == nil || !fs.isSubvolume {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.paths[fs.identity]; !known {
		n.paths[fs.identity] = path
	}
}

// record has no Life, so nobody takes the generations for known.
func (n *nested) record() *facts.Generations {
	if len(n.paths) == 0 {
		return nil
	}
	r := &facts.Generations{}
	for identity, path := range n.paths {
		r.Subvolumes = append(r.Subvolumes, facts.Subvolume{ID: identity, Path: strconv.Quote(path)})
	}
	slices.SortFunc(r.Subvolumes, func(a, b facts.Subvolume) int { return strings.Compare(a.Path, b.Path) })
	return r
}
