package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

// walkTree walks and finishes a catalog, and opens it as the one of the last backup.
func walkTree(t testing.TB, root string, o Options, known *catalog.Reader) (*Result, *catalog.Reader) {
	t.Helper()
	res, file := walkOnly(t, root, o, known)
	return res, finish(t, res, file)
}

func walkOnly(t testing.TB, root string, o Options, known *catalog.Reader) (*Result, *os.File) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "catalog"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	// What was changed just now counts as changed long ago; see quiet.
	dir, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	res, err := walk(t.Context(), dir, file, root, nil, o, known, -1)
	if err != nil {
		t.Fatal(err)
	}
	return res, file
}

func finish(t testing.TB, res *Result, file *os.File, unsettled ...catalog.Unsettled) *catalog.Reader {
	t.Helper()
	for _, end := range [][]catalog.Unsettled{{{Path: "known in the meantime"}}, unsettled} { // the last end counts
		if _, err := res.Finish(end, nil); err != nil {
			t.Fatal(err)
		}
	}
	return openCatalog(t, file)
}

func openCatalog(t testing.TB, file *os.File) *catalog.Reader {
	t.Helper()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	known, err := catalog.NewReader(file, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return known
}

func openRoot(t testing.TB, path string) *os.File {
	t.Helper()
	root, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

func readAll(t testing.TB, r *catalog.Reader) []catalog.Dir {
	t.Helper()
	var dirs []catalog.Dir
	for {
		d, err := r.Next()
		if err == io.EOF {
			return dirs
		}
		if err != nil {
			t.Fatal(err)
		}
		d.Entries = append([]catalog.Entry(nil), d.Entries...) // the next one overwrites them
		dirs = append(dirs, d)
	}
}

// quiet waits until the clock has moved on that files get their times from.
func quiet() {
	var now, ticked unix.Timespec
	for _ = unix.ClockGettime(unix.CLOCK_REALTIME, &now); ticked.Nano() <= now.Nano(); time.Sleep(time.Millisecond) {
		_ = unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &ticked) // every kernel has both
	}
}

func TestWalkSeesWhatIsThere(t *testing.T) {
	root := t.TempDir()
	want := []string{"."}
	for _, name := range []string{"#x", ";y", "-n", "n\nl", " ", "\xff", strings.Repeat("n", 255), "a/b/c/d", "a-", "a.d", "z"} {
		want = append(want, parents(name)...)
		must(t, os.MkdirAll(filepath.Join(root, name), 0o755))
		for i := range 20 { // in an order that is not that of the names
			must(t, os.WriteFile(filepath.Join(root, name, fmt.Sprint("f", i*7%20)), []byte("x"), 0o600))
		}
		must(t, os.Symlink("f1", filepath.Join(root, name, "link")))
	}
	slices.SortFunc(want, catalog.ComparePaths)
	want = slices.Compact(want)
	res, known := walkTree(t, root, Options{}, nil)
	var got []string
	looked := 0
	for _, d := range readAll(t, known) {
		got = append(got, d.Path)
		looked += len(d.Entries)
		for _, e := range d.Entries {
			var st unix.Statx_t
			must(t, unix.Statx(unix.AT_FDCWD, filepath.Join(root, d.Path, e.Name), unix.AT_SYMLINK_NOFOLLOW, statMask, &st))
			same := newEntry(e.Name, &st)
			same.FS, same.Target = e.FS, e.Target
			if e != same || e.IsSymlink() != (e.Target != 0) || !isTrusted(e.FS) {
				t.Errorf("%s: got %+v, want %+v", d.Path, e, same)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if res.List.Looked != looked {
		t.Errorf("looked at %d, want %d", res.List.Looked, looked)
	}
}

// A directory that is not the one any more that was seen in the directory around it.
func TestWalkDoesNotReadAnotherDirectory(t *testing.T) {
	root := t.TempDir()
	must(t, os.MkdirAll(root+"/d/sub", 0o755))
	dir := openRoot(t, root)
	r := newReader(dir, Options{}, 0)
	top, err := r.read(".", rootEntry(t, r, dir))
	must(t, err)
	seen := top.Subs[0]
	if d, err := r.read("d", seen); err != nil || d.Unread || d.Count != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	for name, change := range map[string]func(e *catalog.Entry){
		"inode": func(e *catalog.Entry) { e.Inode++ }, "birth": func(e *catalog.Entry) { e.Birth.Nsec ^= 1 }, "filesystem": func(e *catalog.Entry) { e.FS += "x" },
	} {
		other := seen
		change(&other)
		if d, err := r.read("d", other); err != nil || !d.Unread {
			t.Errorf("another %s: %+v, %v", name, d, err)
		}
	}
	if d, err := r.read("gone", seen); err != nil || !d.Unread {
		t.Errorf("gone: %+v, %v", d, err)
	}
}

func rootEntry(t *testing.T, r *reader, dir *os.File) catalog.Entry {
	t.Helper()
	e, device, err := r.stat(int(dir.Fd()), "", unix.AT_EMPTY_PATH)
	must(t, err)
	fs, err := r.filesystem(int(dir.Fd()), ".", device)
	must(t, err)
	e.FS = fs.identity
	return e
}

func parents(path string) []string {
	all := []string{path}
	for dir := catalog.Parent(path); dir != "."; dir = catalog.Parent(dir) {
		all = append(all, dir)
	}
	return all
}

// Nothing has changed: nothing is listed, for any tree.
func TestWalkOfAnUnchangedTree(t *testing.T) {
	root := t.TempDir()
	for i := range 300 {
		dir := filepath.Join(root, fmt.Sprint(i%7), fmt.Sprint(i%31), fmt.Sprint(i))
		must(t, os.MkdirAll(dir, 0o755))
		must(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o644))
		must(t, os.Link(filepath.Join(dir, "f"), filepath.Join(dir, "g")))
	}
	first, file := walkOnly(t, root, Options{}, nil)
	res, again := walkOnly(t, root, Options{}, finish(t, first, file))
	if !res.List.Empty() || res.TooLong != "" || res.List.Listed != 0 {
		t.Errorf("%+v, %q", res.List, res.TooLong)
	}
	if info, err := again.Stat(); err != nil || info.Size() > 0 {
		t.Errorf("a catalog was written that is not needed: %v, %v", info, err)
	}
	if diff := cmp.Diff(readAll(t, openCatalog(t, file)), readAll(t, finish(t, res, again))); diff != "" {
		t.Errorf("the new catalog: %s", diff)
	}
}

// A link whose other name is in a directory that nothing happened in.
func TestWalkListsAllNamesOfAFile(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a/1", "b/1", "c/1", "c/2", "c/3", "c/4", "d/1"} {
		must(t, os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755))
		must(t, os.WriteFile(filepath.Join(root, name), []byte(name), 0o644))
	}
	must(t, os.Link(filepath.Join(root, "a/1"), filepath.Join(root, "c/linked")))
	must(t, os.Link(filepath.Join(root, "b/1"), filepath.Join(root, "c/other")))
	_, known := walkTree(t, root, Options{}, nil)
	quiet()
	must(t, os.WriteFile(filepath.Join(root, "a/new"), nil, 0o644))
	res, _ := walkTree(t, root, Options{}, known)
	if want := []string{"a"}; !slices.Equal(res.List.Dirs, want) {
		t.Errorf("directories: got %q, want %q", res.List.Dirs, want)
	}
	if want := []string{"c/linked"}; !slices.Equal(res.List.Names, want) {
		t.Errorf("names: got %q, want %q", res.List.Names, want)
	}
}

// The same for a file that is listed alone.
func TestWalkListsAllNamesOfAFileThatChanged(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a/1", "a/2", "a/3", "a/4", "b/1", "b/2", "b/3", "b/4"} {
		must(t, os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755))
		must(t, os.WriteFile(filepath.Join(root, name), []byte(name), 0o644))
	}
	must(t, os.Link(filepath.Join(root, "a/1"), filepath.Join(root, "b/linked")))
	_, known := walkTree(t, root, Options{}, nil)
	quiet()
	must(t, os.WriteFile(filepath.Join(root, "a/1"), []byte("new"), 0o644))
	res, _ := walkTree(t, root, Options{}, known)
	slices.Sort(res.List.Names)
	if want := []string{"a/1", "b/linked"}; !slices.Equal(res.List.Names, want) || len(res.List.Dirs) > 0 {
		t.Errorf("got %+v, want %q", res.List, want)
	}
}

