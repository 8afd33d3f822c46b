//go:build integration

package restore

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// An entry is a file of any kind, as far as a restore has a say in it.
type entry struct {
	kind  uint32 // S_IFMT of its mode
	data  string // content, or what a symlink leads to
	rdev  uint64
	mode  uint32
	uid   int
	mtime time.Time
}

func (e entry) String() string {
	return fmt.Sprintf("%o %o %d %q %d %s", e.kind, e.mode, e.uid, e.data, e.rdev, e.mtime.Format("05.000000000"))
}

// A world is a tree: its entries by path, names of one file having the same one.
type world map[string]*entry

// worldPaths is what can be in a world: three names, in three levels.
func worldPaths() []string {
	var paths []string
	for _, a := range []string{"a", "b[1]", "c"} {
		paths = append(paths, a)
		for _, b := range []string{"a", "b[1]"} {
			paths = append(paths, a+"/"+b, a+"/"+b+"/a", a+"/"+b+"/c")
		}
	}
	return paths
}

func (w world) hasDir(path string) bool {
	return path == "." || w[path] != nil && w[path].kind == unix.S_IFDIR
}

var epoch = time.Date(2020, 1, 1, 12, 0, 10, 500_000_000, time.UTC)

// randomEntry is like the one before, or nearly so, if there is one.
func randomEntry(r *rand.Rand, like *entry) *entry {
	kinds := []uint32{unix.S_IFREG, unix.S_IFREG, unix.S_IFREG, unix.S_IFDIR, unix.S_IFDIR, unix.S_IFLNK, unix.S_IFIFO, unix.S_IFCHR, unix.S_IFBLK}
	e := &entry{kind: kinds[r.IntN(len(kinds))], mode: 0o644, uid: r.IntN(2) * 1000, mtime: epoch}
	if like != nil && r.IntN(4) > 0 {
		*e = *like
	}
	if like != nil {
		steps := []time.Duration{0, 0, 0, 1, -1, 400 * time.Millisecond, 1100 * time.Millisecond, -1100 * time.Millisecond, 3 * time.Second, -3 * time.Second}
		e.mtime = like.mtime.Add(steps[r.IntN(len(steps))])
	}
	if r.IntN(3) == 0 {
		e.mode = []uint32{0o600, 0o755, 0o640}[r.IntN(3)]
	}
	e.rdev = 0
	switch e.kind {
	case unix.S_IFREG, unix.S_IFLNK:
		if e.data == "" || r.IntN(3) == 0 {
			e.data = strings.Repeat(string(rune('a'+r.IntN(26))), 1+r.IntN(2))
		}
	case unix.S_IFCHR, unix.S_IFBLK:
		e.rdev = unix.Mkdev(1, 3+uint32(r.IntN(2)))
		e.data = ""
	default:
		e.data = ""
	}
	if e.kind == unix.S_IFLNK {
		e.mode = 0o777
	}
	return e
}

// randomWorld has some of all paths, and hard links.
func randomWorld(r *rand.Rand, like world) world {
	w := world{}
	for _, path := range worldPaths() {
		if !w.hasDir(filepath.Dir(path)) || r.IntN(5) == 0 {
			continue
		}
		w[path] = randomEntry(r, like[path])
		if w[path].kind == unix.S_IFDIR || r.IntN(2) == 0 {
			continue
		}
		for _, other := range slices.Sorted(maps.Keys(w)) {
			if w[other].kind != unix.S_IFDIR && r.IntN(3) == 0 {
				w[path] = w[other]
			}
		}
	}
	return w
}

