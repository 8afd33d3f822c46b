package scan

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

func TestRender(t *testing.T) {
	l := List{Dirs: []string{".", "a/b"}, Fresh: []string{"#new"}, Names: []string{"c/f", ";x"}}
	if got, want := string(l.Render()), "./\x00./a/b/\x00./#new/\x00./c/f\x00./;x\x00"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (List{}).Render(); len(got) != 0 {
		t.Errorf("an empty list: %q", got)
	}
}

func TestRestrict(t *testing.T) {
	l := List{
		Dirs:     []string{".", "kept", "cache/sub"},
		Fresh:    []string{"kept/new", "kept/new/a", "kept/new/cache", "kept/new/cache/x", "cache/new", "new"},
		Names:    []string{"kept/f", "cache/f", "kept/new/a/linked", "kept/new/cache/linked", "top", "unlisted/g"},
		Doubtful: []string{"kept/f", "cache/f"},
		Looked:   100, Listed: 20,
	}
	had := func(dir string) (bool, error) { return dir == "." || dir == "kept" || dir == "unlisted", nil }
	included := func(dir string) bool { return dir != "kept/new/cache" }
	got, err := l.Restrict(had, included)
	if err != nil {
		t.Fatal(err)
	}
	want := List{
		Dirs: []string{".", "kept"}, Fresh: []string{"kept/new", "kept/new/a", "new"},
		Names: []string{"kept/f", "kept/new/a/linked", "top", "unlisted/g"}, Doubtful: []string{"kept/f"}, Looked: 100, Listed: 20,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	broken := errors.New("broken")
	if _, err := l.Restrict(func(string) (bool, error) { return false, broken }, included); !errors.Is(err, broken) {
		t.Errorf("an error is lost: %v", err)
	}
}

func TestListOfEverythingThatIsFresh(t *testing.T) {
	l := List{Fresh: []string{".", "a"}}
	got, err := l.Restrict(func(string) (bool, error) { return false, nil }, func(string) bool { return true })
	if err != nil || !slices.Equal(got.Fresh, l.Fresh) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTooLong(t *testing.T) {
	files := func(n int, links uint32) catalog.Dir {
		d := catalog.Dir{Path: "d"}
		for i := range n {
			d.Entries = append(d.Entries, catalog.Entry{Name: fmt.Sprintf("%08d", i), Inode: uint64(i), Mode: unix.S_IFREG, Links: links})
		}
		return d
	}
	for _, tt := range []struct {
		name string
		add  func(b *builder)
		long bool
	}{
		{"as many directories as may be", func(b *builder) {
			b.total = 1 << 20
			for i := range maxListed {
				b.addDir(catalog.Dir{Path: fmt.Sprint(i)}, false)
			}
		}, false},
		{"one more", func(b *builder) {
			b.total = 1 << 20
			for i := range maxListed + 1 {
				b.addDir(catalog.Dir{Path: fmt.Sprint(i)}, false)
			}
		}, true},
		{"too many links", func(b *builder) { b.total = 1 << 20; b.addDir(files(maxListed+1, 2), false) }, true},
		{"most of the tree", func(b *builder) { b.total = 2000; b.addDir(files(1600, 1), false) }, true},
		{"half of the tree", func(b *builder) { b.total = 3200; b.addDir(files(1600, 1), false) }, false},
		{"most of a small tree", func(b *builder) { b.total = 900; b.addDir(files(900, 1), false) }, false},
	} {
		b := newBuilder()
		tt.add(b)
		if why := b.tooMuch(); (why != "") != tt.long {
			t.Errorf("%s: %q", tt.name, why)
		}
		if l := b.list(); b.long && !l.Empty() {
			t.Errorf("%s: and a list: %+v", tt.name, l)
		}
	}
}

func TestPathsThatMustStayTheSame(t *testing.T) {
	l := List{Dirs: []string{"a/b"}, Fresh: []string{"new/x"}, Names: []string{"c/d/f", "top"}}
	want := map[string]bool{".": true, "a": true, "a/b": true, "new": true, "new/x": true, "c": true, "c/d": true}
	if diff := cmp.Diff(want, l.ways()); diff != "" {
		t.Error(diff)
	}
}
