package receive

import (
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"golang.org/x/sys/unix"
)

// kept are attributes that the root gets at the end. A sender creates every inode in the root and moves it to its
// place. There it must not inherit an ACL, a property or a flag from the root, so the root has none until the end.
// Creating inodes also changes the times of the root, and the stream has these only if they have changed on the sender.
type kept struct {
	flags  uint32
	xattrs map[string][]byte
	times  [2]unix.Timespec // atime, mtime
}

const (
	defaultACL = "system.posix_acl_default"
	// property is the only one that exists (Linux 6.18). It belongs to one of the flags ofProperty: whoever sets the
	// flags sets it, too.
	property   = "btrfs.compression"
	ofProperty = btrfs.FlagCompress | btrfs.FlagNoCompress
)

func inherited(name string) bool { return name == defaultACL || name == property }

// takeFromRoot takes everything that is inherited from the root of a snapshot.
func takeFromRoot(root *os.File) (kept, error) {
	k := kept{xattrs: map[string][]byte{}}
	st, err := at.StatFile(root)
	if err != nil {
		return k, err
	}
	k.times = [2]unix.Timespec{st.Atim, st.Mtim}
	flags, err := btrfs.FileFlags(root)
	if err != nil {
		return k, err
	}
	k.flags = flags & settable
	for _, name := range []string{defaultACL, property} {
		value, err := getXattr(root, name)
		if err != nil {
			return k, err
		}
		if value == nil {
			continue
		}
		k.xattrs[name] = value
		if err := unix.Fremovexattr(int(root.Fd()), name); err != nil {
			return k, &fs.PathError{Op: "removexattr " + strconv.Quote(name), Path: root.Name(), Err: err}
		}
	}
	if _, ok := k.xattrs[property]; ok {
		k.flags &^= ofProperty
	}
	if k.flags == 0 {
		return k, nil
	}
	return k, btrfs.SetFileFlags(root, flags&^settable)
}

// take stores an attribute that the stream sets on the root, if it is one of those.
func (k *kept) take(name string, value []byte) bool {
	if inherited(name) {
		k.xattrs[name] = slices.Clone(value)
	}
	return inherited(name)
}

// drop is take for an attribute that the stream removes.
func (k *kept) drop(name string) bool {
	_, was := k.xattrs[name]
	delete(k.xattrs, name)
	return was
}

// giveBack sets all of them on the root.
func (k *kept) giveBack(root *os.File) error {
	if err := unix.UtimesNanoAt(int(root.Fd()), "", k.times[:], unix.AT_EMPTY_PATH); err != nil {
		return &fs.PathError{Op: "utimes", Path: root.Name(), Err: err}
	}
	have, err := btrfs.FileFlags(root)
	if err != nil {
		return err
	}
	flags := k.flags
	if _, ok := k.xattrs[property]; ok {
		flags &^= ofProperty
	}
	if next := have&^settable | flags; next != have {
		if err := btrfs.SetFileFlags(root, next); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(k.xattrs)) {
		if err := unix.Fsetxattr(int(root.Fd()), name, k.xattrs[name], 0); err != nil {
			return &fs.PathError{Op: "setxattr " + strconv.Quote(name), Path: root.Name(), Err: err}
		}
	}
	return nil
}
