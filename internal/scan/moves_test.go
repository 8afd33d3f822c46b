package scan

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

// moved runs a comparison of two states of a tree and returns what moved, and which files are doubtful for that.
func moved(t *testing.T, old, now []catalog.Dir, unsettled ...catalog.Unsettled) ([]Move, []string) {
	t.Helper()
	data := encode(t, old, unsettled...)
	known, err := catalog.NewReader(bytes.NewReader(data), int64(len(data)))
	must(t, err)
	c, err := newComparer(known, catalog.NewWriter(&bytes.Buffer{}, testHeader(), known))
	must(t, err)
	compareAll(t, c, now)
	moves, doubtful, err := c.moves.find(c)
	must(t, err)
	slices.Sort(doubtful)
	return moves, doubtful
}

// of names an inode: a file, or a directory if the name ends in a slash.
func of(name string, inode uint64, change ...func(e *catalog.Entry)) catalog.Entry {
	e := catalog.Entry{Name: name, FS: "ef53-1", Inode: inode, Birth: catalog.Time{Sec: 5, Nsec: 5}, Change: catalog.Time{Sec: 7, Nsec: 7}, Modify: catalog.Time{Sec: 6, Nsec: 6}, Size: 10, Mode: unix.S_IFREG | 0o644, Links: 1}
	if name[len(name)-1] == '/' {
		e.Name, e.Mode, e.Links = name[:len(name)-1], unix.S_IFDIR|0o755, 2
	}
	for _, do := range change {
		do(&e)
	}
	return e
}

func touched(e *catalog.Entry)     { e.Change.Sec++ }
func larger(e *catalog.Entry)      { e.Size++; e.Change.Sec++ }
func twoNames(e *catalog.Entry)    { e.Links = 2 }
func noBirth(e *catalog.Entry)     { e.Birth = catalog.Time{} }
func justBorn(e *catalog.Entry)    { e.Birth = testHeader().Started }
func shut(e *catalog.Entry)        { e.Closed = true }
func elsewhere(e *catalog.Entry)   { e.FS = "ef53-2" }
func madeUp(e *catalog.Entry)      { e.FS = untrusted }
func aLink(e *catalog.Entry)       { e.Mode = unix.S_IFLNK | 0o777 }
func bornAnother(e *catalog.Entry) { e.Birth.Nsec++ }

