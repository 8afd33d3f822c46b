package pending

import (
	"os"
	"path"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// SparseFiles are the files of a source with holes that pending lacks, or has with another size or time. Several
// goroutines fill it.
type SparseFiles struct {
	mu        sync.Mutex
	paths     []string
	unwritten int64
}

// Paths are in order.
func (f *SparseFiles) Paths() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.paths)
	return slices.Compact(f.paths)
}

// Unwritten is how many bytes count as on disk at the source and need no space.
func (f *SparseFiles) Unwritten() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return uint64(f.unwritten)
}

// See adds a file of the open directory dir, if it is one of them.
func (f *SparseFiles) See(pending *os.File, dir int, rel string, st *unix.Stat_t) {
	sparse, unwritten := mayBeSparse(st), int64(0)
	if !sparse && !mayBePreallocated(st) || !lacks(pending, rel, st) {
		return
	}
	if !sparse {
		if unwritten = unwrittenOf(dir, path.Base(rel), st); unwritten == 0 {
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paths, f.unwritten = append(f.paths, rel), f.unwritten+unwritten
}

// Look examines the entry with the last name of rel in dir.
func (f *SparseFiles) Look(pending, dir *os.File, rel string) {
	if st, err := at.Stat(dir, path.Base(rel)); err == nil {
		f.See(pending, int(dir.Fd()), rel, &st)
	}
}

// LookListed examines the paths on the list for rsync, below root. rsync reports what cannot be read.
func (f *SparseFiles) LookListed(pending, root *os.File, l Listed) error {
	for _, rel := range l.Dirs {
		if dir, err := at.OpenBeneath(root, rel); err == nil {
			names, _ := at.Names(dir)
			for _, name := range names {
				f.Look(pending, dir, path.Join(rel, name))
			}
			if err := dir.Close(); err != nil {
				return err
			}
		}
	}
	for _, name := range l.Names {
		f.LookAt(pending, root, name)
	}
	return nil
}

// LookAt examines one name below root.
func (f *SparseFiles) LookAt(pending, root *os.File, name string) {
	if dir, err := at.OpenBeneath(root, path.Dir(name)); err == nil {
		f.Look(pending, dir, name)
		_ = dir.Close() // it was only read
	}
}
