//go:build integration

package diff

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

var (
	diffSeed   = flag.Uint64("diff.seed", 1, "seed of TestDiffRandom; 0 takes one from the clock")
	diffRounds = flag.Int("diff.rounds", 200, "rounds of TestDiffRandom")
)

// TestDiffRandom changes a tree at random, hundreds of times, and after each has the two backups compared by stream and
// by walk, forwards and backwards, in whole and in part. They must agree, and what they say must account for every
// difference there is.
func TestDiffRandom(t *testing.T) {
	t.Parallel()
	seed := *diffSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	diffRandom(t, seed, *diffRounds)
}

// TestDiffRandomRegressions has the seeds that ever failed, and the round.
func TestDiffRandomRegressions(t *testing.T) {
	t.Parallel()
	// A directory is turned inside out, and a name in it is where it was.
	diffRandom(t, 1795753860141490861, 72)
	// The kernel (Linux 6.18) fails to send with ENOENT.
	diffRandom(t, 1795974099133607486, 91)
}

func diffRandom(t *testing.T, seed uint64, rounds int) {
	t.Helper()
	t.Logf("-diff.seed=%d", seed)
	l := newLine(t)
	m := &mutator{rand: rand.New(rand.NewPCG(seed, 1)), root: l.work}
	for range 60 {
		m.step(t)
	}
	from := l.snap(t)
	kinds := map[rsbtbackup.DiffKind]int{}
	for round := range rounds {
		m.log = nil
		for range 1 + m.rand.IntN(14) {
			m.step(t)
		}
		to := l.snap(t)
		ok := t.Run(fmt.Sprint(round), func(t *testing.T) {
			forwards := bothWays(t, l.dest, from, to, "")
			for _, e := range forwards {
				kinds[e.Kind]++
			}
			accounted(t, filepath.Join(l.dest, from), filepath.Join(l.dest, to), forwards)
			backwards := bothWays(t, l.dest, to, from, "")
			accounted(t, filepath.Join(l.dest, to), filepath.Join(l.dest, from), backwards)
			if dir := m.someDir(); dir != "" {
				part := strings.TrimPrefix(strings.TrimPrefix(dir, l.work), "/")
				bothWays(t, l.dest, from, to, part)
			}
		})
		if !ok {
			t.Fatalf("seed %d, round %d, after:\n%s", seed, round, strings.Join(m.log, "\n"))
		}
		l.drop(t, from)
		from = to
	}
	t.Logf("%d rounds: %v", rounds, kinds)
}

// mutator changes the tree below root.
type mutator struct {
	rand *rand.Rand
	root string
	n    int
	log  []string
}

func (m *mutator) all(keep func(fs.FileInfo) bool) []string {
	var found []string
	_ = filepath.Walk(m.root, func(p string, info fs.FileInfo, err error) error {
		if err == nil && p != m.root && keep(info) {
			found = append(found, p)
		}
		return nil
	})
	return found
}

func (m *mutator) pick(paths []string) string {
	if len(paths) == 0 {
		return ""
	}
	return paths[m.rand.IntN(len(paths))]
}

func (m *mutator) someDir() string {
	dirs := m.all(fs.FileInfo.IsDir)
	if m.rand.IntN(4) == 0 {
		return m.root
	}
	if d := m.pick(dirs); d != "" {
		return d
	}
	return m.root
}

func (m *mutator) someFile() string {
	return m.pick(m.all(func(i fs.FileInfo) bool { return i.Mode().IsRegular() }))
}

func (m *mutator) some() string { return m.pick(m.all(func(fs.FileInfo) bool { return true })) }

// name is taken from few, so that names are used again.
func (m *mutator) name() string {
	return filepath.Join(m.someDir(), fmt.Sprintf("n%d", m.rand.IntN(12)))
}

func (m *mutator) content() []byte {
	sizes := []int{0, 1, 20, 3000, 4096, 70000}
	m.n++
	return slices.Repeat([]byte{byte(m.n), byte(m.n >> 8), 7}, sizes[m.rand.IntN(len(sizes))])
}

