package scan

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

// scanned runs a comparison of two states of a tree, the first as the catalog of the last backup.
func scanned(t *testing.T, old []catalog.Dir, now []catalog.Dir, unsettled ...catalog.Unsettled) List {
	t.Helper()
	return scannedAfter(t, encode(t, old, unsettled...), now)
}

// scannedAfter is what is listed after the catalog data.
func scannedAfter(t *testing.T, data []byte, now []catalog.Dir) List {
	t.Helper()
	known, err := catalog.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var written bytes.Buffer
	c, err := newComparer(known, catalog.NewWriter(&written, testHeader(), known))
	if err != nil {
		t.Fatal(err)
	}
	compareAll(t, c, now)
	l := c.list.list()
	if l.Empty() && written.Len() > 0 {
		t.Error("nothing is listed, and a catalog is written")
	}
	_, err = c.to.Finish(nil, nil)
	must(t, err)
	again, err := catalog.NewReader(bytes.NewReader(written.Bytes()), int64(written.Len()))
	must(t, err)
	if got := readAll(t, again); !reflect.DeepEqual(now, got) { // which takes far less time than cmp.Diff
		if diff := cmp.Diff(now, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("the new catalog: %s", diff)
		}
	}
	return l
}

// compareAll shows c the whole tree.
func compareAll(t *testing.T, c *comparer, now []catalog.Dir) {
	t.Helper()
	compareBelow(t, c, testHeader(), now)
}

func compareBelow(t *testing.T, c *comparer, top catalog.Header, now []catalog.Dir) {
	t.Helper()
	marks, self := map[string]mark{".": c.top(top)}, selves(now)
	for _, d := range now {
		e := self[d.Path]
		subs, below, err := c.show(listingOf(d, e.Base()), e, marks[d.Path])
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range subs {
			marks[catalog.Join(d.Path, e.Name)] = below[i]
		}
	}
	if err := c.rest(); err != nil {
		t.Fatal(err)
	}
}

// kinds are an entry of each kind, all of them long unchanged.
func kinds() []catalog.Entry {
	e := catalog.Entry{Name: "x", FS: "ef53-1", Inode: 12, Birth: catalog.Time{Sec: 5, Nsec: 5}, Change: catalog.Time{Sec: 7, Nsec: 7}, Modify: catalog.Time{Sec: 6, Nsec: 6}, Size: 10, Mode: unix.S_IFREG | 0o644, Links: 1}
	link, node, dir, closed := e, e, e, e
	link.Mode, link.Target = unix.S_IFLNK|0o777, 99
	node.Mode, node.Device = unix.S_IFCHR|0o600, 259
	dir.Mode = unix.S_IFDIR | 0o755
	closed.Mode, closed.Closed = dir.Mode, true
	return []catalog.Entry{e, link, node, dir, closed}
}

// tree is a root with ten files beside e, and e's directory if it is one.
func tree(e catalog.Entry) []catalog.Dir {
	top := catalog.Dir{Path: "."}
	for name := range strings.FieldsSeq("a b c d e f g h i j") {
		top.Entries = append(top.Entries, catalog.Entry{Name: name, FS: "ef53-1", Inode: uint64(name[0]), Mode: unix.S_IFREG, Links: 1})
	}
	top.Entries = append(top.Entries, e)
	dirs := []catalog.Dir{top}
	if e.IsOpen() {
		dirs = append(dirs, catalog.Dir{Path: e.Name})
	}
	return dirs
}

// TestEveryFieldIsCompared changes one field after the other, whatever fields an entry will have: each must be noticed.
func TestEveryFieldIsCompared(t *testing.T) {
	for _, e := range kinds() {
		data := encode(t, tree(e))
		if l := scannedAfter(t, data, tree(e)); !l.Empty() {
			t.Fatalf("unchanged, and listed: %+v", l)
		}
		v := reflect.ValueOf(e)
		for i := range v.NumField() {
			for _, other := range others(v.Field(i)) {
				changed := e
				reflect.ValueOf(&changed).Elem().Field(i).Set(other)
				if changed.Closed && !changed.IsDir() {
					continue // there is none
				}
				if scannedAfter(t, data, tree(changed)).Empty() || scanned(t, tree(changed), tree(e)).Empty() {
					t.Fatalf("%s of %#v is not compared with %v", v.Type().Field(i).Name, e, other)
				}
			}
		}
	}
}

