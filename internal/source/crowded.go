package source

import (
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// maxNames is how many names of one file rsync may make: btrfs allows 65,535, and a name that is being replaced counts
// twice for a moment.
const maxNames = 65_000

// Crowded are the files with more than maxNames names. Several goroutines fill it.
type Crowded struct {
	mu    sync.Mutex
	names map[[2]uint64][]string // by device and inode
}

// Look adds one name.
func (c *Crowded) Look(path string, st *unix.Stat_t) {
	if st.Nlink <= maxNames || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.names == nil {
		c.names = map[[2]uint64][]string{}
	}
	id := [2]uint64{uint64(st.Dev), st.Ino}
	c.names[id] = append(c.names[id], path)
}

// Beyond returns the names beyond the limit, the same ones in every run.
func (c *Crowded) Beyond() []string {
	var beyond []string
	for _, names := range c.names {
		slices.Sort(names)
		beyond = append(beyond, names[min(maxNames, len(names)):]...)
	}
	return beyond
}