func TestWalkLeavesOut(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"dest/x", "sub/view/x", "sub/keep", "destination"} {
		must(t, os.MkdirAll(filepath.Join(root, name), 0o755))
	}
	_, known := walkTree(t, root, Options{Skip: []string{"dest", "sub/view"}}, nil)
	var got []string
	for _, d := range readAll(t, known) {
		got = append(got, d.Path)
	}
	if want := []string{".", "destination", "sub", "sub/keep"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWalkRefuses(t *testing.T) {
	t.Run("a filesystem it cannot trust", func(t *testing.T) {
		_, err := Walk(t.Context(), openRoot(t, "/proc/self/fdinfo"), nil, "/proc", nil, Options{}, nil)
		if !errors.Is(err, ErrUnfit) {
			t.Error(err)
		}
	})
	t.Run("paths longer than rsync takes", func(t *testing.T) {
		root := t.TempDir()
		at, err := unix.Open(root, unix.O_RDONLY, 0)
		must(t, err)
		for range 17 {
			name := strings.Repeat("d", 250)
			must(t, unix.Mkdirat(at, name, 0o755))
			next, err := unix.Openat(at, name, unix.O_RDONLY, 0)
			must(t, errors.Join(err, unix.Close(at)))
			at = next
		}
		must(t, unix.Close(at))
		file, err := os.Create(filepath.Join(t.TempDir(), "catalog"))
		must(t, err)
		defer file.Close()
		if _, err = Walk(t.Context(), openRoot(t, root), file, root, nil, Options{}, nil); err == nil {
			t.Error("no error")
		}
	})
	t.Run("a catalog that is torn, only at its end", func(t *testing.T) {
		root := t.TempDir()
		must(t, os.WriteFile(filepath.Join(root, "f"), nil, 0o644))
		res, file := walkOnly(t, root, Options{}, nil)
		finish(t, res, file)
		info, err := file.Stat()
		must(t, err)
		var last [1]byte
		_, err = file.ReadAt(last[:], info.Size()-1)
		must(t, err)
		_, err = file.WriteAt([]byte{^last[0]}, info.Size()-1)
		must(t, err)
		again, err := os.Create(filepath.Join(t.TempDir(), "catalog"))
		must(t, err)
		defer again.Close()
		if _, err := Walk(t.Context(), openRoot(t, root), again, root, nil, Options{}, openCatalog(t, file)); !errors.Is(err, catalog.ErrUnusable) {
			t.Error(err)
		}
	})
	t.Run("when it is cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("enough")
		cancel(why)
		file, err := os.Create(filepath.Join(t.TempDir(), "catalog"))
		must(t, err)
		defer file.Close()
		if _, err := Walk(ctx, openRoot(t, t.TempDir()), file, "/", nil, Options{}, nil); !errors.Is(err, why) {
			t.Error(err)
		}
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestWalkLooksAtFew: in a directory whose names are known the inodes that are newer are looked at, and no others.
func TestWalkLooksAtFew(t *testing.T) {
	root := t.TempDir()
	path := func(name string) string { return filepath.Join(root, "dir", name) }
	for _, name := range []string{"changed", "gone", "kept", "large"} {
		must(t, os.MkdirAll(path("sub/"), 0o755))
		must(t, os.WriteFile(path(name), []byte(name), 0o644))
	}
	must(t, os.Symlink("a", path("link")))
	r := newReader(openRoot(t, root), Options{}, 0)
	fd, err := openBeneath(r.root, "dir", unix.O_RDONLY)
	must(t, err)
	seen, device, err := r.stat(fd, "", unix.AT_EMPTY_PATH)
	must(t, err)
	fs, err := r.filesystem(fd, "dir", device)
	must(t, errors.Join(err, unix.Close(fd)))
	seen.FS = fs.identity
	dir := func(l catalog.Listing, err error) catalog.Dir {
		t.Helper()
		must(t, err)
		d, err := l.Decoded(seen.Base())
		must(t, err)
		return d
	}
	old := dir(r.read("dir", seen))
	touched := map[uint64]bool{}
	for _, e := range old.Entries {
		touched[e.Inode] = strings.Contains("changed gone link", e.Name)
	}
	look := func() (catalog.Listing, int, error) {
		return r.look(old, seen, func(e catalog.Entry) bool { return touched[e.Inode] })
	}

	must(t, os.WriteFile(path("changed"), []byte("something else"), 0o600))
	must(t, os.Remove(path("gone")))
	must(t, os.Remove(path("link")))
	must(t, os.Symlink("elsewhere", path("link")))
	must(t, os.Chtimes(path("sub"), time.Time{}, time.Unix(1e9, 0)))
	want := dir(r.read("dir", seen))
	for i := range want.Entries {
		if want.Entries[i].Name == "sub" {
			want.Entries[i] = old.Entries[slices.IndexFunc(old.Entries, func(e catalog.Entry) bool { return e.Name == "sub" })]
		}
	}
	l, looked, err := look()
	if diff := cmp.Diff(want, dir(l, err)); diff != "" || looked != 3 {
		t.Errorf("%d looked at:\n%s", looked, diff)
	}
	must(t, os.Rename(filepath.Join(root, "dir"), filepath.Join(root, "was")))
	if l, _, err := look(); err != nil || !l.Unread || l.Path != "dir" {
		t.Errorf("of a directory that is gone: %+v, %v", l, err)
	}
	must(t, os.Mkdir(filepath.Join(root, "dir"), 0o755))
	if l, _, err := look(); err != nil || !l.Unread {
		t.Errorf("of another directory: %+v, %v", l, err)
	}
}
