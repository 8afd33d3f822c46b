package changed

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// world makes a tree; two of them differ in inode numbers and ctimes alone.
func world(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	at := time.Unix(1_700_000_000, 123)
	for _, path := range []string{"d/e/file", "d/other", "alone", "a", "c"} {
		path = filepath.Join(dir, path)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte("content"), 0o644))
	}
	must(t, os.Link(dir+"/a", dir+"/b"))
	must(t, os.Link(dir+"/c", dir+"/d/c2"))
	must(t, os.Symlink("alone", dir+"/link"))
	must(t, unix.Setxattr(dir+"/alone", "user.x", []byte("1"), 0))
	settle(t, dir, at)
	return dir
}

// settle gives everything one time.
func settle(t *testing.T, dir string, at time.Time) {
	t.Helper()
	var paths []string
	must(t, filepath.Walk(dir, func(path string, _ os.FileInfo, err error) error {
		paths = append(paths, path)
		return err
	}))
	times := []unix.Timespec{unix.NsecToTimespec(at.UnixNano()), unix.NsecToTimespec(at.UnixNano())}
	for _, path := range paths {
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func compare(t *testing.T, base, work string, part *Part) string {
	t.Helper()
	b, err := os.Open(base)
	must(t, err)
	defer b.Close()
	w, err := os.Open(work)
	must(t, err)
	defer w.Close()
	return Compare(context.Background(), b, w, part)
}

func TestCompare(t *testing.T) {
	t.Parallel()
	when := time.Unix(1_700_000_000, 123)
	relink := func(t *testing.T, dir, name, to string) {
		must(t, os.Remove(dir+"/"+name))
		must(t, os.Link(dir+"/"+to, dir+"/"+name))
	}
	whole := &Part{Dirs: []string{".", "d", "d/e"}}
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, dir string)
		want   string // in what is found
		keep   bool   // the times that the change made
	}{
		{name: "nothing", change: func(*testing.T, string) {}},
		{name: "content", want: `"alone" has another content`, change: func(t *testing.T, dir string) {
			must(t, os.WriteFile(dir+"/alone", []byte("CONTENT"), 0o644))
		}},
		{name: "size", want: "size", change: func(t *testing.T, dir string) { must(t, os.Truncate(dir+"/d/e/file", 3)) }},
		{name: "mode", want: "mode", change: func(t *testing.T, dir string) { must(t, os.Chmod(dir+"/d/e", 0o700)) }},
		{name: "root's mode", want: "mode", change: func(t *testing.T, dir string) { must(t, os.Chmod(dir, 0o711)) }},
		{name: "time", want: "time", keep: true, change: func(t *testing.T, dir string) {
			must(t, os.Chtimes(dir+"/alone", when, when.Add(1)))
		}},
		{name: "attribute", want: "attributes", change: func(t *testing.T, dir string) {
			must(t, unix.Setxattr(dir+"/alone", "user.x", []byte("2"), 0))
		}},
		{name: "target", want: "content", change: func(t *testing.T, dir string) {
			must(t, os.Remove(dir+"/link"))
			must(t, os.Symlink("other", dir+"/link"))
		}},
		{name: "type", want: "type", change: func(t *testing.T, dir string) {
			must(t, os.Remove(dir+"/link"))
			must(t, os.WriteFile(dir+"/link", nil, 0o644))
		}},
		{name: "new name", want: "number of names", change: func(t *testing.T, dir string) {
			must(t, os.WriteFile(dir+"/d/new", nil, 0o644))
		}},
		{name: "gone", want: "name", change: func(t *testing.T, dir string) { must(t, os.Remove(dir+"/d/e/file")) }},
		{name: "another name", want: "name", change: func(t *testing.T, dir string) {
			must(t, os.Rename(dir+"/d/e/file", dir+"/d/e/File"))
		}},
		{name: "two names become two files", want: "set of names", change: func(t *testing.T, dir string) {
			must(t, os.Remove(dir+"/b"))
			must(t, os.WriteFile(dir+"/b", []byte("content"), 0o644))
		}},
		{name: "two files become one", want: "set of names", change: func(t *testing.T, dir string) {
			relink(t, dir, "d/other", "d/e/file")
		}},
		{name: "names change partners", want: "set of names", change: func(t *testing.T, dir string) {
			relink(t, dir, "b", "c")
			relink(t, dir, "d/c2", "a")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			base, work := world(t), world(t)
			tt.change(t, work)
			if !tt.keep {
				settle(t, work, when)
			}
			for _, part := range []*Part{nil, whole} {
				if got := compare(t, base, work, part); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
					t.Errorf("found %q, want %q", got, tt.want)
				}
			}
		})
	}
}

