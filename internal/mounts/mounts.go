// Mounts: the paths at which one directory can be seen. A bind mount, or a second mount of the filesystem, makes DEST
// visible at further paths. Only the kernel's table is read, because a stat on a mount of an unreachable host would
// hang.

package mounts

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// Table is /proc/self/mountinfo.
type Table []Mount

// Mount is one line of it.
type Mount struct {
	id, parent    uint64
	Device        string // major:minor of the filesystem, in decimal; one for all subvolumes of a btrfs
	root          string // what is mounted, as a path in the filesystem; of a btrfs from its top
	Point         string // where
	Kind          string // of filesystem: "btrfs"
	Source        string // what the filesystem calls its device: "/dev/sda", "host:/export", "tmpfs"
	ReadOnly      bool   // this mount
	SuperReadOnly bool   // the filesystem
	Unsummed      bool   // what is written to a btrfs has no checksums
	Compressed    bool   // new files of a btrfs are compressed where it helps
}

func Read() (Table, error) {
	const name = "/proc/self/mountinfo"
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	table, err := parseMounts(string(data))
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", name, err)
	}
	return table, nil
}

// parseMounts reads lines in the format of proc(5):
//
//	36 35 0:39 /sub /mnt\040two rw,noatime shared:1 - btrfs /dev/sda rw,ssd
//
// A root that was removed ends in "//deleted", which matches no path.
func parseMounts(text string) (Table, error) {
	var table Table
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" {
			continue
		}
		m, err := parseMount(line)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		table = append(table, m)
	}
	return table, nil
}

// parseMount splits at spaces only: a name may hold any other white space.
func parseMount(line string) (m Mount, err error) {
	before, after, ok := strings.Cut(line, " - ")
	fields, super := strings.Split(before, " "), strings.Split(after, " ")
	if !ok || len(fields) < 6 || len(super) < 3 {
		return m, errors.New("not a line of mountinfo")
	}
	if m.id, err = strconv.ParseUint(fields[0], 10, 64); err != nil {
		return m, err
	}
	if m.parent, err = strconv.ParseUint(fields[1], 10, 64); err != nil {
		return m, err
	}
	m.Device, m.root, m.Point = fields[2], unescapeOctal(fields[3]), unescapeOctal(fields[4])
	if !filepath.IsAbs(m.Point) {
		return m, errors.New("the mount point is not absolute")
	}
	m.Kind, m.Source = super[0], unescapeOctal(super[1])
	if m.Kind == "overlay" {
		m.Source += layers(super[2])
	}
	m.ReadOnly, m.SuperReadOnly = hasOption(fields[5], "ro"), hasOption(super[2], "ro")
	m.Unsummed = hasOption(super[2], "nodatasum") || hasOption(super[2], "nodatacow")
	m.Compressed = slices.ContainsFunc(strings.Split(super[2], ","), func(o string) bool { return strings.HasPrefix(o, "compress") })
	return m, nil
}

// layers are the options that identify an overlay: its source does not.
func layers(options string) string {
	var dirs []string
	for option := range strings.SplitSeq(options, ",") {
		if strings.HasPrefix(option, "lowerdir") || strings.HasPrefix(option, "upperdir=") {
			dirs = append(dirs, unescapeOctal(option))
		}
	}
	return strings.Join(append([]string{""}, dirs...), " ")
}

func hasOption(options, want string) bool { return slices.Contains(strings.Split(options, ","), want) }