// step tries one change; some are impossible, and then nothing happens.
func (m *mutator) step(t *testing.T) {
	t.Helper()
	steps := []struct {
		name string
		do   func() error
	}{
		{"create", func() error { return create(m.name(), m.content()) }},
		{"create", func() error { return create(m.name(), m.content()) }},
		{"mkdir", func() error { return os.Mkdir(m.name(), 0o755) }},
		{"mkdir with content", func() error {
			d := m.name()
			if err := os.Mkdir(d, 0o755); err != nil {
				return err
			}
			for i := range 3 {
				if err := create(filepath.Join(d, fmt.Sprintf("n%d", i)), m.content()); err != nil {
					return err
				}
			}
			return nil
		}},
		{"overwrite", func() error { return os.WriteFile(m.someFile(), m.content(), 0o644) }},
		{"rewrite the same", func() error {
			f := m.someFile()
			content, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			return os.WriteFile(f, content, 0o644)
		}},
		{"rewrite and keep the time", func() error {
			f := m.someFile()
			info, err := os.Stat(f)
			if err != nil {
				return err
			}
			content := make([]byte, info.Size())
			for i := range content {
				content[i] = byte(m.rand.Uint32())
			}
			if err := os.WriteFile(f, content, 0o644); err != nil {
				return err
			}
			return os.Chtimes(f, info.ModTime(), info.ModTime())
		}},
		{"truncate", func() error { return os.Truncate(m.someFile(), int64(m.rand.IntN(9000))) }},
		{"chmod", func() error { return os.Chmod(m.some(), fs.FileMode(0o700+m.rand.IntN(64))) }},
		{"chown", func() error { return os.Lchown(m.some(), m.rand.IntN(3), m.rand.IntN(3)) }},
		{"touch", func() error { return os.Chtimes(m.some(), time.Time{}, time.Unix(int64(m.rand.IntN(9)), 0)) }},
		{"xattr", func() error {
			return unix.Lsetxattr(m.some(), "user.x", []byte{byte('0' + m.rand.IntN(3))}, 0)
		}},
		{"no xattr", func() error { return unix.Lremovexattr(m.some(), "user.x") }},
		{"unlink", func() error { return os.Remove(m.some()) }},
		{"remove all", func() error {
			if m.rand.IntN(3) > 0 {
				return nil
			}
			return os.RemoveAll(m.some())
		}},
		{"rename", func() error { return os.Rename(m.some(), m.name()) }},
		{"rename", func() error { return os.Rename(m.some(), m.name()) }},
		{"rename over", func() error { return os.Rename(m.someFile(), m.someFile()) }},
		{"rename a directory", func() error { return os.Rename(m.someDir(), m.name()) }},
		{"exchange", func() error {
			return unix.Renameat2(unix.AT_FDCWD, m.some(), unix.AT_FDCWD, m.some(), unix.RENAME_EXCHANGE)
		}},
		{"link", func() error { return os.Link(m.someFile(), m.name()) }},
		{"link", func() error { return os.Link(m.someFile(), m.name()) }},
		{"symlink", func() error { return os.Symlink(fmt.Sprint(m.rand.IntN(3)), m.name()) }},
		{"fifo", func() error { return unix.Mkfifo(m.name(), 0o600) }},
		{"device", func() error { return unix.Mknod(m.name(), unix.S_IFCHR|0o600, m.rand.IntN(3)) }},
		{"replace by a directory", func() error {
			f := m.someFile()
			if err := os.Remove(f); err != nil {
				return err
			}
			return os.Mkdir(f, 0o755)
		}},
		{"replace by a copy", func() error {
			f := m.someFile()
			return copyFile(f, f+".tmp", f)
		}},
		{"rename as rsync does", func() error {
			f, to := m.someFile(), m.name()
			if _, err := os.Lstat(to); err == nil {
				return fs.ErrExist
			}
			if err := copyFile(f, to+".tmp", to); err != nil {
				return err
			}
			return os.Remove(f)
		}},
		{"turn a directory inside out", func() error {
			d := m.someDir()
			inner := filepath.Join(d, "n1")
			if d == m.root || os.Rename(inner, d+".out") != nil {
				return fs.ErrNotExist
			}
			if err := os.Rename(d, filepath.Join(d+".out", "in")); err != nil {
				return os.Rename(d+".out", inner)
			}
			return os.Rename(d+".out", d)
		}},
		{"replace a directory", func() error {
			d := m.someDir()
			if d == m.root {
				return nil
			}
			if err := os.Rename(d, d+".old"); err != nil {
				return err
			}
			if err := os.Mkdir(d, 0o755); err != nil {
				return err
			}
			entries, _ := os.ReadDir(d + ".old")
			for _, e := range entries {
				if m.rand.IntN(2) == 0 {
					if err := os.Rename(filepath.Join(d+".old", e.Name()), filepath.Join(d, e.Name())); err != nil {
						return err
					}
				}
			}
			return os.RemoveAll(d + ".old")
		}},
	}
	s := steps[m.rand.IntN(len(steps))]
	err := s.do()
	m.log = append(m.log, fmt.Sprintf("%s: %v", s.name, err))
}

