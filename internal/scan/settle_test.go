package scan

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

// What happens between the walk and the end of the transfer, and what is kept of it for the next time.
func TestSettle(t *testing.T) {
	rename := func(t *testing.T, from, to string) { t.Helper(); must(t, os.Rename(from, to)) }
	for _, tt := range []struct {
		name string
		list *List
		do   func(t *testing.T, root string)
		want []catalog.Unsettled
	}{
		{name: "nothing", do: func(*testing.T, string) {}},
		{name: "a new file", do: func(t *testing.T, root string) { must(t, os.WriteFile(root+"/a/b/new", nil, 0o644)) },
			want: []catalog.Unsettled{{Path: "a/b"}}},
		{name: "a new file at the top", do: func(t *testing.T, root string) { must(t, os.WriteFile(root+"/new", nil, 0o644)) },
			want: []catalog.Unsettled{{Path: "."}}},
		{name: "content alone", do: func(t *testing.T, root string) { must(t, os.WriteFile(root+"/a/b/f", []byte("x"), 0o644)) }},
		{name: "chmod of a directory", do: func(t *testing.T, root string) { must(t, os.Chmod(root+"/a/b", 0o700)) }, want: []catalog.Unsettled{{Path: "a/b"}}},
		{name: "moved away and back", do: func(t *testing.T, root string) {
			rename(t, root+"/a/b", root+"/away")
			rename(t, root+"/away", root+"/a/b")
		}, want: []catalog.Unsettled{{Path: "."}, {Path: "a", Deep: true}, {Path: "a/b", Deep: true}}},
		{name: "moved within a directory, and back", do: func(t *testing.T, root string) {
			rename(t, root+"/a/b", root+"/a/away")
			rename(t, root+"/a/away", root+"/a/b")
		}, want: []catalog.Unsettled{{Path: "a"}, {Path: "a/b", Deep: true}}},
		{name: "moved away", do: func(t *testing.T, root string) { rename(t, root+"/a/b", root+"/a/away") },
			want: []catalog.Unsettled{{Path: "a"}, {Path: "a/b", Deep: true}, {Path: "a/b/c", Deep: true}}},
		{name: "replaced", do: func(t *testing.T, root string) {
			rename(t, root+"/a/b/c", root+"/away")
			must(t, os.Mkdir(root+"/a/b/c", 0o755))
		}, want: []catalog.Unsettled{{Path: "."}, {Path: "a/b"}, {Path: "a/b/c", Deep: true}}},
		{name: "replaced by a file", do: func(t *testing.T, root string) {
			must(t, errors.Join(os.Remove(root+"/a/b/c"), os.WriteFile(root+"/a/b/c", nil, 0o644)))
		}, want: []catalog.Unsettled{{Path: "a/b"}, {Path: "a/b/c", Deep: true}}},
		{name: "replaced by a symlink to itself", do: func(t *testing.T, root string) {
			rename(t, root+"/a", root+"/real")
			must(t, os.Symlink("real", root+"/a"))
		}, want: []catalog.Unsettled{{Path: "."}, {Path: "a", Deep: true}, {Path: "a/b", Deep: true}, {Path: "a/b/c", Deep: true}}},
		{name: "the root moved away and back", do: func(t *testing.T, root string) {
			rename(t, root, root+"-away")
			rename(t, root+"-away", root)
		}, want: []catalog.Unsettled{{Path: ".", Deep: true}}},
		{name: "where nothing was listed", list: &List{Dirs: []string{"d"}}, do: func(t *testing.T, root string) {
			must(t, os.WriteFile(root+"/a/b/new", nil, 0o644))
		}},
		{name: "on the way to what was listed", list: &List{Names: []string{"a/b/c/f"}}, do: func(t *testing.T, root string) {
			rename(t, root+"/a/b", root+"/a/away")
			rename(t, root+"/a/away", root+"/a/b")
		}, want: []catalog.Unsettled{{Path: "a"}, {Path: "a/b", Deep: true}}},
		// Listed alone, "a" is looked for "b", which is not there, and all below it is deleted.
		{name: "in what was listed", list: &List{Dirs: []string{"a"}}, do: func(t *testing.T, root string) {
			rename(t, root+"/a/b", root+"/d/b")
			rename(t, root+"/d/b", root+"/a/b")
		}, want: []catalog.Unsettled{{Path: "a"}, {Path: "d"}, {Path: "a/b", Deep: true}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "src")
			for _, dir := range []string{"a/b/c", "d"} {
				must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
			}
			must(t, os.WriteFile(root+"/a/b/f", nil, 0o644))
			res, file := walkOnly(t, root, Options{}, nil)
			dir := openRoot(t, root)
			quiet()
			tt.do(t, root)
			unsettled, err := res.Settle(dir, tt.list)
			must(t, err)
			if diff := cmp.Diff(tt.want, unsettled); diff != "" {
				t.Error(diff)
			}
			known := finish(t, res, file, unsettled...)
			if len(known.Unsettled) != len(tt.want) {
				t.Errorf("the catalog says %v", known.Unsettled)
			}
		})
	}
}

func TestSettleGivesUp(t *testing.T) {
	root := t.TempDir()
	for i := range catalog.MaxUnsettled + 1 {
		must(t, os.Mkdir(filepath.Join(root, fmt.Sprint(i)), 0o755))
	}
	res, _ := walkOnly(t, root, Options{}, nil)
	quiet()
	for i := range catalog.MaxUnsettled + 1 {
		must(t, os.Chmod(filepath.Join(root, fmt.Sprint(i)), 0o700))
	}
	if _, err := res.Settle(openRoot(t, root), nil); !errors.Is(err, ErrUnfit) {
		t.Error(err)
	}
}