// unescapeOctal reverses the kernel's escapes of space, tab, newline and backslash: \040 and so on.
func unescapeOctal(field string) string {
	if !strings.Contains(field, `\`) {
		return field
	}
	var b strings.Builder
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+4 <= len(field) {
			if c, err := strconv.ParseUint(field[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(field[i])
	}
	return b.String()
}

// at finds the mount that a path without symlinks is on. Each mount hides what is below its mount point. It is false if
// the table does not have it: in a chroot the mount of / is missing.
func (t Table) at(path string) (Mount, bool) {
	var on *Mount
	for range t { // each mount is entered once
		next := t.entered(on, path)
		if next == nil {
			break
		}
		on = next
	}
	if on == nil {
		return Mount{}, false
	}
	return *on, true
}

// entered is the mount that path enters first after on, or nil.
func (t Table) entered(on *Mount, path string) *Mount {
	var first *Mount
	for i := range t {
		m := &t[i]
		if !at.IsWithin(path, m.Point) || first != nil && len(m.Point) > len(first.Point) {
			continue
		}
		if on == nil && t.isTop(m) || on != nil && m.parent == on.id && m.id != on.id {
			first = m
		}
	}
	return first
}

// isTop reports a mount that is not below any other in the table.
func (t Table) isTop(m *Mount) bool {
	return m.parent == m.id || !slices.ContainsFunc(t, func(n Mount) bool { return n.id == m.parent })
}

// inside is path, which is on m, as a path in the filesystem of m.
func (m Mount) inside(path string) string {
	return filepath.Join(m.root, strings.TrimPrefix(path, m.Point))
}

// On is the mount that path, without symlinks, is on. It is false if the table does not have it.
func (t Table) On(path string) (Mount, bool) { return t.at(path) }

// PathsOf returns all paths at which the directory at path, which has no symlinks, is visible. ok is false if the table
// does not have it.
func (t Table) PathsOf(path string) (paths []string, ok bool) {
	m, ok := t.at(path)
	if !ok {
		return nil, false
	}
	inside := m.inside(path)
	for _, n := range t {
		if n.Device != m.Device || !at.IsWithin(inside, n.root) {
			continue
		}
		shown := filepath.Join(n.Point, strings.TrimPrefix(inside, n.root))
		if top, ok := t.at(shown); ok && top.id == n.id {
			paths = append(paths, shown)
		}
	}
	return paths, true
}

// Below is the path, relative to dir, at which the directory at path is visible through any mount: "." for dir itself.
// Both have no symlinks. It is false if it is not visible below dir, or the table does not have it.
func (t Table) Below(dir, path string) (rel string, ok bool) {
	d, ok := t.at(dir)
	if !ok {
		return "", false
	}
	m, ok := t.at(path)
	if !ok || m.Device != d.Device || !at.IsWithin(m.inside(path), d.inside(dir)) {
		return "", false
	}
	rel, err := filepath.Rel(d.inside(dir), m.inside(path))
	return rel, err == nil
}

// filesystemUUID is the UUID of the filesystem that dir is on, in mount m: in hexadecimal, lower case and without
// dashes. It is empty if there is none or the caller may not read it.
func filesystemUUID(dir *os.File, m Mount) string {
	if uuid, err := btrfs.FilesystemUUID(dir); err == nil && m.Kind == "btrfs" { // on older kernels too
		return uuidText(uuid[:])
	}
	if uuid, err := btrfs.FSUUID(dir); err == nil && slices.ContainsFunc(uuid, func(b byte) bool { return b != 0 }) {
		return uuidText(uuid)
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(m.Device, "%d:%d", &major, &minor); err != nil || major == 0 {
		return "" // no disk
	}
	for _, name := range []string{m.Source, fmt.Sprintf("/dev/block/%s", m.Device)} {
		if uuid := deviceUUID(name, unix.Mkdev(major, minor)); uuid != "" {
			return uuid
		}
	}
	return linkedUUID("/dev/disk/by-uuid", unix.Mkdev(major, minor))
}

// uuidText writes short ids, which are numbers, as blkid does.
func uuidText(uuid []byte) string {
	if len(uuid) < 16 {
		uuid = slices.Clone(uuid)
		slices.Reverse(uuid)
	}
	return hex.EncodeToString(uuid)
}

// deviceUUID reads the first blocks of the disk, which only root may.
func deviceUUID(name string, device uint64) string {
	var st unix.Stat_t
	if unix.Stat(name, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK || uint64(st.Rdev) != device {
		return ""
	}
	return imageUUID(name)
}

// imageUUID reads the first blocks of a disk, or of an image.
func imageUUID(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	blocks := make([]byte, superblocks)
	n, err := f.ReadAt(blocks, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	return superblockUUID(blocks[:n])
}

// linkedUUID finds udev's name for the disk, in dir.
func linkedUUID(dir string, device uint64) string {
	links, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	for _, link := range links {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(dir, link.Name()), &st) == nil && uint64(st.Rdev) == device {
			return strings.ToLower(strings.ReplaceAll(link.Name(), "-", ""))
		}
	}
	return ""
}

// superblocks is as much of a disk as superblockUUID looks at.
const superblocks = 1 << 20

// superblockUUID is pure. It identifies filesystems as libblkid does: by a magic number at one offset, with the UUID at
// another. squashfs has no UUID, but never changes: its superblock is used instead.
func superblockUUID(blocks []byte) string {
	for _, fs := range []struct {
		mark     string
		at       int
		uuid, of int // offset and length
	}{
		{"XFSB", 0, 32, 16},
		{"EXFAT   ", 3, 0x64, 4},
		{"NTFS    ", 3, 0x48, 8},
		{"\x53\xef", 1024 + 0x38, 1024 + 0x68, 16}, // ext2, ext3, ext4
		{"\x10\x20\xf5\xf2", 1024, 1024 + 108, 16}, // F2FS
		{"\xe2\xe1\xf5\xe0", 1024, 1024 + 48, 16},  // EROFS
		{"FAT32   ", 0x52, 0x43, 4},
		{"FAT", 0x36, 0x27, 4},
	} {
		if len(blocks) >= max(fs.at+len(fs.mark), fs.uuid+fs.of) && string(blocks[fs.at:fs.at+len(fs.mark)]) == fs.mark {
			return uuidText(blocks[fs.uuid : fs.uuid+fs.of])
		}
	}
	const isoHead = 32 << 10
	switch {
	case strings.HasPrefix(string(blocks[:min(4, len(blocks))]), "hsqs"):
		sum := sha256.Sum256(blocks)
		return hex.EncodeToString(sum[:16])
	case len(blocks) >= isoHead+829 && string(blocks[isoHead+1:isoHead+6]) == "CD001":
		return strings.ToLower(strings.ToValidUTF8(string(blocks[isoHead+813:isoHead+829]), ""))
	}
	return ""
}

// ReadMount is the zero value if /proc does not have it.
func ReadMount(dir *os.File) Mount {
	var st unix.Statx_t
	if err := unix.Statx(int(dir.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return Mount{}
	}
	table, err := Read()
	i := slices.IndexFunc(table, func(m Mount) bool { return m.id == st.Mnt_id })
	if err != nil || i < 0 {
		return Mount{}
	}
	return table[i]
}
