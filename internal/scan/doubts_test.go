package scan

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

// Which files may be others than those that a run copied that was cut. All are directories d, with files, and d/sub.
func TestFieldWhatIsSuspected(t *testing.T) {
	const shown = untrusted + "65735546--" + byInstance
	entry := func(name, fs string, n uint64, mode uint32) catalog.Entry {
		return catalog.Entry{Name: name, FS: fs, Inode: n, Change: catalog.Time{Sec: 5, Nsec: 5}, Modify: catalog.Time{Sec: 5, Nsec: 5}, Mode: mode, Links: 1}
	}
	tree := func(fs string, change func(d, sub, file *catalog.Entry)) []catalog.Dir {
		d, sub, a, b, c := entry("d", fs, 10, unix.S_IFDIR), entry("sub", fs, 11, unix.S_IFDIR), entry("a", fs, 12, unix.S_IFREG), entry("b", fs, 13, unix.S_IFREG), entry("c", fs, 14, unix.S_IFREG)
		change(&d, &sub, &a)
		return []catalog.Dir{{Path: ".", Entries: []catalog.Entry{d}}, {Path: "d", Entries: []catalog.Entry{a, b, sub}}, {Path: "d/sub", Entries: []catalog.Entry{c}}}
	}
	same := func(_, _, _ *catalog.Entry) {}
	for name, tt := range map[string]struct {
		fs         string
		change     func(d, sub, file *catalog.Entry)
		top        func(h *catalog.Header)
		incomplete bool
		want       []string
	}{
		"nothing has changed":                   {change: same},
		"another file":                          {change: func(_, _, file *catalog.Entry) { file.Inode++ }, want: []string{"d/a"}},
		"a new ctime":                           {change: func(_, _, file *catalog.Entry) { file.Change.Nsec++ }, want: []string{"d/a"}},
		"a new file":                            {change: func(_, _, file *catalog.Entry) { file.Name = "aa" }, want: []string{"d/aa"}},
		"a symlink":                             {change: func(_, _, file *catalog.Entry) { file.Mode = unix.S_IFLNK }},
		"a directory has changed":               {change: func(d, _, _ *catalog.Entry) { d.Change.Nsec++ }},
		"so has the one in it":                  {change: func(d, sub, _ *catalog.Entry) { d.Change.Nsec++; sub.Change.Nsec++ }, want: []string{"d/sub/c"}},
		"only the one in it":                    {change: func(_, sub, _ *catalog.Entry) { sub.Change.Nsec++ }},
		"both, and the run was only incomplete": {incomplete: true, change: func(d, sub, _ *catalog.Entry) { d.Change.Nsec++; sub.Change.Nsec++ }},
		"another directory":                     {change: func(d, _, _ *catalog.Entry) { d.Inode++ }, want: []string{"d/a", "d/b", "d/sub/c"}},
		"SRC has changed":                       {change: same, top: func(h *catalog.Header) { h.Root.Change.Nsec++ }},
		"SRC and its parent have changed":       {change: same, top: func(h *catalog.Header) { h.Root.Change.Nsec++; h.Parent.Change.Sec++ }, want: []string{"d/a", "d/b", "d/sub/c"}},
		"SRC is /, and has changed":             {change: same, top: func(h *catalog.Header) { h.Root.Change.Nsec++; h.Parent = h.Root }},
		"the parent of SRC has changed":         {change: same, top: func(h *catalog.Header) { h.Parent.Change.Nsec++ }},
		"FUSE, unchanged":                       {fs: shown, change: same},
		"FUSE, a new ctime":                     {fs: shown, change: func(_, _, file *catalog.Entry) { file.Change.Nsec++ }, want: []string{"d/a"}},
		"FUSE, another size":                    {fs: shown, change: func(_, _, file *catalog.Entry) { file.Size++ }, want: []string{"d/a"}},
		"FUSE, mounted again":                   {fs: shown + "1", change: func(d, sub, file *catalog.Entry) { d.FS, sub.FS, file.FS = shown+"2", shown+"2", shown+"2" }},
		"FUSE, mounted again, whole seconds": {fs: shown + "1", change: func(d, sub, file *catalog.Entry) {
			d.FS, sub.FS, file.FS, file.Change.Nsec = shown+"2", shown+"2", shown+"2", 0
		}, want: []string{"d/a"}},
		"another FUSE": {fs: shown + "1", change: func(d, sub, file *catalog.Entry) {
			for _, e := range []*catalog.Entry{d, sub, file} {
				e.FS = untrusted + "65735546-2-" + byInstance + "1"
			}
		}, want: []string{"d/a"}},
		"FUSE, changed right before the cut run": {fs: shown, change: func(_, _, file *catalog.Entry) { file.Change = catalog.Time{Sec: 1e9 + 9, Nsec: 900000002} }, want: []string{"d/a"}},
	} {
		t.Run(name, func(t *testing.T) {
			fs := tt.fs
			if fs == "" {
				fs = "ef53-1"
			}
			old := tree(fs, same)
			switch name {
			case "FUSE, changed right before the cut run":
				old = tree(fs, tt.change)
			case "FUSE, mounted again, whole seconds":
				old = tree(fs, func(_, _, file *catalog.Entry) { file.Change.Nsec = 0 })
			}
			data := encode(t, old)
			known, err := catalog.NewReader(bytes.NewReader(data), int64(len(data)))
			must(t, err)
			h := testHeader()
			if tt.top != nil {
				tt.top(&h)
			}
			c, err := newComparer(known, catalog.NewWriter(io.Discard, h, known))
			must(t, err)
			var got []string
			c.cut = !tt.incomplete
			c.suspect = func(dir string, files []catalog.Entry) {
				for _, e := range files {
					got = append(got, catalog.Join(dir, e.Name))
				}
			}
			compareBelow(t, c, h, tree(fs, tt.change))
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}
