package rsyncexec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What rsync does with a list, case by case: all of it is relied on. RSYNC names another rsync to try.

// lists is a source and its copy, which a list then brings up to date.
type lists struct {
	t        *testing.T
	src, dst string
	options  Options
}

// newLists makes the source from names, those of directories ending with "/", and copies it.
func newLists(t *testing.T, options Options, names ...string) *lists {
	l := &lists{t: t, src: t.TempDir(), dst: t.TempDir(), options: options}
	l.options.Program, l.options.Source, l.options.Dest = os.Getenv("RSYNC"), Source{Path: l.src}, l.dst
	l.options.HardLinks, l.options.Delete, l.options.Inplace = true, true, true
	l.make(names...)
	l.run(nil)
	return l
}

func (l *lists) make(names ...string) {
	l.t.Helper()
	for _, name := range names {
		path := filepath.Join(l.src, name)
		if strings.HasSuffix(name, "/") {
			must(l.t, os.MkdirAll(path, 0o755))
			continue
		}
		must(l.t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(l.t, os.WriteFile(path, []byte(name+" has changed"), 0o644))
	}
}

func (l *lists) remove(names ...string) {
	l.t.Helper()
	for _, name := range names {
		must(l.t, os.RemoveAll(filepath.Join(l.src, name)))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run runs rsync with a list; without one it copies everything.
func (l *lists) run(paths []string) {
	l.t.Helper()
	o := l.options
	if paths != nil {
		o.FilesFrom = []byte(strings.Join(paths, "\x00") + "\x00")
	}
	if res, err := Run(l.t.Context(), o); err != nil {
		l.t.Fatalf("list %.300q: %v (%s)", paths, err, res.Tail)
	}
}

// want compares all names in the destination.
func (l *lists) want(names ...string) {
	l.t.Helper()
	var got []string
	must(l.t, filepath.WalkDir(l.dst, func(path string, d fs.DirEntry, err error) error {
		if err == nil && path != l.dst {
			got = append(got, strings.TrimPrefix(path, l.dst+"/"))
		}
		return err
	}))
	slices.Sort(names)
	slices.Sort(got)
	if !slices.Equal(got, names) {
		l.t.Errorf("got  %q\nwant %q", got, names)
	}
}

func TestListedDirectoryIsListedAnewOneLevelDeep(t *testing.T) {
	l := newLists(t, Options{}, "d/gone", "d/stays", "d/old/deep/x", "d/sub/y", "other/z")
	l.remove("d/gone", "d/old", "d/sub/y", "other/z")
	l.make("d/new", "d/newdir/inside", "d/sub/unseen", "other/unseen")
	l.run([]string{"./d/"})
	// A directory that is new arrives empty, one that is gone goes with all in it, what is in others stays.
	l.want("d", "d/new", "d/newdir", "d/stays", "d/sub", "d/sub/y", "other", "other/z")
	l.run([]string{"./d/newdir/", "./d/sub/", "./other/"})
	l.want("d", "d/new", "d/newdir", "d/newdir/inside", "d/stays", "d/sub", "d/sub/unseen", "other", "other/unseen")
}

func TestListedRoot(t *testing.T) {
	l := newLists(t, Options{}, "a", "d/x")
	l.remove("a", "d/x")
	l.make("b")
	l.run([]string{"./"})
	l.want("b", "d", "d/x")
}

func TestListedDirectoryWithoutSlashDeletesNothing(t *testing.T) {
	l := newLists(t, Options{}, "d/gone")
	l.remove("d/gone")
	l.run([]string{"./d"})
	l.want("d", "d/gone")
}

func TestListedTypeChanges(t *testing.T) {
	l := newLists(t, Options{}, "d/file", "d/dir/x", "d/link")
	l.remove("d/file", "d/dir", "d/link")
	l.make("d/file/x", "d/dir")
	must(t, os.Symlink("nowhere", l.src+"/d/link"))
	l.run([]string{"./d/", "./d/file/"})
	l.want("d", "d/dir", "d/file", "d/file/x", "d/link")
	if target, err := os.Readlink(l.dst + "/d/link"); err != nil || target != "nowhere" {
		t.Errorf("link to %q, %v", target, err)
	}
}

func TestListedOddNames(t *testing.T) {
	names := []string{"#x", ";y", "-n", "--delete", "n\nl", " ", "\\", "*", "\xff\x01", strings.Repeat("n", 255), "a:b"}
	l := newLists(t, Options{}, "keep")
	l.make(names...)
	var list []string
	for _, name := range names {
		list = append(list, "./"+name)
	}
	l.run(list)
	l.want(append(names, "keep")...)
	// The same as directories.
	l = newLists(t, Options{}, "keep")
	list = nil
	for i, name := range names {
		names[i] = name + "/"
		list = append(list, "./"+name+"/")
	}
	l.make(names...)
	for i, name := range names {
		names[i] = strings.TrimSuffix(name, "/")
	}
	l.run(list)
	l.want(append(names, "keep")...)
}

// A name that begins with "#" or ";" is dropped, even with --from0; checkFilesFrom refuses such a list.
func TestListDropsComments(t *testing.T) {
	l := newLists(t, Options{}, "keep")
	l.make("#x", ";y")
	c := exec.CommandContext(t.Context(), "rsync", "-a", "--files-from=-", "--from0", l.src+"/", l.dst+"/")
	c.Stdin = strings.NewReader("#x\x00;y\x00")
	must(t, c.Run())
	l.want("keep")
}

func TestListedPathAsLongAsRsyncTakesIt(t *testing.T) {
	dir := strings.TrimSuffix(strings.Repeat(strings.Repeat("d", 254)+"/", 15), "/") // 3824 bytes
	name := dir + "/" + strings.Repeat("f", 4000-len(dir)-1)
	if len(filepath.Base(name)) > 255 {
		t.Fatal("the name is too long to be made")
	}
	l := newLists(t, Options{}, "keep")
	// The whole path is longer than the kernel takes: it is made from within.
	at := openAt(t, l.src)
	for part := range strings.SplitSeq(dir, "/") {
		must(t, unix.Mkdirat(at, part, 0o755))
		fd, err := unix.Openat(at, part, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		must(t, err)
		must(t, unix.Close(at))
		at = fd
	}
	fd, err := unix.Openat(at, filepath.Base(name), unix.O_CREAT|unix.O_WRONLY, 0o644)
	must(t, err)
	must(t, errors.Join(unix.Close(fd), unix.Close(at)))
	l.run([]string{"./" + name})
	if got := deepest(t, l.dst); got != name {
		t.Errorf("got a path of %d bytes, want one of %d", len(got), len(name))
	}
}

func openAt(t *testing.T, path string) int {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(t, err)
	return fd
}

// deepest follows the longest name from level to level.
func deepest(t *testing.T, root string) string {
	t.Helper()
	var path []string
	at := openAt(t, root)
	for {
		d := os.NewFile(uintptr(at), root)
		names, err := d.Readdirnames(-1)
		must(t, err)
		longest := ""
		for _, name := range names {
			if len(name) > len(longest) {
				longest = name
			}
		}
		path = append(path, longest)
		fd, err := unix.Openat(int(d.Fd()), longest, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		must(t, d.Close())
		if err != nil {
			return strings.Join(path, "/")
		}
		at = fd
	}
}

func TestListedPathsThatAreGone(t *testing.T) {
	l := newLists(t, Options{}, "d/x", "e/y")
	l.remove("d", "e/y")
	// Nothing is deleted for it either: that is up to the directory it was in.
	l.run([]string{"./d/", "./d/x", "./d/sub/", "./e/y", "./never/"})
	l.want("d", "d/x", "e", "e/y")
	l.run([]string{"./", "./d/", "./e/"})
	l.want("e")
}

// Rules are asked about a listed path itself, not about what it is in.
func TestListAndRules(t *testing.T) {
	o := Options{Exclude: []string{"cache", "/top/"}}
	l := newLists(t, o, "a/keep", "a/cache/sub/x", "top/y")
	l.want("a", "a/keep")
	l.make("a/cache/sub/z", "a/new", "cache", "top/new")
	l.run([]string{"./", "./a/", "./a/cache/", "./top/", "./cache"})
	l.want("a", "a/keep", "a/new")
	l.run([]string{"./a/cache/sub/"})
	l.want("a", "a/keep", "a/new", "a/cache", "a/cache/sub", "a/cache/sub/x", "a/cache/sub/z")
	// The way back: --delete-excluded as in a full run.
	l.run([]string{"./a/"})
	l.want("a", "a/keep", "a/new")
}

// The attributes of the directories on the way are copied too.
func TestListBringsParentsAlong(t *testing.T) {
	l := newLists(t, Options{}, "a/b/x")
	must(t, os.Chmod(l.src+"/a", 0o700))
	l.make("a/b/x")
	l.run([]string{"./a/b/x"})
	if info, err := os.Stat(l.dst + "/a"); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// A symlink in the path is followed: rsync makes a directory of it. A list must not have such paths.
func TestListFollowsSymlinksOnTheWay(t *testing.T) {
	l := newLists(t, Options{}, "real/x")
	must(t, os.Symlink("real", l.src+"/link"))
	l.run([]string{"./link/x"})
	if info, err := os.Lstat(l.dst + "/link"); err != nil || !info.IsDir() {
		t.Errorf("%v, %v", info, err)
	}
}

func TestListAndHardLinks(t *testing.T) {
	same := func(l *lists, a, b string) bool {
		x, errA := os.Lstat(filepath.Join(l.dst, a))
		y, errB := os.Lstat(filepath.Join(l.dst, b))
		must(t, errors.Join(errA, errB))
		return os.SameFile(x, y)
	}
	l := newLists(t, Options{}, "d/a", "e/other")
	must(t, os.Link(l.src+"/d/a", l.src+"/e/b"))
	l.run([]string{"./e/"})
	if same(l, "d/a", "e/b") {
		t.Error("one name of two was listed, and rsync linked it")
	}
	l.run([]string{"./e/", "./d/a"})
	if !same(l, "d/a", "e/b") {
		t.Error("both names were listed, and are two files")
	}
	must(t, os.WriteFile(l.src+"/d/a", []byte("other content"), 0o644))
	l.run([]string{"./d/a", "./e/b"})
	if data, err := os.ReadFile(l.dst + "/e/b"); !same(l, "d/a", "e/b") || err != nil || string(data) != "other content" {
		t.Errorf("after a change: %q, %v", data, err)
	}
}

// With Recursive a listed directory is read to its end, and rules hold all the way.
func TestListRecursive(t *testing.T) {
	l := newLists(t, Options{Exclude: []string{"cache"}}, "keep")
	l.make("new/a/b/c", "new/cache/x", "new/a/cache", "unseen")
	l.options.Recursive, l.options.DryRun = true, true
	var made []string
	l.options.Changes = func(c Change) { made = append(made, fmt.Sprint(c.Path)) }
	l.run([]string{"./new/"})
	l.want("keep")
	slices.Sort(made)
	if want := []string{"./", "new/", "new/a/", "new/a/b/", "new/a/b/c"}; !slices.Equal(made, want) {
		t.Errorf("got %q, want %q", made, want)
	}
}

// A wrapper that runs rsync in the background takes its stdin away, and rsync has nothing to do.
func TestListThatRsyncDoesNotGet(t *testing.T) {
	for _, paths := range []int{1, 20000} { // more than a pipe holds
		l := newLists(t, Options{}, "keep")
		program := filepath.Join(t.TempDir(), "rsync")
		must(t, os.WriteFile(program, []byte("#!/bin/sh\nrsync \"$@\" &\nwait $!\n"), 0o700))
		l.make("new")
		o := l.options
		o.Program, o.FilesFrom = program, []byte(strings.Repeat("./new\x00", paths))
		if _, err := Run(t.Context(), o); !errors.Is(err, ErrListUnread) {
			t.Errorf("%d paths: %v", paths, err)
		}
		l.want("keep")
	}
}

// A long list does not wait for somebody who reads what rsync says, and the other way round.
func TestLongList(t *testing.T) {
	l := newLists(t, Options{}, "keep")
	var list []string
	for i := range 3000 {
		list = append(list, fmt.Sprintf("./%s-%d", strings.Repeat("n", 200), i))
	}
	l.run(list)
	l.want("keep")
}
