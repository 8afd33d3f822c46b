package scan

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

// told are generations that say of the subvolume ef53-1 that these inodes, and directories, are newer.
func told(changed map[uint64]bool, dirs ...uint64) *Generations {
	s := &subvolume{changed: changed, dirs: map[uint64]bool{}}
	for _, inode := range dirs {
		s.dirs[inode] = true
	}
	return &Generations{met: map[string]*subvolume{"ef53-1": s}}
}

// asked compares as a walk does that asks g, and returns what it read besides, the list and the new catalog.
func asked(t *testing.T, g *Generations, trust bool, old, now []catalog.Dir, unsettled ...catalog.Unsettled) (read []string, c *comparer, written []catalog.Dir) {
	t.Helper()
	data := encode(t, old, unsettled...)
	known, err := catalog.NewReader(bytes.NewReader(data), int64(len(data)))
	must(t, err)
	var file bytes.Buffer
	c, err = newComparer(known, catalog.NewWriter(&file, testHeader(), known))
	must(t, err)
	c.gens, c.trust, c.racy, c.now = g, trust, racy, testHeader().Started
	find := func(path string, seen catalog.Entry) (catalog.Listing, error) {
		read = append(read, path)
		return listingOf(now[slices.IndexFunc(now, func(d catalog.Dir) bool { return d.Path == path })], seen.Base()), nil
	}
	c.read = find
	c.look = func(old catalog.Dir, seen catalog.Entry, newer func(catalog.Entry) bool) (catalog.Listing, int, error) {
		dir := now[slices.IndexFunc(now, func(d catalog.Dir) bool { return d.Path == old.Path })]
		d := catalog.Dir{Path: old.Path}
		for i, e := range old.Entries {
			if newer(e) {
				read, e = append(read, "only "+catalog.Join(old.Path, e.Name)), dir.Entries[i]
			}
			d.Entries = append(d.Entries, e)
		}
		return listingOf(d, seen.Base()), 1, nil
	}
	tasks := []*task{newTask(".", testHeader().Root, c.top(testHeader()))}
	for len(tasks) > 0 {
		next := tasks[len(tasks)-1]
		tasks = tasks[:len(tasks)-1]
		if !next.done {
			next.found, _ = find(next.path, next.seen)
		}
		subs, marks, err := c.show(next.found, next.seen, next.mark)
		must(t, err)
		var below []*task
		for i, e := range subs {
			below = append(below, newTask(catalog.Join(next.path, e.Name), e, marks[i]))
		}
		slices.Reverse(below)
		tasks = append(tasks, below...)
	}
	must(t, c.rest())
	_, err = c.to.Finish(nil, nil)
	must(t, err)
	again, err := catalog.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
	must(t, err)
	return read, c, readAll(t, again)
}

