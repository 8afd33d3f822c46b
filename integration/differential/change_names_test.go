//go:build integration

package differential

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

func createFile(w *world, entries []entry) error {
	rel, err := w.free(entries)
	if err != nil {
		return err
	}
	return w.makeFile(rel)
}

func (w *world) makeFile(rel string) error {
	data := w.content(w.size())
	w.note("create %q, %d bytes", rel, len(data))
	modes := []os.FileMode{0o644, 0o600, 0o755, 0o444, 0o000, 0o555, 0o666}
	if err := os.WriteFile(w.path(rel), data, 0o600); err != nil {
		return err
	}
	if err := os.Chmod(w.path(rel), modes[w.rng.IntN(len(modes))]); err != nil {
		return err
	}
	return w.setTime(rel, w.drawTime())
}

func createDir(w *world, entries []entry) error {
	rel, err := w.free(entries)
	if err != nil {
		return err
	}
	w.note("mkdir %q", rel)
	return os.Mkdir(w.path(rel), 0o755)
}

// createDeep makes a chain of directories with long names, and a file at its end.
func createDeep(w *world, entries []entry) error {
	rel, err := w.free(entries)
	if err != nil {
		return err
	}
	for range 2 + w.rng.IntN(12) {
		if len(rel) > maxRel-300 {
			break
		}
		w.note("mkdir %q", rel)
		if err := os.Mkdir(w.path(rel), 0o755); err != nil {
			return err
		}
		rel = filepath.Join(rel, strings.Repeat("d", 1+w.rng.IntN(255)))
	}
	return w.makeFile(rel)
}

func createSymlink(w *world, entries []entry) error {
	rel, err := w.free(entries)
	if err != nil {
		return err
	}
	target, err := w.pick(entries)
	if err != nil {
		return err
	}
	return w.makeSymlink(rel, w.drawTarget(target.rel))
}

func (w *world) drawTarget(existing string) string {
	targets := []string{
		existing, "/etc/passwd", "../../../../nowhere", ".", "..", "/", "-n", "a\nb\xff", strings.Repeat("x/", 1000) + "y", w.path(existing),
	}
	return targets[w.rng.IntN(len(targets))]
}

func (w *world) makeSymlink(rel, target string) error {
	w.note("symlink %q", rel)
	return os.Symlink(target, w.path(rel))
}

func createNode(w *world, entries []entry) error {
	rel, err := w.free(entries)
	if err != nil {
		return err
	}
	return w.makeNode(rel)
}

func (w *world) makeNode(rel string) error {
	kinds := []uint32{unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFCHR, unix.S_IFBLK}
	kind := kinds[w.rng.IntN(len(kinds))]
	device := 0
	if kind == unix.S_IFCHR || kind == unix.S_IFBLK {
		// 0:0 is what an overlay calls a whiteout; minors beyond 255 need the wide encoding.
		device = int(unix.Mkdev(uint32(w.rng.IntN(4)*100), uint32(w.rng.IntN(3)*70_000)))
	}
	w.note("mknod %q, kind %o", rel, kind)
	return pathError("mknod", rel, unix.Mknod(w.path(rel), kind|0o640, device))
}

// copyFile makes a file of the same content, at times with the same mtime too, as cp -p does.
func copyFile(w *world, entries []entry) error {
	e, err := w.pick(entries, entry.isFile)
	if err != nil {
		return err
	}
	rel, err := w.free(entries)
	if err != nil {
		return err
	}
	w.note("cp %q %q", e.rel, rel)
	if err := w.clone(e, rel); err != nil {
		return err
	}
	if w.rng.IntN(2) == 0 {
		return nil
	}
	return w.setTime(rel, w.nextTime(e))
}

// clone is cp -p for content, mode, owner and mtime.
func (w *world) clone(e entry, rel string) error {
	data, err := os.ReadFile(w.path(e.rel))
	if err != nil {
		return err
	}
	if err := os.WriteFile(w.path(rel), data, 0o600); err != nil {
		return err
	}
	if err := os.Lchown(w.path(rel), int(e.stat.Uid), int(e.stat.Gid)); err != nil {
		return err
	}
	if err := unix.Chmod(w.path(rel), e.stat.Mode&0o7777); err != nil {
		return pathError("chmod", rel, err)
	}
	return w.setTime(rel, e.stat.Mtim)
}

