package rename

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree makes a directory of these names; those that end in a slash are directories, the others files that hold their
// name.
func tree(t *testing.T, names ...string) *os.File {
	t.Helper()
	root := t.TempDir()
	for _, name := range names {
		path := filepath.Join(root, name)
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(name), 0o644))
	}
	dir, err := os.Open(root)
	must(t, err)
	t.Cleanup(func() { dir.Close() })
	return dir
}

// contents are all paths, with what is in the files. What rsync is to delete has one name.
func contents(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		rel, content := strings.TrimPrefix(path, root+"/"), "/"
		if rest, ok := strings.CutPrefix(filepath.Base(rel), prefix); ok && d.IsDir() && rest != "" {
			all[filepath.Join(filepath.Dir(rel), "GONE")] = "/"
			return fs.SkipDir
		}
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			must(t, err)
			content = string(data)
		}
		if path != root {
			all[rel] = content
		}
		return nil
	}))
	return all
}

func TestApply(t *testing.T) {
	for name, tt := range map[string]struct {
		had   []string
		moves []Move
		made  int
		want  map[string]string
	}{
		"what is not there":     {[]string{"b"}, []Move{{From: "a", To: "c"}, {From: "x/y", To: "z"}}, 0, map[string]string{"b": "b"}},
		"what is another kind":  {[]string{"a", "d/"}, []Move{{From: "a", To: "c", Dir: true}, {From: "d", To: "e"}}, 0, map[string]string{"a": "a", "d": "/"}},
		"onto a file":           {[]string{"a", "b"}, []Move{{From: "a", To: "b"}}, 1, map[string]string{"b": "a"}},
		"a directory on a file": {[]string{"a/f", "b"}, []Move{{From: "a", To: "b", Dir: true}}, 1, map[string]string{"b": "/", "b/f": "a/f"}},
		"onto a directory":      {[]string{"a/f", "b/g"}, []Move{{From: "a", To: "b", Dir: true}}, 1, map[string]string{"b": "/", "b/f": "a/f", "GONE": "/"}},
		"a file on a directory": {[]string{"a", "b/g"}, []Move{{From: "a", To: "b"}}, 1, map[string]string{"b": "a", "GONE": "/"}},
		"into what was a file":  {[]string{"a", "b"}, []Move{{From: "a", To: "b/c/d"}}, 1, map[string]string{"b": "/", "b/c": "/", "b/c/d": "a"}},
		"through a symlink":     {[]string{"a"}, []Move{{From: "link/x", To: "y"}, {From: "a", To: "link/a"}}, 1, map[string]string{"link": "/", "link/a": "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t, tt.had...)
			outside := tree(t, "x")
			if name == "through a symlink" {
				must(t, os.Symlink(outside.Name(), filepath.Join(root.Name(), "link")))
			}
			made, err := NewPlan(tt.moves, func(string) bool { return true }).Apply(t.Context(), root)
			must(t, err)
			if diff := cmp.Diff(tt.want, contents(t, root.Name())); diff != "" || made != tt.made {
				t.Errorf("%d moves, want %d\n%s", made, tt.made, diff)
			}
			if _, err := os.Stat(filepath.Join(outside.Name(), "x")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFilesOfSeveralNamesStay(t *testing.T) {
	root := tree(t, "a")
	must(t, os.Link(filepath.Join(root.Name(), "a"), filepath.Join(root.Name(), "b")))
	made, err := NewPlan([]Move{{From: "a", To: "c"}}, func(string) bool { return true }).Apply(t.Context(), root)
	must(t, err)
	if diff := cmp.Diff(map[string]string{"a": "a", "b": "a"}, contents(t, root.Name())); diff != "" || made != 0 {
		t.Errorf("%d moves\n%s", made, diff)
	}
}

// A tree is renamed at random, and its copy by moves found from inode numbers: the copy must equal the tree, with names
// swapped, chained or turned inside out.
func TestRandomRenames(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var names []string
		dirs := []string{"."}
		for i := range 30 {
			in := dirs[rng.IntN(len(dirs))]
			name := filepath.Join(in, fmt.Sprint("n", i))
			if rng.IntN(2) == 0 {
				dirs, name = append(dirs, name), name+"/"
			}
			names = append(names, name)
		}
		src, dst := tree(t, names...), tree(t, names...)
		before := places(t, src.Name())
		var log []string
		for range 1 + rng.IntN(12) {
			log = append(log, renameAtRandom(t, rng, src.Name()))
		}
		after := places(t, src.Name())
		plan := NewPlan(difference(before, after), func(string) bool { return true })
		made, err := plan.Apply(t.Context(), dst)
		must(t, err)
		if diff := cmp.Diff(contents(t, src.Name()), contents(t, dst.Name())); diff != "" || made != len(plan.Take) {
			t.Fatalf("seed %d: %d of %d moves\n%s\n%s\n%+v", seed, made, len(plan.Take), diff, strings.Join(log, "\n"), plan)
		}
	}
}

type place struct {
	path   string
	parent uint64
	dir    bool
}

func places(t *testing.T, root string) map[uint64]place {
	t.Helper()
	all := map[uint64]place{}
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		if path == root {
			return nil
		}
		up, err := os.Lstat(filepath.Dir(path))
		must(t, err)
		info, err := d.Info()
		must(t, err)
		all[info.Sys().(*syscall.Stat_t).Ino] = place{strings.TrimPrefix(path, root+"/"), up.Sys().(*syscall.Stat_t).Ino, d.IsDir()}
		return nil
	}))
	return all
}

func difference(before, after map[uint64]place) (moves []Move) {
	for inode, was := range before {
		is := after[inode]
		if was.parent != is.parent || base(was.path) != base(is.path) {
			moves = append(moves, Move{From: was.path, To: is.path, Dir: was.dir})
		}
	}
	slices.SortFunc(moves, func(a, b Move) int { return strings.Compare(a.From, b.From) })
	return moves
}

func renameAtRandom(t *testing.T, rng *rand.Rand, root string) string {
	t.Helper()
	var all, dirs []string
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		if path != root {
			all = append(all, path)
		}
		if d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	}))
	a, b := all[rng.IntN(len(all))], all[rng.IntN(len(all))]
	if rng.IntN(2) == 0 {
		_ = unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE) // one may be in the other
		return fmt.Sprintf("exchange %s and %s", a, b)
	}
	to := filepath.Join(dirs[rng.IntN(len(dirs))], filepath.Base(b))
	_ = unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE) // the same, or it is taken
	return fmt.Sprintf("rename %s to %s", a, to)
}
