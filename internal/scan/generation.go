package scan

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
)

// maxChangedInodes limits how many inodes of one subvolume are kept. If more have changed, the whole subvolume is read.
const maxChangedInodes = 50_000

// Generations are the changes that btrfs reports: every inode has the number of the transaction that last changed it,
// its data, attributes or names. btrfs is asked when a walk enters a recorded subvolume, before anything in it is read.
type Generations struct {
	life   string
	disk   btrfs.UUID         // of the filesystem with that life
	mounts map[string]bool    // directories, by path, that contain a mount point
	last   *facts.Generations // nil: nothing is recorded for this life
	record map[string]uint64  // the same, by identity

	mu  sync.Mutex
	met map[string]*subvolume
}

// subvolume is the state of one subvolume in this walk.
type subvolume struct {
	path       string
	generation uint64
	changed    map[uint64]bool // inodes; true if some data is new
	dirs       map[uint64]bool // directories that changed, or have a name of a changed inode
	unknown    bool            // the changes are unknown
}

// NewGenerations flushes the filesystem of root. It uses the generations of the last walk if they are from the same
// life of the filesystem. The result is nil, without an error, if btrfs cannot be asked: the caller is not root, or the
// filesystem is not btrfs.
func NewGenerations(root *os.File, last *facts.Generations) (*Generations, error) {
	_, err := btrfs.SubvolumeAround(root)
	if errors.Is(err, btrfs.ErrNotBtrfs) || os.Geteuid() != 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	life, points, err := mounts.Life(root)
	if err != nil || life == "" {
		return nil, err
	}
	disk, err := btrfs.FilesystemUUID(root)
	if err != nil {
		return nil, err
	}
	if err := btrfs.Sync(root); err != nil {
		return nil, err
	}
	g := &Generations{life: life, disk: disk, mounts: map[string]bool{}, record: map[string]uint64{}, met: map[string]*subvolume{}}
	for _, point := range points {
		g.mounts[catalog.Parent(point)] = true
	}
	if last != nil && last.Life == life {
		g.last = last
		for _, s := range last.Subvolumes {
			g.record[s.ID] = s.Generation
		}
	}
	return g, nil
}

// Tell reports whether btrfs can be asked what is newer than the last walk.
func (g *Generations) Tell() bool { return g != nil && g.last != nil }

// Life names the period in which generations are valid; see facts.Generations.
func (g *Generations) Life() string { return g.life }

// Noted is the generation of the subvolume with that identity before anything in it was read; 0 if it is unknown.
func (g *Generations) Noted(identity string) uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.met[identity]; s != nil {
		return s.generation
	}
	return 0
}

// meet adds the subvolume with that identity, which contains dir, at path. Only its first call for a subvolume has an
// effect. Another btrfs is ignored: it was not flushed, and has its own life. origins are those of Options: for a
// snapshot that stands for a subvolume the transaction in which it was made counts. A later transaction of the
// subvolume may have the same number as one that wrote to the snapshot.
func (g *Generations) meet(dir *os.File, path, identity string, origins map[string]string) error {
	if g == nil || !isTrusted(identity) {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.met[identity] != nil {
		return nil
	}
	info, err := btrfs.SubvolumeAround(dir)
	if errors.Is(err, btrfs.ErrNotBtrfs) {
		return nil
	}
	if err != nil {
		return err
	}
	if disk, err := btrfs.FilesystemUUID(dir); err != nil || disk != g.disk {
		return err
	}
	s := &subvolume{path: path, generation: info.Generation, changed: map[uint64]bool{}, dirs: map[uint64]bool{}}
	g.met[identity] = s
	if origins[info.UUID.String()] != "" {
		s.generation = info.OTransID
	}
	since, known := g.record[identity]
	if s.unknown = !known || since > info.Generation; s.unknown {
		return nil
	}
	return s.search(dir, since)
}

func (s *subvolume) search(dir *os.File, since uint64) error {
	for c, err := range btrfs.ChangedInodes(dir, since) {
		if errors.Is(err, unix.EPERM) {
			s.unknown = true
			return nil
		}
		if err != nil {
			return fmt.Errorf("search for changes since generation %d: %w", since, err)
		}
		if s.changed[c.Inode] = c.Written; len(s.changed) > maxChangedInodes {
			s.unknown, s.changed, s.dirs = true, nil, nil
			return nil
		}
		s.dirs[c.Inode] = true
		for _, in := range c.Dirs {
			s.dirs[in] = true
		}
	}
	return nil
}

// of returns the subvolume with that identity; nil if its changes are unknown.
func (g *Generations) of(identity string) *subvolume {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.met[identity]; s != nil && !s.unknown {
		return s
	}
	return nil
}

// untouched reports whether the directory, and every inode with a name in it, is as it was at the last walk. Mounts and
// subvolumes in it are not considered.
func (g *Generations) untouched(e catalog.Entry) bool {
	s := g.of(e.FS)
	return s != nil && !s.dirs[e.Inode]
}

// mountedIn reports whether something is mounted in a directory. A mount of the same subvolume can change elsewhere.
func (g *Generations) mountedIn(path string) bool { return g != nil && g.mounts[path] }

// touched reports whether an inode has changed, or may have changed.
func (g *Generations) touched(e catalog.Entry) bool {
	s := g.of(e.FS)
	if s == nil {
		return true
	}
	_, changed := s.changed[e.Inode]
	return changed
}

// written reports whether some data of a file is known to be new.
func (g *Generations) written(e catalog.Entry) bool {
	s := g.of(e.FS)
	return s != nil && s.changed[e.Inode]
}

// nothingNewer reports whether nothing has changed in all subvolumes of the last walk, and that walk saw nothing else.
func (g *Generations) nothingNewer(r *reader) bool {
	if !g.Tell() || g.last.Apart > 0 {
		return false
	}
	for _, last := range g.last.Subvolumes {
		path, err := strconv.Unquote(last.Path)
		if err != nil || r.meet(path) != nil {
			return false
		}
		if s := g.of(last.ID); s == nil || len(s.changed) > 0 {
			return false
		}
	}
	return true
}

// Record returns what the next walk needs. apart is the number of directories that the generations do not cover.
func (g *Generations) Record(apart int) *facts.Generations {
	if g == nil {
		return nil
	}
	r := &facts.Generations{Life: g.life, Apart: apart}
	for identity, s := range g.met {
		r.Subvolumes = append(r.Subvolumes, facts.Subvolume{ID: identity, Path: strconv.Quote(s.path), Generation: s.generation})
	}
	slices.SortFunc(r.Subvolumes, func(a, b facts.Subvolume) int { return strings.Compare(a.Path, b.Path) })
	return r
}