func TestFieldWhatGenerationsTell(t *testing.T) {
	d := func(path string, entries ...catalog.Entry) catalog.Dir {
		return catalog.Dir{Path: path, Entries: entries}
	}
	racing := func(e *catalog.Entry) { e.Change = testHeader().Started }
	old := []catalog.Dir{d(".", of("a/", 10), of("b/", 20), of("f", 3)), d("a", of("g", 11), of("s/", 12)), d("a/s", of("h", 13)), d("b", of("i", 21))}
	changed := func(dir int, entry int, do func(e *catalog.Entry)) []catalog.Dir {
		var all []catalog.Dir
		for _, one := range old {
			all = append(all, catalog.Dir{Path: one.Path, Entries: slices.Clone(one.Entries)})
		}
		do(&all[dir].Entries[entry])
		return all
	}
	const root = 2
	for name, tt := range map[string]struct {
		g         *Generations
		old, now  []catalog.Dir
		unsettled []catalog.Unsettled
		read      []string // not what its turn has come to without the catalog
		list      List
	}{
		"nothing":                       {g: told(nil), now: old},
		"nobody asked":                  {g: nil, now: old, read: []string{".", "a", "a/s", "b"}},
		"another subvolume":             {g: &Generations{met: map[string]*subvolume{"x": {}}}, now: old, read: []string{".", "a", "a/s", "b"}},
		"one of which nothing is known": {g: &Generations{met: map[string]*subvolume{"ef53-1": {unknown: true}}}, now: old, read: []string{".", "a", "a/s", "b"}},
		"a file":                        {g: told(map[uint64]bool{13: false}, 13, 12), now: changed(2, 0, larger), read: []string{"only a/s/h"}, list: List{Dirs: []string{"a/s"}}},
		"a file that was read":          {g: told(map[uint64]bool{13: false}, 13, 12), now: old, read: []string{"only a/s/h"}},
		"data under an old time":        {g: told(map[uint64]bool{13: true}, 13, 12), now: old, read: []string{"only a/s/h"}, list: List{Dirs: []string{"a/s"}, Doubtful: []string{"a/s/h"}}},
		"a directory":                   {g: told(map[uint64]bool{12: false}, 12, 10), now: changed(1, 1, touched), read: []string{"only a/s", "a/s"}, list: List{Dirs: []string{"a/s"}}},
		"the root":                      {g: told(map[uint64]bool{root: false}, root), now: old, read: []string{"."}},
		"unsettled":                     {g: told(nil), now: old, unsettled: []catalog.Unsettled{{Path: "b"}}, read: []string{"b"}, list: List{Dirs: []string{"b"}}},
		"unsettled, with all below":     {g: told(nil), now: old, unsettled: []catalog.Unsettled{{Path: "a", Deep: true}}, read: []string{"a", "a/s"}, list: List{Fresh: []string{"a", "a/s"}}},
		"just changed, and not again":   {g: told(nil), old: changed(3, 0, racing), now: changed(3, 0, racing)},
		"a directory, the same":         {g: told(nil), old: changed(0, 1, racing), now: changed(0, 1, racing)},
		"just changed, and touched":     {g: told(map[uint64]bool{21: false}, 21, 20), old: changed(3, 0, racing), now: changed(3, 0, racing), read: []string{"only b/i"}, list: List{Dirs: []string{"b"}, Doubtful: []string{"b/i"}}},
		"what is not entered": {
			g: told(nil), old: []catalog.Dir{d(".", of("a/", 10)), d("a", of("m/", 5, shut))}, now: []catalog.Dir{d(".", of("a/", 10)), d("a", of("m/", 5, shut, touched))},
			read: []string{"a"}, list: List{Dirs: []string{"a"}},
		},
		"another filesystem": {
			g: told(nil), old: []catalog.Dir{d(".", of("a/", 10)), d("a", of("m/", 5, elsewhere)), d("a/m")}, now: []catalog.Dir{d(".", of("a/", 10)), d("a", of("m/", 5, elsewhere, touched)), d("a/m")},
			read: []string{"a", "a/m"}, list: List{Dirs: []string{"a/m"}},
		},
		"another filesystem beside a file": {
			g:    told(map[uint64]bool{11: false}, 11, 10),
			old:  []catalog.Dir{d(".", of("a/", 10)), d("a", of("g", 11), of("m/", 5, elsewhere)), d("a/m")},
			now:  []catalog.Dir{d(".", of("a/", 10)), d("a", of("g", 11, larger), of("m/", 5, elsewhere, touched)), d("a/m")},
			read: []string{"a", "a/m"}, list: List{Dirs: []string{"a", "a/m"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.old == nil {
				tt.old = old
			}
			read, c, written := asked(t, tt.g, true, tt.old, tt.now, tt.unsettled...)
			if diff := cmp.Diff(tt.read, read); diff != "" {
				t.Errorf("read:\n%s", diff)
			}
			list := c.list.list()
			list.Looked, list.Listed = 0, 0
			if diff := cmp.Diff(tt.list, list); diff != "" {
				t.Errorf("list:\n%s", diff)
			}
			if !reflect.DeepEqual(written, tt.now) {
				t.Errorf("the catalog says %+v", written)
			}
			if len(c.missed) > 0 {
				t.Errorf("missed %q", c.missed)
			}
		})
	}
}

// A walk that reads everything notices what generations had not told.
func TestFieldWhatGenerationsDoNotTell(t *testing.T) {
	d := func(path string, entries ...catalog.Entry) catalog.Dir {
		return catalog.Dir{Path: path, Entries: entries}
	}
	old := []catalog.Dir{d(".", of("a/", 10), of("b/", 20)), d("a", of("g", 11)), d("b", of("h", 21), of("i", 22))}
	gone := []catalog.Dir{d(".", of("a/", 10), of("b/", 20)), d("a", of("g", 11)), d("b", of("i", 22))}
	other := []catalog.Dir{d(".", of("a/", 10), of("b/", 20)), d("a", of("g", 11, touched)), d("b", of("h", 21), of("i", 22))}
	later := func(e *catalog.Entry) { e.Change = catalog.Time{Sec: testHeader().Started.Sec + 1, Nsec: 0} }
	meanwhile := []catalog.Dir{d(".", of("a/", 10), of("b/", 20)), d("a", of("g", 11, later)), d("b", of("h", 21), of("i", 22))}
	for name, tt := range map[string]struct {
		g      *Generations
		now    []catalog.Dir
		missed []string
	}{
		"nothing":            {told(nil), old, nil},
		"a change":           {told(nil), other, []string{"a"}},
		"a name that went":   {told(nil), gone, []string{"b"}},
		"it was told":        {told(nil, 10), other, nil},
		"it came meanwhile":  {told(nil), meanwhile, nil},
		"it went meanwhile":  {told(nil), []catalog.Dir{d(".", of("a/", 10), of("b/", 20, later)), old[1], d("b", of("i", 22))}, nil},
		"nobody could tell":  {nil, other, nil},
		"nothing was known ": {&Generations{met: map[string]*subvolume{"ef53-1": {unknown: true}}}, other, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if _, c, _ := asked(t, tt.g, false, old, tt.now); !slices.Equal(c.missed, tt.missed) {
				t.Errorf("missed %q, want %q", c.missed, tt.missed)
			}
		})
	}
}