func TestCompareListed(t *testing.T) {
	t.Parallel()
	base, work := world(t), world(t)
	must(t, os.Chmod(work+"/alone", 0o600))
	for _, tt := range []struct {
		part Part
		want bool
	}{
		{Part{}, false},
		{Part{Dirs: []string{"d"}, Names: []string{"a", "b", "nowhere"}}, false},
		{Part{Names: []string{"alone"}}, true},
		{Part{Dirs: []string{"."}}, true},
	} {
		if got := compare(t, base, work, &tt.part); (got != "") != tt.want {
			t.Errorf("%+v: found %q", tt.part, got)
		}
	}
}

func TestDiffers(t *testing.T) {
	t.Parallel()
	when := time.Unix(1_700_000_000, 123)
	for _, tt := range []struct {
		name   string
		change func(work string) error
		want   string
		keep   bool // the times that the change made
		names  []string
	}{
		{name: "nothing", change: func(string) error { return nil }},
		{name: "another content of that size and time", change: func(work string) error { return os.WriteFile(work+"/d/e/file", []byte("CONTENT"), 0o644) }},
		{name: "size", want: "size", change: func(work string) error { return os.Truncate(work+"/d/e/file", 3) }},
		{name: "time", want: "time", keep: true, change: func(work string) error { return os.Chtimes(work+"/d/e/file", when, when.Add(1)) }},
		{name: "mode of the directory", want: "mode", change: func(work string) error { return os.Chmod(work+"/d/e", 0o700) }},
		{name: "mode of one above", want: "mode", change: func(work string) error { return os.Chmod(work+"/d", 0o700) }},
		{name: "attribute", want: "attributes", change: func(work string) error { return unix.Setxattr(work+"/alone", "user.x", []byte("2"), 0) }},
		{name: "target", want: "content", change: func(work string) error {
			return errors.Join(os.Remove(work+"/link"), os.Symlink("other", work+"/link"))
		}},
		{name: "new name", want: "number of names", change: func(work string) error { return os.Mkdir(work+"/d/e/new", 0o755) }},
		{name: "gone", want: "number of names", change: func(work string) error { return os.Remove(work + "/d/e/file") }},
		{name: "another name", want: "name", change: func(work string) error { return os.Rename(work+"/d/e/file", work+"/d/e/File") }},
		{name: "no such directory", want: "number of names", change: func(work string) error { return os.RemoveAll(work + "/d/e") }},
		{name: "several names", want: "set of names", names: []string{"b"}, change: func(string) error { return nil }},
		{name: "what neither has", want: "cannot be compared", names: []string{"nowhere"}, change: func(string) error { return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			source, work := world(t), world(t)
			must(t, tt.change(work))
			if !tt.keep {
				settle(t, work, when)
			}
			s, err := os.Open(source)
			must(t, err)
			defer s.Close()
			w, err := os.Open(work)
			must(t, err)
			defer w.Close()
			got := Differs(t.Context(), s, w, &Part{Dirs: []string{"d/e"}, Names: append(tt.names, "d", "alone", "link")})
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}
