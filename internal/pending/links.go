// Links: which files with several names are still one file at a local source, so that they need not be split.
//
// All names of such a file must lead to one inode there, with the same size, times, mode and owner. This is checked
// before rsync runs, and may have changed when rsync reads the source: a name may be replaced meanwhile, and rsync then
// writes into the inode that the other names share. The inode then has another ctime afterwards, and Touched reports
// it.

package pending

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
)

// linkGroups are the files in pending with several names.
type linkGroups struct {
	root   *os.File // of pending
	source *os.File // nil: nothing can be checked

	mu     sync.Mutex
	groups map[uint64]*linkGroup // by inode number in pending
}

// linkGroup is one file with several names.
type linkGroup struct {
	names    uint64 // met so far
	links    uint64 // that the inode has
	dev, ino uint64 // at the source
	changed  bool   // some name has changed, or is unknown
	ctime    unix.Timespec
	path     string // of the first name, below root
}

// keptFile is a file whose names stay linked.
type keptFile struct {
	path  string
	ino   uint64
	ctime unix.Timespec
}

// meet adds one name of a file with several names.
func (l *linkGroups) meet(dir *os.File, name string, st unix.Stat_t) {
	path := walk.Below(l.root, dir, name)
	src, same := l.unchanged(dir, name, path, st)
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groups[st.Ino]
	if g == nil {
		g = &linkGroup{links: uint64(st.Nlink), dev: uint64(src.Dev), ino: src.Ino, ctime: st.Ctim}
		if same {
			g.path = path
		}
		l.groups[st.Ino] = g
	}
	g.names++
	g.changed = g.changed || !same || g.dev != uint64(src.Dev) || g.ino != src.Ino
}

// unchanged reports whether the file at the source equals that in pending, apart from the content.
func (l *linkGroups) unchanged(dir *os.File, name, path string, st unix.Stat_t) (src unix.Stat_t, same bool) {
	if l.source == nil {
		return src, false
	}
	src, err := at.Stat(l.source, path)
	switch {
	case err != nil, src.Mode != st.Mode, src.Mtim != st.Mtim, src.Nlink < 2:
		return src, false
	case os.Geteuid() == 0 && (src.Uid != st.Uid || src.Gid != st.Gid):
		return src, false
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return src, src.Size == st.Size && st.Mode&(unix.S_ISUID|unix.S_ISGID) == 0
	case unix.S_IFLNK:
		return src, sameLink(l.source, path, dir, name)
	case unix.S_IFCHR, unix.S_IFBLK:
		return src, src.Rdev == st.Rdev
	}
	return src, true
}

func sameLink(source *os.File, path string, dir *os.File, name string) bool {
	up, err := at.OpenBeneath(source, filepath.Dir(path))
	if err != nil {
		return false
	}
	defer up.Close()
	there, err := at.Readlink(up, filepath.Base(path))
	if err != nil {
		return false
	}
	here, err := at.Readlink(dir, name)
	return err == nil && here == there
}

// decide returns the files that stay linked. The rest, in l.groups, must be split.
func (l *linkGroups) decide() []keptFile {
	var kept []keptFile
	for ino, g := range l.groups {
		if !g.changed && g.names == g.links {
			kept = append(kept, keptFile{g.path, ino, g.ctime})
			delete(l.groups, ino)
		}
	}
	return kept
}

// Touched reports whether rsync has changed, or may have changed, a file that stayed linked.
func (p *Prepared) Touched(root *os.File) (bool, error) {
	for _, f := range p.kept {
		dir, err := at.OpenBeneath(root, filepath.Dir(f.path))
		if at.IsNoDir(err) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		st, err := at.Stat(dir, filepath.Base(f.path))
		if closeErr := dir.Close(); closeErr != nil {
			return false, fmt.Errorf("close %s: %w", dir.Name(), closeErr)
		}
		if at.IsNoDir(err) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if st.Ino != f.ino || st.Ctim != f.ctime {
			return true, nil
		}
	}
	return false, nil
}

// Kept is how many files with several names stay linked.
func (p *Prepared) Kept() int { return len(p.kept) }
