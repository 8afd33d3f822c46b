//go:build integration

package differential

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"
	capability = "security.capability"
)

func notSymlink(e entry) bool { return !e.isSymlink() }

func chmod(w *world, entries []entry) error {
	e, err := w.pick(entries, notSymlink)
	if err != nil {
		return err
	}
	modes := []uint32{0, 0o444, 0o555, 0o644, 0o755, 0o600, 0o4755, 0o2755, 0o6711, 0o1777, 0o2070, 0o7777, 0o4000, 0o111}
	mode := modes[w.rng.IntN(len(modes))]
	w.note("chmod %o %q", mode, e.rel)
	return pathError("chmod", e.rel, unix.Chmod(w.path(e.rel), mode))
}

// chown clears set-id bits and capabilities; half of the time they are put back, as a package manager does.
func chown(w *world, entries []entry) error {
	e, err := w.pick(entries)
	if err != nil {
		return err
	}
	ids := []int64{0, 1, 1000, 65534, 100_000, 1<<31 - 1, 1<<32 - 2}
	uid, gid := int(ids[w.rng.IntN(len(ids))]), int(ids[w.rng.IntN(len(ids))])
	w.note("chown %d:%d %q", uid, gid, e.rel)
	attrs, err := readXattrs(w.path(e.rel))
	if err != nil {
		return err
	}
	if err := os.Lchown(w.path(e.rel), uid, gid); err != nil {
		return err
	}
	if e.isSymlink() || w.rng.IntN(2) == 0 {
		return nil
	}
	return w.restore(e, attrs)
}

func (w *world) restore(e entry, attrs []xattr) error {
	for _, a := range attrs {
		if err := unix.Lsetxattr(w.path(e.rel), a.name, a.value, 0); err != nil {
			return pathError("lsetxattr "+a.name, e.rel, err)
		}
	}
	return pathError("chmod", e.rel, unix.Chmod(w.path(e.rel), e.stat.Mode&0o7777))
}

// setACL sets an access ACL, or a default ACL on a directory, whose new entries then inherit it.
func setACL(w *world, entries []entry) error {
	e, err := w.pick(entries, notSymlink)
	if err != nil {
		return err
	}
	name := accessACL
	if e.isDir() && w.rng.IntN(2) == 0 {
		name = defaultACL
	}
	w.note("set %s of %q", name, e.rel)
	return pathError("lsetxattr "+name, e.rel, unix.Lsetxattr(w.path(e.rel), name, w.drawACL(), 0))
}

// drawACL encodes what linux/posix_acl_xattr.h describes: a version, then tag, permissions and id of each entry in the
// order of tags and ids.
func (w *world) drawACL() []byte {
	type ace struct {
		tag, perm uint16
		id        uint32
	}
	const none = 1<<32 - 1
	perm := func() uint16 { return uint16(w.rng.IntN(8)) }
	list := []ace{{0x01, perm(), none}, {0x04, perm(), none}, {0x10, perm(), none}, {0x20, perm(), none}}
	for i := range 1 + w.rng.IntN(4) {
		list = append(list, ace{[]uint16{0x02, 0x08}[w.rng.IntN(2)], perm(), uint32(1000 + i*77_777)})
	}
	slices.SortFunc(list, func(a, b ace) int { return cmp.Or(cmp.Compare(a.tag, b.tag), cmp.Compare(a.id, b.id)) })
	data := binary.LittleEndian.AppendUint32(nil, 2)
	for _, a := range list {
		data = binary.LittleEndian.AppendUint16(data, a.tag)
		data = binary.LittleEndian.AppendUint16(data, a.perm)
		data = binary.LittleEndian.AppendUint32(data, a.id)
	}
	return data
}

// setAttribute sets a user or trusted attribute; the kernel allows user ones on files and directories only.
func setAttribute(w *world, entries []entry) error {
	e, err := w.pick(entries)
	if err != nil {
		return err
	}
	space := "trusted."
	if (e.isFile() || e.isDir()) && w.rng.IntN(3) > 0 {
		space = "user."
	}
	name := fmt.Sprintf("%sa%d", space, w.rng.IntN(4))
	if w.rng.IntN(8) == 0 {
		name = space + strings.Repeat("é\n", 60)
	}
	sizes := []int{0, 1, 31, 32, 33, 500, 2500}
	w.note("set %q of %q", name, e.rel)
	return pathError("lsetxattr "+name, e.rel, unix.Lsetxattr(w.path(e.rel), name, w.content(sizes[w.rng.IntN(len(sizes))]), 0))
}

func setCapability(w *world, entries []entry) error {
	e, err := w.pick(entries, entry.isFile)
	if err != nil {
		return err
	}
	w.note("setcap %q", e.rel)
	return pathError("lsetxattr "+capability, e.rel, unix.Lsetxattr(w.path(e.rel), capability, w.drawCapability(), 0))
}

// drawCapability encodes struct vfs_cap_data of linux/capability.h, revision 2.
func (w *world) drawCapability() []byte {
	data := binary.LittleEndian.AppendUint32(nil, 0x02000000|uint32(w.rng.IntN(2)))
	data = binary.LittleEndian.AppendUint32(data, 1<<w.rng.IntN(31))
	return append(data, make([]byte, 12)...)
}

func removeAttributes(w *world, entries []entry) error {
	e, err := w.pick(entries)
	if err != nil {
		return err
	}
	attrs, err := readXattrs(w.path(e.rel))
	if err != nil {
		return err
	}
	for _, a := range attrs {
		if w.rng.IntN(2) == 0 {
			w.note("remove %q of %q", a.name, e.rel)
			if err := unix.Lremovexattr(w.path(e.rel), a.name); err != nil && !errors.Is(err, unix.ENODATA) {
				return pathError("lremovexattr "+a.name, e.rel, err)
			}
		}
	}
	return nil
}

// editUnderAttributes changes the content of a file that keeps its set-id bits and capability: the kernel drops the
// capability at the first write, at the destination too.
func editUnderAttributes(w *world, entries []entry) error {
	e, err := w.pick(entries, hasData)
	if err != nil {
		return err
	}
	attrs, err := readXattrs(w.path(e.rel))
	if err != nil {
		return err
	}
	if len(attrs) == 0 {
		attrs = []xattr{{capability, w.drawCapability()}}
	}
	if err := w.editFile(e); err != nil {
		return err
	}
	return w.restore(e, attrs)
}
