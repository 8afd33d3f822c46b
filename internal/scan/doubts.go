// Files whose content may have changed although their size and time have not.

package scan

import (
	"iter"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

// doubtful reports whether rsync would take a changed file for unchanged: it has the size and time of the file that had
// the name before, but is another file or has a new ctime. A new ctime with a new mode, owner or link does not exclude
// that data was written, too.
func (c *comparer) doubtful(old, now catalog.Entry) bool {
	if c.hasItsTime(old, now) || !old.IsFile() || !now.IsFile() || old.Size != now.Size || old.Modify != now.Modify {
		return false
	}
	// What was written through a mapping may have an old time.
	if !c.gens.written(now) && sameThing(old, now) && old.Change == now.Change {
		// It is listed only because it changed right before the last walk. It was read more than a tick later, unless
		// the clock of the filesystem ticks in seconds, or the snapshot that was read was made within the tick.
		return c.isWithinTick(now.Change)
	}
	return true
}

// hasItsTime reports a file of a filesystem that is not trusted, whose ctime is all that tells that it is unchanged. If
// nothing identifies the filesystem, and it was mounted again, a ctime of whole seconds tells nothing: programs that
// show an archive or an image invent it. Others show that of a file on a disk.
func (c *comparer) hasItsTime(old, now catalog.Entry) bool {
	same := old.FS == now.FS
	if was, _, ok := strings.Cut(old.FS, byInstance); ok && now.Change.Nsec != 0 {
		is, _, _ := strings.Cut(now.FS, byInstance)
		same = was == is
	}
	return !isTrusted(now.FS) && same && old.Change == now.Change && !c.isRacy(old)
}

// doubts returns the names of the doubtful files in a directory.
func (c *comparer) doubts(old, now catalog.Dir) (names []string) {
	for was, e := range byName(old, now) {
		if !c.unchanged(was, e) && c.doubtful(was, e) {
			names = append(names, e.Name)
		}
	}
	return names
}

// suspects returns the files in a directory that are not known to be those of the catalog, also by the directory.
func (c *comparer) suspects(old, now catalog.Dir, sameDir bool) (files []catalog.Entry) {
	for was, e := range byName(old, now) {
		if e.IsFile() && !(sameDir && c.unchanged(was, e)) && !(sameState(was, e) && c.hasItsTime(was, e)) {
			files = append(files, e)
		}
	}
	return files
}

// byName yields each entry of now after the one that had its name in old: the zero value, if it is new.
func byName(old, now catalog.Dir) iter.Seq2[catalog.Entry, catalog.Entry] {
	return func(yield func(was, e catalog.Entry) bool) {
		i := 0
		for _, e := range now.Entries {
			for i < len(old.Entries) && old.Entries[i].Name < e.Name {
				i++
			}
			var was catalog.Entry
			if i < len(old.Entries) && old.Entries[i].Name == e.Name {
				was = old.Entries[i]
			}
			if !yield(was, e) {
				return
			}
		}
	}
}

// below corrects the mark of a directory whose parent has another one. If both have changed since a run that was cut,
// the directory may have been elsewhere while that run copied its files; see settling.changed.
func (c *comparer) below(parent, m mark) mark {
	if c.cut && parent == markChanged && m == markChanged {
		return markFresh
	}
	return m
}