func TestFieldMoves(t *testing.T) {
	d := func(path string, entries ...catalog.Entry) catalog.Dir {
		return catalog.Dir{Path: path, Entries: entries}
	}
	all := func(dirs ...catalog.Dir) []catalog.Dir { return dirs }
	for name, tt := range map[string]struct {
		old, now  []catalog.Dir
		unsettled []catalog.Unsettled
		moves     []Move
		doubts    []string
	}{
		"nothing":         {old: all(d(".", of("a", 1))), now: all(d(".", of("a", 1)))},
		"a file":          {all(d(".", of("a", 1))), all(d(".", of("b", 1, touched))), nil, []Move{{From: "a", To: "b"}}, []string{"b"}},
		"one that grew":   {all(d(".", of("a", 1))), all(d(".", of("b", 1, larger))), nil, []Move{{From: "a", To: "b"}}, nil},
		"another inode":   {old: all(d(".", of("a", 1))), now: all(d(".", of("b", 2)))},
		"another birth":   {old: all(d(".", of("a", 1))), now: all(d(".", of("b", 1, bornAnother)))},
		"another kind":    {old: all(d(".", of("a", 1))), now: all(d(".", of("b", 1, aLink)))},
		"now a directory": {old: all(d(".", of("a", 1))), now: all(d(".", of("b/", 1)), d("b"))},
		"was not entered": {old: all(d(".", of("a/", 1, shut))), now: all(d(".", of("b/", 1)), d("b"))},
		"another disk":    {old: all(d(".", of("a", 1))), now: all(d(".", of("b", 1, elsewhere)))},
		"untrusted disk":  {old: all(d(".", of("a", 1, madeUp))), now: all(d(".", of("b", 1, madeUp)))},
		"no birth":        {old: all(d(".", of("a", 1, noBirth))), now: all(d(".", of("b", 1, noBirth)))},
		"born since":      {old: all(d(".", of("a", 1, justBorn))), now: all(d(".", of("b", 1, justBorn)))},
		"two names":       {old: all(d(".", of("a", 1, twoNames))), now: all(d(".", of("b", 1, twoNames)))},
		"had two names":   {old: all(d(".", of("a", 1, twoNames), of("b", 1, twoNames))), now: all(d(".", of("c", 1, touched)))},
		"not entered":     {old: all(d(".", of("a/", 1, shut))), now: all(d(".", of("b/", 1, shut)))},
		"still there":     {old: all(d(".", of("a/", 1), of("x", 9)), d("a")), now: all(d(".", of("a/", 1), of("b/", 1)), d("a"), d("b"))},
		"at two places now": {
			old: all(d(".", of("a/", 1)), d("a")), now: all(d(".", of("b/", 1), of("c/", 1)), d("b"), d("c")),
		},
		"at two places before": {
			old: all(d(".", of("a/", 1), of("b/", 1)), d("a"), d("b")), now: all(d(".", of("c/", 1)), d("c")),
		},
		"a directory, with what is in it": {
			all(d(".", of("a/", 1)), d("a", of("f", 2), of("g", 3), of("s/", 4)), d("a/s", of("h", 5))),
			all(d(".", of("b/", 1, touched)), d("b", of("f", 2), of("g", 3), of("s/", 4)), d("b/s", of("h", 5))),
			nil, []Move{{"a", "b", true}}, nil,
		},
		"what is in it was written to": {
			all(d(".", of("a/", 1)), d("a", of("f", 2), of("g", 3), of("s/", 4)), d("a/s", of("h", 5))),
			all(d(".", of("b/", 1, touched)), d("b", of("f", 2, touched), of("g", 3, larger), of("s/", 4)), d("b/s", of("h", 5, touched))),
			nil, []Move{{"a", "b", true}}, []string{"b/f", "b/s/h"},
		},
		"other files under the names in it": {
			all(d(".", of("a/", 1)), d("a", of("f", 2), of("s/", 4)), d("a/s", of("h", 5))),
			all(d(".", of("b/", 1, touched)), d("b", of("f", 22), of("s/", 44)), d("b/s", of("h", 55))),
			nil, []Move{{"a", "b", true}}, []string{"b/f", "b/s/h"},
		},
		"turned inside out": {
			all(d(".", of("a/", 1)), d("a", of("b/", 2), of("f", 3)), d("a/b", of("g", 4))),
			all(d(".", of("b/", 2, touched)), d("b", of("a/", 1, touched), of("g", 4)), d("b/a", of("f", 3))),
			nil, []Move{{"a/b", "b", true}, {"a", "b/a", true}}, nil,
		},
		"back under its name, in another directory of that name": {
			all(d(".", of("a/", 1)), d("a", of("f", 2))),
			all(d(".", of("a/", 9, justBorn), of("b/", 1, touched)), d("a", of("f", 2, touched)), d("b")),
			nil, []Move{{"a/f", "a/f", false}, {"a", "b", true}}, []string{"a/f"},
		},
		"may have been elsewhere meanwhile": {
			all(d(".", of("a/", 1), of("c/", 7)), d("a", of("f", 2), of("s/", 3)), d("a/s", of("g", 4)), d("c", of("h", 8))),
			all(d(".", of("b/", 1, touched), of("s/", 3, touched), of("x/", 7, touched)), d("b", of("f", 2)), d("s", of("g", 4)), d("x", of("h", 8))),
			[]catalog.Unsettled{{Path: "a", Deep: true}}, []Move{{"c", "x", true}}, nil,
		},
		"in something that may have been": {
			all(d(".", of("a/", 1)), d("a", of("s/", 3)), d("a/s", of("g", 4))),
			all(d(".", of("b/", 1, touched)), d("b", of("s/", 3)), d("b/s", of("g", 4))),
			[]catalog.Unsettled{{Path: "a/s", Deep: true}}, []Move{{"a", "b", true}}, []string{"b/s/g"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			moves, doubts := moved(t, tt.old, tt.now, tt.unsettled...)
			if diff := cmp.Diff(tt.moves, moves); diff != "" {
				t.Errorf("moves:\n%s", diff)
			}
			if diff := cmp.Diff(tt.doubts, doubts); diff != "" {
				t.Errorf("doubts:\n%s", diff)
			}
		})
	}
}

// Beyond what can be remembered nothing moves, and nothing is forgotten of what is listed.
func TestFieldTooManyMoves(t *testing.T) {
	m := newMoves(&catalog.Reader{Header: testHeader()})
	for i := range uint64(maxArrivals + 1) {
		m.arrive(".", of("x", i))
		m.depart(string(rune('a'+i)), of("y", i))
	}
	moves, doubts, err := m.find(nil)
	if !m.over || len(moves)+len(doubts) > 0 || err != nil {
		t.Errorf("%v, %v, %v", moves, doubts, err)
	}
}
