package scan

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

func testHeader() catalog.Header {
	top := catalog.Entry{Name: ".", FS: "ef53-1", Inode: 2, Mode: unix.S_IFDIR | 0o700, Change: catalog.Time{Sec: 1e9, Nsec: 7}, Links: 3}
	return catalog.Header{Source: "/src", Rules: []string{"--exclude=x", ""}, Started: catalog.Time{Sec: 1e9 + 10, Nsec: 3}, Root: top, Parent: top}
}

// encode is the catalog of these directories.
func encode(t testing.TB, dirs []catalog.Dir, unsettled ...catalog.Unsettled) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := catalog.NewWriter(&buf, testHeader(), nil)
	self := selves(dirs)
	for _, d := range dirs {
		e := self[d.Path]
		must(t, w.Add(listingOf(d, e.Base())))
	}
	_, err := w.Finish(unsettled, nil)
	must(t, err)
	return buf.Bytes()
}

// selves are the entries of directories, by path.
func selves(dirs []catalog.Dir) map[string]catalog.Entry {
	all := map[string]catalog.Entry{".": testHeader().Root}
	for _, d := range dirs {
		for _, e := range d.Entries {
			all[catalog.Join(d.Path, e.Name)] = e
		}
	}
	return all
}

// listingOf codes a directory with known entries.
func listingOf(d catalog.Dir, self catalog.Base) catalog.Listing {
	if d.Unread {
		return catalog.Listing{Path: d.Path, Unread: true}
	}
	var c catalog.Coder
	c.Begin(self)
	for i := range d.Entries {
		c.Add(&d.Entries[i])
	}
	return c.End(d.Path)
}
