// Turning names that are not where they were into differences.

package diff

import (
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/replay"
)

// match pairs every loose name, the surest relation first: the same file in the same directory, the same file
// elsewhere, another file of the same name, a file in a directory that was renamed at the source, an equal file of
// another name. The cost of each step is proportional to the number of names, not to that of possible pairs.
func (d *differ) match() error {
	a, b := sortedLinks(d.a.loose), sortedLinks(d.b.loose)
	if d.related {
		partnerDirs(a, b)
		if err := d.matchKept(a); err != nil {
			return err
		}
		if err := d.matchMoved(a, b); err != nil {
			return err
		}
	}
	if err := d.matchReplaced(a); err != nil {
		return err
	}
	if err := d.matchRenamedDirs(a, b); err != nil {
		return err
	}
	if err := d.matchCopied(a, b); err != nil {
		return err
	}
	for _, l := range unmatched(a) {
		d.report(facts.DiffRemoved, l, nil, nil)
	}
	for _, l := range unmatched(b) {
		d.report(facts.DiffAdded, nil, l, nil)
	}
	return nil
}

// sortedLinks returns each directory before its entries.
func sortedLinks(loose map[string]*diffLink) []*diffLink {
	links := make([]*diffLink, 0, len(loose))
	for _, p := range slices.Sorted(maps.Keys(loose)) {
		links = append(links, loose[p])
	}
	return links
}

func unmatched(links []*diffLink) []*diffLink {
	var left []*diffLink
	for _, l := range links {
		if !l.done {
			left = append(left, l)
		}
	}
	return left
}

func partnerDirs(a, b []*diffLink) {
	dirs := map[at.FileID]*diffLink{}
	for _, l := range b {
		if l.st.IsDir() && l.st.ID.Known() {
			dirs[l.st.ID] = l
		}
	}
	for _, l := range a {
		if other := dirs[l.st.ID]; l.st.IsDir() && other != nil {
			l.partner, other.partner = other, l
		}
	}
}

// translate returns the path on the other side that corresponds to p. There is none in a directory without a partner.
func translate(loose map[string]*diffLink, top, p string) (string, bool) {
	if p == top {
		return p, true
	}
	if l := loose[p]; l != nil {
		if l.partner == nil {
			return "", false
		}
		return l.partner.path, true
	}
	dir, ok := translate(loose, top, replay.ParentOf(p))
	return path.Join(dir, path.Base(p)), ok
}

// opposite is the loose name at the same path on the other side, if any. The top of a comparison has no parent in it.
func (d *differ) opposite(l *diffLink) *diffLink {
	place := l.path
	if l.path != d.inside {
		dir, ok := translate(d.a.loose, d.inside, replay.ParentOf(l.path))
		if !ok {
			return nil
		}
		place = path.Join(dir, path.Base(l.path))
	}
	if other := d.b.loose[place]; other != nil && !other.done {
		return other
	}
	return nil
}

// matchKept finds files that moved only with their directory.
func (d *differ) matchKept(a []*diffLink) error {
	for _, l := range a {
		other := d.opposite(l)
		if other == nil || other.st.ID != l.st.ID || !l.st.ID.Known() {
			continue
		}
		l.done, other.done = true, true
		if err := d.pair("", l, other, false); err != nil {
			return err
		}
	}
	return nil
}

// matchMoved pairs the names that a file has lost with those that it has gained.
func (d *differ) matchMoved(a, b []*diffLink) error {
	lost := newQueues()
	for _, l := range unmatched(a) {
		if l.st.ID.Known() {
			lost.add(l.st.ID, l.path, l)
		}
	}
	return d.pairUp(lost, unmatched(b), func(l *diffLink) (any, string) { return l.st.ID, l.path }, false)
}

// matchReplaced pairs different files of the same name, from the top: once two directories are paired, their entries
// have the same path.
func (d *differ) matchReplaced(a []*diffLink) error {
	for _, l := range unmatched(a) {
		other := d.opposite(l)
		if other == nil {
			continue
		}
		if l.st.IsDir() && other.st.IsDir() {
			l.partner, other.partner = other, l
		}
		l.done, other.done = true, true
		if err := d.pair("", l, other, false); err != nil {
			return err
		}
	}
	return nil
}

// copyKey is what a copy made by rsync has in common with the original, apart from the content.
type copyKey struct {
	size  int64
	mtime unix.StatxTimestamp
}

func keyOf(l *diffLink) copyKey { return copyKey{l.st.Size, l.st.MTime} }

type copies struct{ gone, come []*diffLink }

// matchCopied finds files that were renamed at the source: rsync has made a new file and removed the old one.
func (d *differ) matchCopied(a, b []*diffLink) error {
	groups := map[copyKey]*copies{}
	for _, l := range unmatched(a) {
		if !l.st.IsFile() {
			continue
		}
		if groups[keyOf(l)] == nil {
			groups[keyOf(l)] = &copies{}
		}
		groups[keyOf(l)].gone = append(groups[keyOf(l)].gone, l)
	}
	for _, l := range unmatched(b) {
		if g := groups[keyOf(l)]; l.st.IsFile() && g != nil {
			g.come = append(g.come, l)
		}
	}
	for _, g := range groups {
		if err := d.matchCopies(g); err != nil {
			return err
		}
	}
	return nil
}

// matchCopies pairs equal contents: the same base name first, then in order.
func (d *differ) matchCopies(g *copies) error {
	if len(g.come) == 0 {
		return nil
	}
	gone := newQueues()
	for _, l := range g.gone {
		sum, err := d.digest(d.a, l)
		if err == nil {
			gone.add(sum, path.Base(l.path), l)
		} else if err = d.skip(err); err != nil {
			return err
		}
	}
	sums := map[*diffLink][sha256.Size]byte{}
	var come []*diffLink
	for _, l := range g.come {
		sum, err := d.digest(d.b, l)
		if err == nil {
			sums[l] = sum
			come = append(come, l)
		} else if err = d.skip(err); err != nil {
			return err
		}
	}
	return d.pairUp(gone, come, func(l *diffLink) (any, string) { return sums[l], path.Base(l.path) }, true)
}

func (d *differ) digest(side *diffSide, l *diffLink) (sum [sha256.Size]byte, err error) {
	f, err := at.OpenPathInside(side.root, l.path, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return sum, err
	}
	hash := sha256.New()
	_, err = io.Copy(hash, contextReader{d.ctx, f})
	if err = errors.Join(err, f.Close()); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(hash.Sum(nil)), nil
}
