//go:build integration

package scan

import (
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

// noticing are the tests that take little time.
const noticing = "Field|Listed|Settle$|Restrict|Render|TestWalk|Torn|Hostile"

// TestMutations breaks each comparison of the scan in turn, and lets other tests of this package notice it. What none
// of them notices could be wrong, and a change be missed.
func TestMutations(t *testing.T) {
	testbin.WantNoticed(t, ".", noticing, []testbin.Mutation{
		// What counts as unchanged.
		{"compare.go", "return isTrusted(now.FS) && old.FS", "return old.FS"},
		{"compare.go", "old.FS == now.FS && ", ""},
		{"compare.go", "old.Inode == now.Inode && ", ""},
		{"compare.go", "old.Birth == now.Birth &&", ""},
		{"compare.go", " && old.Closed == now.Closed", ""},
		{"compare.go", "return old.Change == now.Change && ", "return "},
		{"compare.go", "old.Modify == now.Modify && old.Size == now.Size && old.Mode == now.Mode &&\n\t\told.UID", "old.Size == now.Size && old.Mode == now.Mode &&\n\t\told.UID"},
		{"compare.go", "old.Size == now.Size && old.Mode == now.Mode &&\n\t\told.UID", "old.Mode == now.Mode &&\n\t\told.UID"},
		{"compare.go", "old.Size == now.Size && old.Mode == now.Mode &&\n\t\told.UID", "old.Size == now.Size &&\n\t\told.UID"},
		{"compare.go", "\t\told.UID == now.UID && old.GID == now.GID && old.Links == now.Links && old.Device", "\t\told.GID == now.GID && old.Links == now.Links && old.Device"},
		{"compare.go", "old.GID == now.GID && old.Links == now.Links && old.Device", "old.Links == now.Links && old.Device"},
		{"compare.go", "old.Links == now.Links && old.Device == now.Device", "old.Device == now.Device"},
		{"compare.go", "old.Device == now.Device && ", ""},
		{"compare.go", " && old.Target == now.Target", ""},
		{"compare.go", " && !(c.isRacy(old) && c.gens.touched(now))", ""},
		{"recent.go", "started.Sec - c.racy", "started.Sec + c.racy"},
		{"recent.go", "return t.Nsec == 0 || ", "return "},
		{"recent.go", "c.isRecent(old.Change) && (", "("},
		{"recent.go", " || c.isWithinTick(old.Change))", ")"},
		{"recent.go", "(!isTrusted(old.FS) || c.", "(c."},
		{"recent.go", " || !t.Before(c.known.Header.Started.Minus(tick))", ""},
		{"recent.go", "t.Nsec == 0 || !t.Before(c.known.Header.Started.Minus(tick))", "true"},
		// What need not be decoded.
		{"compare.go", "return m == markKnown && !l.Unread", "return !l.Unread"},
		{"compare.go", "return m == markKnown && !l.Unread", "return m == markKnown"},
		{"compare.go", " && !l.Apart &&", " &&"},
		{"compare.go", " && c.gens == nil &&", " &&"},
		{"compare.go", " && len(c.known.Unsettled) == 0 &&", " &&"},
		{"compare.go", "!c.isRecent(l.Youngest) && ", ""},
		{"compare.go", "l.Youngest) && bytes.Equal(l.Code, c.known.Now.Code)", "l.Youngest)"},
		{"../catalog/code.go", "if c.youngest.Before(e.Change) {", "if c.youngest == (Time{}) {"},
		{"../catalog/code.go", "c.apart || e.FS != c.self.fs", "c.apart"},
		{"compare.go", "if found && !l.Unread && bytes.Equal(l.Code, c.known.Now.Code)", "if found && !l.Unread"},
		{"compare.go", "if found && !l.Unread && bytes.Equal(l.Code, c.known.Now.Code)", "if found && bytes.Equal(l.Code, c.known.Now.Code)"},
		// What happens to a directory.
		{"compare.go", "case !sameThing(old, now) || u.Deep:", "case !sameThing(old, now):"},
		{"compare.go", "case !sameThing(old, now) || u.Deep:", "case u.Deep:"},
		{"compare.go", "case unsettled || !c.unchanged(old, now):", "case !c.unchanged(old, now):"},
		{"compare.go", "case unsettled || !c.unchanged(old, now):", "case unsettled:"},
		{"compare.go", "&& c.known.Now.Path == path && !c.known.Now.Unread, nil", "&& c.known.Now.Path == path, nil"},
		{"compare.go", "if m == markFresh || !found {", "if !found {"},
		{"compare.go", "marks = append(marks, markFresh)", "marks = append(marks, markKnown)"},
		{"compare.go", "whole := m == markChanged", "whole := false"},
		{"compare.go", "whole, changed = true, true // not there any more", "changed = true"},
		{"compare.go", "\t\twhole = whole || e.IsDir() || e.Kind() != was.Kind()\n", ""},
		{"compare.go", "\t\twhole, changed = true, true\n", "\t\tchanged = true\n"},
		{"compare.go", "\tcase len(names) > 0:\n\t\tc.list.addNames(now, names)\n", ""},
		// What rsync is to compare by content.
		{"doubts.go", "(now) && sameThing(old, now) && old.Change == now.Change {", "(now) && old.Change == now.Change {"},
		{"doubts.go", "return c.isWithinTick(now.Change)", "return false"},
		{"doubts.go", "return c.isWithinTick(now.Change)", "return true"},
		{"../catalog/entry.go", "Time{t.Sec - 1, t.Nsec + 1_000_000_000 - nsec}", "Time{t.Sec, t.Nsec}"},
		{"doubts.go", "isWithinTick(now.Change)\n\t}\n\treturn true\n", "isWithinTick(now.Change)\n\t}\n\treturn false\n"},
		{"compare.go", "c.list.addDoubts(d.Path, c.doubts(old, d))", "_ = old"},
		// What a cut run may have copied of other files.
		{"doubts.go", "parent == markChanged && m == markChanged", "m == markChanged"},
		{"doubts.go", "parent == markChanged && m == markChanged", "parent == markChanged"},
		{"doubts.go", "c.suspect != nil && parent == markChanged && m == markChanged", "false"},
		{"doubts.go", "old.FS == now.FS && old.Change == now.Change && !c.isRacy(old)", "old.Change == now.Change && !c.isRacy(old)"},
		{"doubts.go", "old.FS == now.FS && old.Change == now.Change && !c.isRacy(old)", "old.FS == now.FS && old.Change == now.Change"},
		{"doubts.go", "!(sameDir && c.unchanged(was, e))", "!c.unchanged(was, e)"},
		{"doubts.go", " && !(sameState(was, e) && c.hasItsTime(was, e))", ""},
		{"doubts.go", "sameState(was, e) && c.hasItsTime(was, e)", "c.hasItsTime(was, e)"},
		{"doubts.go", "if e.IsFile() && !(sameDir", "if !(sameDir"},
		{"compare.go", "found && m != markFresh)", "found)"},
		{"compare.go", "\t\tm = c.below(markChanged, m)\n", ""},
		{"compare.go", "if !settled(h.Parent, now.Parent) && ", "if "},
		{"compare.go", " && !settled(now.Root, now.Parent) {", " {"},
		// The list.
		{"list.go", "d.Path)\n\tfor _, e := range d.Entries {\n\t\tb.touch(e)\n", "d.Path)\n\tfor _, e := range d.Entries {\n\t\t_ = e\n"},
		{"list.go", "known[dir] = in && included(dir)", "known[dir] = in"},
		{"list.go", "known[dir] = in && included(dir)", "known[dir] = included(dir)"},
		{"list.go", "if kept.Dirs, err = keep(l.Dirs, func(path string) string { return path })", "if kept.Dirs, err = l.Dirs, nil"},
		{"list.go", "if kept.Names, err = keep(l.Names, catalog.Parent)", "if kept.Names, err = l.Names, nil"},
		{"list.go", "text = append(text, \"./\"...)\n\t\tif dir", "if dir"},
		{"list.go", "text = append(append(text, dir...), '/')", "text = append(text, dir...)"},
		// What may have been elsewhere.
		{"settle.go", "moved := !settled(h.Parent, up); !settled(h.Root, now)", "moved := up.Links > 1<<30; !settled(h.Root, now)"},
		{"settle.go", "moved := !settled(h.Parent, up); !settled(h.Root, now)", "moved := !settled(h.Parent, up); now.Links > 1<<30"},
		{"settle.go", "walked.Inode == now.Inode && walked.Birth == now.Birth && walked.Change == now.Change && ", ""},
		{"settle.go", "case !settled(e, now):", "case false:"},
		{"settle.go", "s.add(catalog.Join(d.Path, e.Name), s.changed[d.Path])", "s.add(catalog.Join(d.Path, e.Name), false)"},
		{"settle.go", "\ts.changed[path] = true\n", ""},
		// What btrfs tells.
		{"compare.go", "case c.trust && c.gens.untouched(now):", "case c.trust:"},
		{"compare.go", "case c.trust && c.gens.untouched(now):", "case c.gens.untouched(now):"},
		{"compare.go", "case c.trust && !c.gens.touched(now):", "case c.trust:"},
		{"compare.go", "case c.trust && !c.gens.touched(now):", "case !c.gens.touched(now):"},
		{"compare.go", "case m == markFew && covered:", "case m == markFew:"},
		{"compare.go", "!(c.isRacy(old) && c.gens.touched(now))", "!c.isRacy(old)"},
		{"compare.go", " && !c.gens.written(now)", ""},
		{"doubts.go", "if !c.gens.written(now) && ", "if "},
		{"compare.go", "found && !bordersOn(old, seen.FS) && ", "found && "},
		{"compare.go", "return e.Closed || e.FS != fs", "return e.Closed"},
		{"compare.go", "return e.Closed || e.FS != fs", "return e.FS != fs"},
		{"compare.go", "c.markOf(e, e, u, unsettled)", "c.markOf(e, e, u, unsettled && false)"},
		{"compare.go", "c.markOf(e, e, u, unsettled)", "c.markOf(e, e, catalog.Unsettled{Path: u.Path}, unsettled)"},
		{"compare.go", "if changed && c.gens.untouched(seen) && ", "if changed && "},
		{"compare.go", "c.gens.untouched(seen) && seen.Change.Before(c.now) && ", "c.gens.untouched(seen) && "},
		{"compare.go", "c.gens.untouched(seen) && seen.Change.Before(c.now) && ", "false && "},
		{"compare.go", "if before := was; e.Change.Before(c.now) {", "if before := was; e.Change.Before(c.now) || true {"},
		{"generation.go", "return s != nil && !s.dirs[e.Inode]", "return s != nil"},
		{"generation.go", "s != nil && !s.unknown {", "s != nil {"},
		{"generation.go", "return s != nil && s.changed[e.Inode]", "return s != nil"},
		{"generation.go", "\tif s == nil {\n\t\treturn true\n\t}\n", "\tif s == nil {\n\t\treturn false\n\t}\n"},
		// What moved.
		{"moves.go", "isTrusted(e.FS) && e.Birth != catalog.Time{} && (", "e.Birth != catalog.Time{} && ("},
		{"moves.go", "isTrusted(e.FS) && e.Birth != catalog.Time{} && (", "isTrusted(e.FS) && ("},
		{"moves.go", "e.IsOpen() || e.IsFile() && e.Links == 1)", "e.IsDir() || e.IsFile() && e.Links == 1)"},
		{"moves.go", "e.IsFile() && e.Links == 1)", "e.IsFile())"},
		{"moves.go", "return identity{e.FS, e.Inode, e.Birth, e.Kind()}", "return identity{\"\", e.Inode, e.Birth, e.Kind()}"},
		{"moves.go", "return identity{e.FS, e.Inode, e.Birth, e.Kind()}", "return identity{e.FS, 0, e.Birth, e.Kind()}"},
		{"moves.go", "return identity{e.FS, e.Inode, e.Birth, e.Kind()}", "return identity{e.FS, e.Inode, catalog.Time{}, e.Kind()}"},
		{"moves.go", "return identity{e.FS, e.Inode, e.Birth, e.Kind()}", "return identity{e.FS, e.Inode, e.Birth, 0}"},
		{"moves.go", "other.twice, a.twice = true, true", "_ = other"},
		{"moves.go", "a.twice = a.twice || a.from != \"\"", "_ = a.twice"},
		{"moves.go", "a.from != m.unmoved(a) && m.hasDeparted(a.from)", "a.from != m.unmoved(a)"},
		{"moves.go", "a.from != m.unmoved(a) && m.hasDeparted(a.from)", "m.hasDeparted(a.from)"},
		{"moves.go", "\tif deep {\n\t\treturn\n\t}\n", ""},
		{"moves.go", "|| unsettled[catalog.Join(d.Path, e.Name)].Deep", ""},
		{"moves.go", "a.now.Size == a.old.Size && a.now.Modify == a.old.Modify {", "false {"},
		{"moves.go", "(deep || !c.unchanged", "(!c.unchanged"},
		{"moves.go", "!c.unchanged(e, a.now) && c.doubtful(e, a.now))", "false)"},
		{"moves.go", "for up := path; up != \"\" && up != \".\"; up = catalog.Parent(up) {\n\t\tif now", "for up := path; up == path; up = catalog.Parent(up) {\n\t\tif now"},
		{"compare.go", "\t\t\tc.moves.depart(old.Path, was)\n", ""},
		// The walk and the catalog.
		{"readdir.go", "self.Inode == seen.Inode && self.Birth == seen.Birth && fs.identity == seen.FS, nil", "(self.Inode == seen.Inode || true), nil"},
		{"readdir.go", "\t\tif newer(e) {", "\t\tif false {"},
		{"readdir.go", "\t\tif newer(e) {", "\t\tif true {"},
		{"readdir.go", "e.Target, err = hashLink(", "_, err = hashLink("},
		{"readdir.go", "Change: newTime(st.Ctime)", "Change: newTime(st.Mtime)"},
		{"scan.go", "\tif err := c.rest(); err != nil {\n\t\treturn nil, err\n\t}\n", ""},
		{"scan.go", "\tif err := c.list.addLinks(res.dirs); err != nil {\n\t\treturn nil, err\n\t}\n", ""},
		{"scan.go", "if !isTrusted(fs.identity) {", "if false {"},
	})
	testbin.WantNoticed(t, "../catalog", noticing, []testbin.Mutation{
		{"../catalog/reader.go", "string(r.sum.Sum(nil)) != string(r.want)", "false"},
		{"../catalog/code.go", "|| string(name) <= string(before) {", "{"},
	})
}