// others are values near to v, each of which must differ from it.
func others(v reflect.Value) []reflect.Value {
	var all []reflect.Value
	add := func(set func(reflect.Value)) {
		other := reflect.New(v.Type()).Elem()
		other.Set(v)
		set(other)
		all = append(all, other)
	}
	switch v.Kind() {
	case reflect.String:
		add(func(o reflect.Value) { o.SetString(v.String() + "y") })
	case reflect.Uint64, reflect.Uint32:
		for bit := range v.Type().Bits() {
			add(func(o reflect.Value) { o.SetUint(v.Uint() ^ 1<<bit) })
		}
	case reflect.Bool:
		add(func(o reflect.Value) { o.SetBool(!v.Bool()) })
	case reflect.Struct:
		add(func(o reflect.Value) { o.Field(0).SetInt(v.Field(0).Int() + 1) })
		add(func(o reflect.Value) { o.Field(0).SetInt(v.Field(0).Int() - 1) })
		add(func(o reflect.Value) { o.Field(1).SetUint(v.Field(1).Uint() + 1) })
		add(func(o reflect.Value) { o.Field(1).SetUint(v.Field(1).Uint() - 1) })
	default:
		panic("a field of a new kind: say what is near to it")
	}
	return all
}

// What is listed for what happened. The catalog was made at second 1e9+10.
func TestWhatIsListed(t *testing.T) {
	file := func(name string, n uint64) catalog.Entry {
		return catalog.Entry{Name: name, FS: "ef53-1", Inode: n, Change: catalog.Time{Sec: 5, Nsec: 5}, Modify: catalog.Time{Sec: 5, Nsec: 5}, Mode: unix.S_IFREG | 0o644, Links: 1}
	}
	dir := func(name string, n uint64) catalog.Entry {
		e := file(name, n)
		e.Mode = unix.S_IFDIR | 0o755
		return e
	}
	newer := func(e catalog.Entry) catalog.Entry { e.Change.Nsec++; return e }
	rewritten := func(e catalog.Entry) catalog.Entry { e = newer(e); e.Modify.Nsec++; return e }
	mounted := func(e catalog.Entry) catalog.Entry { e.Closed = true; return e }
	many := func(n int) []catalog.Entry {
		var all []catalog.Entry
		for i := range n {
			all = append(all, file(string(rune('a'+i)), uint64(100+i)))
		}
		return all
	}
	base := []catalog.Dir{{Path: ".", Entries: []catalog.Entry{dir("d", 10), dir("e", 11), file("f", 12)}}, {Path: "d", Entries: many(10)}, {Path: "e", Entries: []catalog.Entry{dir("sub", 20)}}, {Path: "e/sub"}}
	with := func(change func(tree []catalog.Dir) []catalog.Dir) []catalog.Dir {
		var copied []catalog.Dir
		for _, d := range base {
			d.Entries = slices.Clone(d.Entries)
			copied = append(copied, d)
		}
		return change(copied)
	}
	for _, tt := range []struct {
		name      string
		unsettled []catalog.Unsettled
		old, now  []catalog.Dir
		want      List
	}{
		{name: "nothing", old: base, now: base},
		{name: "a file among many, rewritten", old: base, now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[1].Entries[3] = rewritten(tr[1].Entries[3])
			return tr
		}), want: List{Names: []string{"d/d"}}},
		{name: "a file that has a new ctime and nothing to explain it", old: base, now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[1].Entries[3] = newer(tr[1].Entries[3])
			return tr
		}), want: List{Names: []string{"d/d"}, Doubtful: []string{"d/d"}}},
		{name: "chmod does not explain a new ctime alone", old: base, now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[1].Entries[3] = newer(tr[1].Entries[3])
			tr[1].Entries[3].Mode ^= 1
			return tr
		}), want: List{Names: []string{"d/d"}, Doubtful: []string{"d/d"}}},
		{name: "another file of the same size and time", old: base, now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[1].Entries[3].Inode, tr[1].Entries[3].Mode = 999, unix.S_IFREG
			return tr
		}), want: List{Names: []string{"d/d"}, Doubtful: []string{"d/d"}}},
		{name: "half of a directory", old: base, now: with(func(tr []catalog.Dir) []catalog.Dir {
			for i := range 5 {
				tr[1].Entries[i] = rewritten(tr[1].Entries[i])
			}
			return tr
		}), want: List{Dirs: []string{"d"}}},
		{name: "a directory that changed", old: base, now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[0].Entries[1] = newer(tr[0].Entries[1])
			return tr
		}), want: List{Dirs: []string{"e"}}},
		{name: "a name that is gone, and nothing else tells", old: base, now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[1].Entries = slices.Delete(tr[1].Entries, 2, 3)
			return tr
		}), want: List{Dirs: []string{"d"}}},
		{name: "the last name is gone", old: base, now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[1].Entries = tr[1].Entries[:9]
			return tr
		}), want: List{Dirs: []string{"d"}}},
		{name: "a name that is new, and nothing else tells", old: base, now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[1].Entries = append(tr[1].Entries, file("zz", 99))
			return tr
		}), want: List{Dirs: []string{"d"}}},
		{name: "a directory replaced by another", old: base, now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[0].Entries[1].Inode = 77
			return tr
		}), want: List{Fresh: []string{"e", "e/sub"}}},
		{name: "a directory of the same inode that was born later", old: base, now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[0].Entries[1].Birth.Nsec++
			return tr
		}), want: List{Fresh: []string{"e", "e/sub"}}},
		{name: "a directory that came", old: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[0].Entries = slices.Delete(tr[0].Entries, 1, 2)
			return tr[:2]
		}), now: base, want: List{Dirs: []string{"."}, Fresh: []string{"e", "e/sub"}}},
		{name: "a directory that went", now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[0].Entries = slices.Delete(tr[0].Entries, 1, 2)
			return tr[:2]
		}), old: base, want: List{Dirs: []string{"."}}},
		{name: "a file became a directory", old: base, now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[0].Entries[2] = dir("f", 12)
			return append(tr, catalog.Dir{Path: "f"})
		}), want: List{Dirs: []string{"."}, Fresh: []string{"f"}}},
		{name: "a directory became a file", old: base, now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[0].Entries[1] = file("e", 11)
			return tr[:2]
		}), want: List{Dirs: []string{"."}}},
		{name: "something was mounted, and is not entered", old: base, now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[0].Entries[1] = mounted(tr[0].Entries[1])
			return tr[:2]
		}), want: List{Dirs: []string{"."}}},
		{name: "it is not mounted any more", now: base, old: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[0].Entries[1] = mounted(tr[0].Entries[1])
			return tr[:2]
		}), want: List{Fresh: []string{"e", "e/sub"}}},
		{name: "unsettled", old: base, now: base, unsettled: []catalog.Unsettled{{Path: "e"}}, want: List{Dirs: []string{"e"}}},
		{name: "unsettled and perhaps elsewhere", old: base, now: base, unsettled: []catalog.Unsettled{{Path: "e", Deep: true}}, want: List{Fresh: []string{"e", "e/sub"}}},
		{name: "the root, unsettled", old: base, now: base, unsettled: []catalog.Unsettled{{Path: "."}}, want: List{Dirs: []string{"."}}},
		{name: "the root, perhaps elsewhere", old: base, now: base, unsettled: []catalog.Unsettled{{Path: ".", Deep: true}}, want: List{Fresh: []string{".", "d", "e", "e/sub"}}},
		{name: "a directory that could not be read the last time", now: base, old: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[2] = catalog.Dir{Path: "e", Unread: true}
			return tr[:3]
		}), want: List{Fresh: []string{"e", "e/sub"}}},
		{name: "an empty directory that could not be read this time", old: base, now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[3].Unread = true
			return tr
		})},
		{name: "another directory that is alike", old: base, now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[0].Entries[1].Inode += 60
			tr[2].Entries[0].Inode += 60 // the numbers go on from those of the directory
			return tr
		}), want: List{Fresh: []string{"e", "e/sub"}}},
		{name: "changed right before the last walk, in whole seconds", old: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[1].Entries[3].Change = catalog.Time{Sec: 1e9 + 9, Nsec: 0}
			return tr
		}), now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[1].Entries[3].Change = catalog.Time{Sec: 1e9 + 9, Nsec: 0}
			return tr
		}), want: List{Names: []string{"d/d"}, Doubtful: []string{"d/d"}}},
		{name: "changed within a tick of the last walk, which may have been of a snapshot", old: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[1].Entries[3].Change = catalog.Time{Sec: 1e9 + 9, Nsec: 900000003}
			return tr
		}), now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[1].Entries[3].Change = catalog.Time{Sec: 1e9 + 9, Nsec: 900000003}
			return tr
		}), want: List{Names: []string{"d/d"}, Doubtful: []string{"d/d"}}},
		{name: "changed more than a tick before the last walk", old: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[1].Entries[3].Change = catalog.Time{Sec: 1e9 + 9, Nsec: 900000002}
			return tr
		}), now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[1].Entries[3].Change = catalog.Time{Sec: 1e9 + 9, Nsec: 900000002}
			return tr
		})},
		{name: "changed long enough before the last walk, in whole seconds", old: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[1].Entries[3].Change = catalog.Time{Sec: 1e9 + 8, Nsec: 0}
			return tr
		}), now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[1].Entries[3].Change = catalog.Time{Sec: 1e9 + 8, Nsec: 0}
			return tr
		})},
		{name: "the clock was ahead at the last walk", old: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[0].Entries[0].Change = catalog.Time{Sec: 1 << 40, Nsec: 0}
			return tr
		}), now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[0].Entries[0].Change = catalog.Time{Sec: 1 << 40, Nsec: 0}
			return tr
		}), want: List{Dirs: []string{"d"}}},
		{name: "another owner, and a ctime that is long past", old: base, now: with(func(tr []catalog.Dir) []catalog.Dir {
			tr[1].Entries[3].UID++
			return tr
		}), want: List{Names: []string{"d/d"}}},
		{name: "a filesystem that is not trusted", old: with(untrust), now: with(untrust), want: List{Fresh: []string{"d"}}},
		{name: "the same, changed right before the last walk", old: with(untrustRecent), now: with(untrustRecent), want: List{Fresh: []string{"d"}, Doubtful: []string{"d/d"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := scanned(t, tt.old, tt.now, tt.unsettled...)
			got.Looked, got.Listed = 0, 0
			if !slices.Equal(got.Dirs, tt.want.Dirs) || !slices.Equal(got.Fresh, tt.want.Fresh) || !slices.Equal(got.Names, tt.want.Names) || !slices.Equal(got.Doubtful, tt.want.Doubtful) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// untrustRecent has a change for which a trusted filesystem would have another ctime than for a later one.
func untrustRecent(tr []catalog.Dir) []catalog.Dir {
	tr[1].Entries[3].Change = catalog.Time{Sec: 1e9 + 9, Nsec: 900000002}
	return untrust(tr)
}

func untrust(tr []catalog.Dir) []catalog.Dir {
	tr[0].Entries[0].FS = untrusted + "65735546-1"
	for i := range tr[1].Entries {
		tr[1].Entries[i].FS = untrusted + "65735546-1"
	}
	return tr
}