func create(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(content)
	return err
}

// copyFile makes a new file of the content and time of from, under a temporary name first.
func copyFile(from, temp, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := create(temp, content); err != nil {
		return err
	}
	if err := os.Chtimes(temp, info.ModTime(), info.ModTime()); err != nil {
		return err
	}
	return os.Rename(temp, to)
}

// accounted checks that everything without an entry is equal in both trees.
func accounted(t *testing.T, a, b string, entries []rsbtbackup.DiffEntry) {
	t.Helper()
	before, after := manifest(t, a), manifest(t, b)
	byPath, gone, moved := map[string]rsbtbackup.DiffEntry{}, map[string]bool{}, map[string]string{}
	for _, e := range entries {
		switch {
		case e.Kind == rsbtbackup.DiffRemoved:
			gone[e.Path] = true
			continue
		case e.OldPath != "":
			gone[e.OldPath] = true
		case e.Kind != rsbtbackup.DiffAdded:
			gone[e.Path] = true
		}
		byPath[e.Path] = e
	}
	used := map[string]bool{}
	for _, p := range sortedKeys(after) {
		from, known := p, true
		if p != "." {
			dir, ok := moved[path.Dir(p)]
			from, known = path.Join(dir, path.Base(p)), ok
		}
		e, said := byPath[p]
		if said && e.Kind == rsbtbackup.DiffAdded {
			continue
		}
		if said && e.OldPath != "" {
			from, known = e.OldPath, true
		}
		if !said && before[from] != after[p] && before[p] == after[p] {
			from, known = p, true // it has left the directory it was in, for the same path
		}
		old := before[from]
		moved[p], used[from] = from, true
		switch {
		case !known || old == "":
			t.Errorf("%s is new, but no entry says so", p)
		case !said && old != after[p]:
			t.Errorf("%s, was %s: no entry, but\n%s\n%s", p, from, old, after[p])
		case said && e.Kind != rsbtbackup.DiffRenamed && old == after[p]:
			t.Errorf("%s is the same as before, but there is %+v", p, e)
		}
	}
	for p := range before {
		if !used[p] && !gone[p] {
			t.Errorf("%s is gone, but no entry says so", p)
		}
	}
}

// manifest says all that counts about each file below root.
func manifest(t *testing.T, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	testdest.Must(t, filepath.Walk(root, func(p string, info fs.FileInfo, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		about := fmt.Sprintf("%v %d:%d rdev=%d", info.Mode(), st.Uid, st.Gid, st.Rdev)
		if !info.IsDir() {
			about += fmt.Sprint(" ", info.ModTime().UnixNano())
		}
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			about += fmt.Sprintf(" %x", sha256.Sum256(content))
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			about += " -> " + target
		}
		value := make([]byte, 10)
		if n, err := unix.Lgetxattr(p, "user.x", value); err == nil {
			about += " x=" + string(value[:n])
		}
		name, err := filepath.Rel(root, p)
		files[name] = about
		return err
	}))
	return files
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