// make writes w below dir, which is empty.
func (w world) make(t *testing.T, dir string) {
	t.Helper()
	made := map[*entry]string{}
	paths := slices.Sorted(maps.Keys(w))
	for _, path := range paths {
		e, name := w[path], filepath.Join(dir, path)
		if old, ok := made[e]; ok {
			testdest.Must(t, os.Link(old, name))
			continue
		}
		made[e] = name
		switch e.kind {
		case unix.S_IFDIR:
			testdest.Must(t, os.Mkdir(name, 0o700))
		case unix.S_IFLNK:
			testdest.Must(t, os.Symlink(e.data, name))
		case unix.S_IFREG:
			testdest.Must(t, os.WriteFile(name, []byte(e.data), 0o600))
		default:
			testdest.Must(t, unix.Mknod(name, e.kind|0o600, int(e.rdev)))
		}
		testdest.Must(t, os.Lchown(name, e.uid, e.uid))
		if e.kind != unix.S_IFLNK {
			testdest.Must(t, os.Chmod(name, os.FileMode(e.mode)))
		}
	}
	slices.Reverse(paths)
	for _, path := range paths {
		at, err := unix.TimeToTimespec(w[path].mtime)
		testdest.Must(t, err)
		testdest.Must(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, path), []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// readWorld is what is below dir.
func readWorld(t *testing.T, dir string) world {
	t.Helper()
	w, inodes := world{}, map[uint64]*entry{}
	testdest.Must(t, filepath.WalkDir(dir, func(name string, _ os.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		if w[rel] = inodes[st.Ino]; w[rel] != nil {
			return nil
		}
		e := &entry{kind: st.Mode & unix.S_IFMT, rdev: uint64(st.Rdev), mode: st.Mode & 0o7777, uid: int(st.Uid), mtime: time.Unix(st.Mtim.Unix()).UTC()}
		var data []byte
		switch e.kind {
		case unix.S_IFREG:
			data, err = os.ReadFile(name)
			e.data = string(data)
		case unix.S_IFLNK:
			e.data, err = os.Readlink(name)
		}
		w[rel], inodes[st.Ino] = e, e
		return err
	}))
	return w
}

// promise says what --overwrite promises of each path: pure. barred are the paths that stay and are in the way: a
// directory with files where the backup has none, or something else where it has one.
type promise struct {
	mode         string
	deletes      bool
	path         string // all that is restored, "" for everything
	backup       world
	target       world
	want         world
	fromBackup   map[string]bool // paths that must be as in the backup, links included
	barred       []string
	contentStays map[string]bool
}

func (p *promise) asked(path string) bool {
	return p.path == "" || path == p.path || strings.HasPrefix(path, p.path+"/")
}

func (p *promise) work() {
	p.want, p.fromBackup, p.contentStays = world{}, map[string]bool{}, map[string]bool{}
	for _, path := range worldPaths() {
		b, t := p.backup[path], p.target[path]
		up := filepath.Dir(path)
		onTheWay := p.path != "" && strings.HasPrefix(p.path+"/", path+"/")
		if !p.want.hasDir(up) {
			continue
		}
		if !p.asked(path) && !onTheWay || p.frozen(path) {
			p.keep(path, t)
			continue
		}
		switch {
		case b == nil && t != nil && p.deletes && p.asked(path) && (p.path == "" || path != p.path) && p.fromBackup[up]:
		case b == nil && t != nil && p.deletes && up == "." && p.path == "":
		case b == nil:
			p.keep(path, t)
		case t == nil || !p.target.hasDir(up):
			p.take(path)
		case b.kind == unix.S_IFDIR && t.kind == unix.S_IFDIR:
			p.take(path)
		case p.mode == "never", p.mode == "if-newer" && t.mtime.After(b.mtime):
			if b.kind == unix.S_IFDIR && p.backup.holds(path) {
				p.barred = append(p.barred, path)
			}
			p.keep(path, t)
		case t.kind == unix.S_IFDIR && !p.deletes && p.target.holds(path):
			p.barred = append(p.barred, path)
			p.keep(path, t)
		case p.mode != "always" && b.kind == unix.S_IFREG && t.kind == b.kind && len(b.data) == len(t.data) && b.mtime.Equal(t.mtime):
			p.contentStays[path] = true
			p.take(path)
		default:
			p.take(path)
		}
	}
}

// untouched: a path that stays is not restored, and so is nothing on the way there.
func (p *promise) untouched() {
	if p.path == "" || p.fromBackup[p.path] || p.target[p.path] == nil {
		return
	}
	for up := filepath.Dir(p.path); up != "."; up = filepath.Dir(up) {
		p.want[up] = p.target[up]
		delete(p.fromBackup, up)
	}
}

func (p *promise) keep(path string, t *entry) {
	if t != nil {
		p.want[path] = t
	}
}

func (p *promise) take(path string) {
	p.want[path], p.fromBackup[path] = p.backup[path], true
}

// frozen reports whether path lies in a directory of the target that is kept as it is.
func (p *promise) frozen(path string) bool {
	for up := filepath.Dir(path); up != "."; up = filepath.Dir(up) {
		if p.want.hasDir(up) && p.target.hasDir(up) && !p.fromBackup[up] {
			return true
		}
	}
	return false
}

func (w world) holds(dir string) bool {
	for path := range w {
		if strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return false
}

// check compares what is there with what was promised.
func (p *promise) check(got world) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for _, path := range worldPaths() {
		want, is := p.want[path], got[path]
		switch {
		case want == nil && is == nil:
		case want == nil || is == nil:
			say("%s is %v, want %v", path, is, want)
		default:
			w := *want
			if data := p.unchanged(path); slices.Contains(data, is.data) || p.contentStays[path] {
				w.data = data[max(0, slices.Index(data, is.data))]
			}
			if *is != w {
				say("%s is %v, want %v", path, is, w)
			}
		}
	}
	for a, b := range p.pairs() {
		one, linked := got[a] == got[b] && got[a] != nil, p.backup[a] == p.backup[b]
		if p.contentStays[a] || p.contentStays[b] {
			linked = linked && one
		}
		if one != linked {
			say("%s and %s are one file: %v, in the backup: %v", a, b, one, linked)
		}
	}
	slices.SortFunc(wrong, cmp.Compare)
	return wrong
}

// unchanged are the contents that a file may have which is taken for unchanged by its size and time: so are those that
// are linked to it.
func (p *promise) unchanged(path string) (data []string) {
	for _, other := range slices.Sorted(maps.Keys(p.contentStays)) {
		if p.fromBackup[path] && p.backup[other] == p.backup[path] {
			data = append(data, p.target[other].data)
		}
	}
	return data
}

// pairs of files that come from the backup.
func (p *promise) pairs() func(yield func(a, b string) bool) {
	paths := slices.DeleteFunc(slices.Sorted(maps.Keys(p.fromBackup)), func(path string) bool { return p.backup[path].kind == unix.S_IFDIR })
	return func(yield func(a, b string) bool) {
		for i, a := range paths {
			for _, b := range paths[:i] {
				if !yield(a, b) {
					return
				}
			}
		}
	}
}