func link(w *world, entries []entry) error {
	e, err := w.pick(entries, notDir)
	if err != nil {
		return err
	}
	rel, err := w.free(entries)
	if err != nil {
		return err
	}
	w.note("ln %q %q", e.rel, rel)
	return os.Link(w.path(e.rel), w.path(rel))
}

func rename(w *world, entries []entry) error {
	e, err := w.pick(entries, notDir)
	if err != nil {
		return err
	}
	rel, err := w.free(entries)
	if err != nil {
		return err
	}
	w.note("mv %q %q", e.rel, rel)
	return os.Rename(w.path(e.rel), w.path(rel))
}

func renameDir(w *world, entries []entry) error {
	e, err := w.pick(entries, entry.isDir, notRoot)
	if err != nil {
		return err
	}
	into, err := w.pick(entries, entry.isDir, func(d entry) bool { return !within(d.rel, e.rel) })
	if err != nil {
		return err
	}
	rel, err := w.freeIn(into.rel)
	if err != nil {
		return err
	}
	if longest(entries, e.rel)+len(rel) > maxRel {
		return errNothingFits
	}
	w.note("mv %q %q", e.rel, rel)
	return os.Rename(w.path(e.rel), w.path(rel))
}

func within(rel, dir string) bool { return rel == dir || strings.HasPrefix(rel, dir+"/") }

// longest returns the length of the longest path below dir, counted from there.
func longest(entries []entry, dir string) int {
	n := 0
	for _, e := range entries {
		if within(e.rel, dir) {
			n = max(n, len(e.rel)-len(dir))
		}
	}
	return n
}

func renameOver(w *world, entries []entry) error {
	from, err := w.pick(entries, notDir)
	if err != nil {
		return err
	}
	onto, err := w.pick(entries, notDir, func(e entry) bool { return e.rel != from.rel })
	if err != nil {
		return err
	}
	w.note("mv -f %q %q", from.rel, onto.rel)
	return os.Rename(w.path(from.rel), w.path(onto.rel))
}

// swap exchanges two names of any kind; files of one size are preferred, they look alike.
func swap(w *world, entries []entry) error {
	a, err := w.pick(entries, notRoot)
	if err != nil {
		return err
	}
	apart := func(b entry) bool { return !b.isRoot() && !within(a.rel, b.rel) && !within(b.rel, a.rel) }
	b, err := w.pick(entries, apart, func(b entry) bool { return b.kind() == a.kind() && b.stat.Size == a.stat.Size })
	if err != nil || w.rng.IntN(2) == 0 {
		if b, err = w.pick(entries, apart); err != nil {
			return err
		}
	}
	if longest(entries, a.rel)+len(b.rel) > maxRel || longest(entries, b.rel)+len(a.rel) > maxRel {
		return errNothingFits
	}
	w.note("swap %q %q", a.rel, b.rel)
	return pathError("renameat2", a.rel, unix.Renameat2(unix.AT_FDCWD, w.path(a.rel), unix.AT_FDCWD, w.path(b.rel), unix.RENAME_EXCHANGE))
}

func unlink(w *world, entries []entry) error {
	e, err := w.pick(entries, notDir)
	if err != nil {
		return err
	}
	w.note("rm %q", e.rel)
	return os.Remove(w.path(e.rel))
}

func removeDir(w *world, entries []entry) error {
	e, err := w.pick(entries, entry.isDir, notRoot)
	if err != nil {
		return err
	}
	w.note("rm -r %q", e.rel)
	return os.RemoveAll(w.path(e.rel))
}

// otherKind puts something of another kind under a name that exists.
func otherKind(w *world, entries []entry) error {
	e, err := w.pick(entries, notRoot)
	if err != nil {
		return err
	}
	w.note("rm -r %q", e.rel)
	if err := os.RemoveAll(w.path(e.rel)); err != nil {
		return err
	}
	switch w.rng.IntN(4) {
	case 0:
		return w.makeFile(e.rel)
	case 1:
		return w.makeSymlink(e.rel, w.drawTarget(e.rel))
	case 2:
		return w.makeNode(e.rel)
	}
	w.note("mkdir %q", e.rel)
	if err := os.Mkdir(w.path(e.rel), 0o700); err != nil {
		return err
	}
	for range w.rng.IntN(3) {
		rel, err := w.freeIn(e.rel)
		if err != nil {
			return err
		}
		if err := w.makeFile(rel); err != nil {
			return err
		}
	}
	return nil
}
