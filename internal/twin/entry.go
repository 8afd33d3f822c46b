package twin

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
)

// Entry is the metadata of one name in a backup.
type Entry struct {
	Path   []byte    `json:"path"` // "." is the root
	Mode   uint32    `json:"mode"` // with the type
	UID    uint32    `json:"uid"`
	GID    uint32    `json:"gid"`
	MTime  [2]int64  `json:"mtime"` // seconds, nanoseconds
	Inode  uint64    `json:"inode"`
	Links  uint32    `json:"links"`
	Size   int64     `json:"size,omitempty"`   // of a regular file
	Device [2]uint32 `json:"device,omitempty"` // of a device node
	Target []byte    `json:"target,omitempty"` // of a symlink
	Xattrs []byte    `json:"xattrs,omitempty"` // SHA-256 of all, with the ACLs
	Flags  uint32    `json:"flags,omitempty"`  // of chattr(1)
	Names  int64     `json:"names,omitempty"`  // in a directory
	Layout
}

// Tree is the backup or its copy.
type Tree struct {
	root *os.File
	sums *dataSums
}

// NewTree is the tree with the root directory root.
func NewTree(root *os.File) (*Tree, error) {
	sums, err := openDataSums(root)
	return &Tree{root: root, sums: sums}, err
}

// open opens the entry at path for reading if that has no side effects, otherwise with O_PATH: no device or fifo is
// opened.
func (t *Tree) open(path string) (*os.File, at.Info, error) {
	f, err := at.OpenPathInside(t.root, path, placeOnly)
	if err != nil {
		return nil, at.Info{}, err
	}
	info, err := at.InfoOf(f, "")
	if err == nil && (info.IsFile() || info.IsDir()) {
		place := f
		f, err = at.Reopen(place)
		err = errors.Join(err, place.Close())
	}
	if err != nil && f != nil {
		err = errors.Join(err, f.Close())
	}
	return f, info, err
}

// placeOnly opens with O_PATH: a fifo does not block, and a device is not activated.
const placeOnly = unix.O_PATH

// Describe returns the entry at path.
func (t *Tree) Describe(path string) (Entry, error) {
	f, info, err := t.open(path)
	if err != nil {
		return Entry{}, err
	}
	e, err := t.describe(f, path, info)
	return e, errors.Join(err, f.Close())
}

// flagsCompared leaves out those of compression: the kernel sets one of its own on a file that did not become smaller,
// and the others follow an attribute.
const flagsCompared = btrfs.FlagNoCOW | btrfs.FlagSync | btrfs.FlagImmutable | btrfs.FlagAppend | btrfs.FlagNoDump | btrfs.FlagNoAtime | btrfs.FlagDirSync

func (t *Tree) describe(f *os.File, path string, info at.Info) (Entry, error) {
	e := Entry{
		Path: []byte(path), Mode: info.Mode, UID: info.UID, GID: info.GID, MTime: [2]int64{info.MTime.Sec, int64(info.MTime.Nsec)},
		Inode: info.ID.Inode, Links: info.Links, Size: info.FileSize(), Device: info.Device,
	}
	var err error
	if e.Xattrs, err = xattrs(f); err != nil {
		return e, err
	}
	switch info.Format() {
	case unix.S_IFLNK:
		target, err := at.Readlink(f, "")
		e.Target = []byte(target)
		return e, err
	case unix.S_IFREG:
		e.Layout, err = t.layout(f, info)
	case unix.S_IFDIR:
		e.Names, err = countNames(f)
	default:
		return e, nil
	}
	if err != nil {
		return e, err
	}
	e.Flags, err = btrfs.FileFlags(f)
	e.Flags &= flagsCompared
	return e, err
}

// countNames does not count stubs of subvolumes, because they are not sent.
func countNames(dir *os.File) (int64, error) {
	var n int64
	for {
		entries, err := dir.ReadDir(walk.ReadBatch)
		for _, entry := range entries {
			left, err := isLeftOut(dir, entry)
			if err != nil {
				return n, err
			}
			if !left {
				n++
			}
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

func isLeftOut(dir *os.File, entry os.DirEntry) (bool, error) {
	if !entry.IsDir() {
		return false, nil
	}
	info, err := at.InfoOf(dir, entry.Name())
	return info.IsBoundary(), err
}

// What may differ.
const (
	Missing = "missing" // in the copy
	Extra   = "extra"   // in the copy
	Names   = "names"   // a directory of the copy has additional names
	Content = "content"
	Holes   = "holes"
	Links   = "links" // which names are one file
)

// Differ lists the differences between two entries with the same path, except content and links. It is pure.
func Differ(a, b Entry) []string {
	if a.Mode&unix.S_IFMT != b.Mode&unix.S_IFMT {
		return []string{"type"}
	}
	var what []string
	for _, c := range []struct {
		what string
		same bool
	}{
		{"mode", a.Mode == b.Mode}, {"owner", a.UID == b.UID && a.GID == b.GID}, {"time", a.MTime == b.MTime}, {"size", a.Size == b.Size},
		{"device", a.Device == b.Device}, {"target", string(a.Target) == string(b.Target)}, {"attributes", string(a.Xattrs) == string(b.Xattrs)},
		{"flags", a.Flags == b.Flags || a.Flags == b.Flags&^btrfs.FlagNoCOW}, // nodatacow sets it on all files
		{Names, a.Names == b.Names},
	} {
		if !c.same {
			what = append(what, c.what)
		}
	}
	return what
}

// IsDir reports whether it is a directory.
func (e Entry) IsDir() bool { return e.Mode&unix.S_IFMT == unix.S_IFDIR }

// IsFile reports whether it is a regular file.
func (e Entry) IsFile() bool { return e.Mode&unix.S_IFMT == unix.S_IFREG }

// Walk calls visit, from several goroutines, for each entry of the tree. Errors go to unread, which may end the walk. A
// directory for which visit returns false is not entered.
func (t *Tree) Walk(ctx context.Context, visit func(Entry) (enter bool, err error), unread func(path string, err error) error) error {
	look := func(path string) (bool, error) {
		e, err := t.Describe(path)
		if err != nil {
			return false, unread(path, err)
		}
		return visit(e)
	}
	enter, err := look(".")
	if err != nil || !enter {
		return err
	}
	w := walk.Walker{
		Visit: func(dir *os.File, entry os.DirEntry) error {
			_, err := look(walk.Below(t.root, dir, entry.Name()))
			return err
		},
		Enter: func(dir *os.File, name string) (*os.File, error) {
			info, err := at.InfoOf(dir, name)
			path := walk.Below(t.root, dir, name)
			if err != nil {
				return nil, unread(path, err)
			}
			if info.IsBoundary() {
				return nil, nil
			}
			enter, err := look(path)
			if err != nil || !enter {
				return nil, err
			}
			sub, err := at.OpenDir(dir, name)
			if err != nil {
				return nil, unread(path, err)
			}
			return sub, nil
		},
		Unreadable: func(dir *os.File, err error) error {
			return unread(cmp.Or(walk.Below(t.root, dir, ""), "."), err)
		},
	}
	return w.Walk(ctx, t.root)
}
