//go:build integration

package differential

import "os"

// splitLink gives one of several names an inode of its own: rsync -H --inplace is known to write wrong bytes when names
// that were one file part.
func splitLink(w *world, entries []entry) error {
	e, err := w.pick(entries, entry.isFile, entry.linked)
	if err != nil {
		return err
	}
	return w.split(e)
}

// splitAll parts all names of one file.
func splitAll(w *world, entries []entry) error {
	e, err := w.pick(entries, entry.isFile, entry.linked)
	if err != nil {
		return err
	}
	for _, other := range entries {
		if other.stat.Ino == e.stat.Ino {
			if err := w.split(other); err != nil {
				return err
			}
		}
	}
	return nil
}

// split replaces the name by a copy, which keeps everything, or gets other bytes of the same size, or another size.
func (w *world) split(e entry) error {
	temp := "split-" + w.tempName()
	if err := w.clone(e, temp); err != nil {
		return err
	}
	size := int(e.stat.Size)
	how := w.rng.IntN(4)
	w.note("split %q, way %d", e.rel, how)
	switch how {
	case 1, 2:
		if err := w.rewrite(temp, w.content(size), e); err != nil {
			return err
		}
	case 3:
		if err := w.rewrite(temp, w.content(w.size()), e); err != nil {
			return err
		}
	}
	return os.Rename(w.path(temp), w.path(e.rel))
}

func (w *world) tempName() string {
	w.names++
	return "temp" + string(rune('a'+w.names%26))
}

// relink makes one name a further name of another file.
func relink(w *world, entries []entry) error {
	a, err := w.pick(entries, notDir)
	if err != nil {
		return err
	}
	b, err := w.pick(entries, notDir, func(b entry) bool { return b.stat.Ino != a.stat.Ino })
	if err != nil {
		return err
	}
	w.note("ln -f %q %q", b.rel, a.rel)
	temp := w.path("relink-" + w.tempName())
	if err := os.Link(w.path(b.rel), temp); err != nil {
		return err
	}
	return os.Rename(temp, w.path(a.rel))
}
