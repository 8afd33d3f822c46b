package receive

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/sendstream"
	"golang.org/x/sys/unix"
)

// freezing flags prevent changes of an inode, so they are set at the end of the stream.
const freezing = btrfs.FlagImmutable | btrfs.FlagAppend

// chattr says which flag of chattr(1) corresponds to one on disk.
var chattr = map[uint64]uint32{
	sendstream.InodeNoDataCOW:  btrfs.FlagNoCOW,
	sendstream.InodeNoCompress: btrfs.FlagNoCompress,
	sendstream.InodeSync:       btrfs.FlagSync,
	sendstream.InodeImmutable:  btrfs.FlagImmutable,
	sendstream.InodeAppend:     btrfs.FlagAppend,
	sendstream.InodeNoDump:     btrfs.FlagNoDump,
	sendstream.InodeNoAtime:    btrfs.FlagNoAtime,
	sendstream.InodeDirSync:    btrfs.FlagDirSync,
	sendstream.InodeCompress:   btrfs.FlagCompress,
}

// settable are the flags that a stream can set. NODATASUM comes with NODATACOW, and READONLY, PREALLOC and verity are
// not flags of chattr.
const settable = btrfs.FlagNoCOW | btrfs.FlagNoCompress | btrfs.FlagSync | freezing | btrfs.FlagNoDump |
	btrfs.FlagNoAtime | btrfs.FlagDirSync | btrfs.FlagCompress

func toChattr(inode uint64) uint32 {
	var flags uint32
	for on, flag := range chattr {
		if inode&on != 0 {
			flags |= flag
		}
	}
	return flags
}

// fileAttr sets the flags of a file or directory; other kinds have none.
func (w *work) fileAttr(path string, inode uint64) error {
	n, err := w.open(path)
	if err != nil || !n.opened() {
		return err
	}
	want := toChattr(inode)
	if path == "" {
		w.kept.flags = want
		return nil
	}
	have, err := btrfs.FileFlags(n.file)
	if err != nil {
		return err
	}
	if err := w.willFreeze(n.file, want&freezing); err != nil {
		return err
	}
	next := have&^settable | want&^freezing
	if next == have {
		return nil
	}
	if err := setFlags(n.file, next); err != nil {
		return err
	}
	if (have^next)&btrfs.FlagNoCOW == 0 {
		return nil
	}
	// The kernel ignores this one on a file with data.
	have, err = btrfs.FileFlags(n.file)
	if have&btrfs.FlagNoCOW != next&btrfs.FlagNoCOW {
		w.lost++
	}
	return err
}

// setFlags keeps the property, which may change with the flags.
func setFlags(f *os.File, flags uint32) error {
	before, err := getXattr(f, property)
	if err != nil {
		return err
	}
	if err := btrfs.SetFileFlags(f, flags); err != nil {
		return err
	}
	after, err := getXattr(f, property)
	if err != nil || before == nil || bytes.Equal(before, after) {
		return err
	}
	if err := unix.Fsetxattr(int(f.Fd()), property, before, 0); err != nil {
		return &fs.PathError{Op: "setxattr " + strconv.Quote(property), Path: f.Name(), Err: err}
	}
	return nil
}

func (t *tree) willFreeze(f *os.File, flags uint32) error {
	st, err := at.StatFile(f)
	if err != nil {
		return err
	}
	if flags == 0 {
		delete(t.frozen, st.Ino)
	} else {
		t.frozen[st.Ino] = flags
	}
	return nil
}

// thawing runs call, which changes the entries at the paths. If a flag forbids it, on one of them or on their
// directory, which the parent of the subvolume has, it clears the flags and runs call again.
func (t *tree) thawing(call func() error, paths ...string) error {
	err := call()
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
		return err
	}
	thawed := false
	for _, path := range paths {
		for _, p := range []string{path, dirOf(path)} {
			some, thawErr := t.thaw(p)
			if thawErr != nil {
				return errors.Join(err, thawErr)
			}
			thawed = thawed || some
		}
	}
	if !thawed {
		return err
	}
	return call()
}

func dirOf(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[:i]
		}
	}
	return ""
}

// thaw clears the freezing flags of path, if it exists, and notes them.
func (t *tree) thaw(path string) (thawed bool, err error) {
	file, err := t.openPath(path)
	if err != nil {
		return false, nil // it does not exist yet, or the call has reported what is wrong with it
	}
	n := &node{path: path, file: file}
	defer func() { err = errors.Join(err, n.file.Close()) }()
	st, err := at.StatFile(file)
	if err != nil {
		return false, err
	}
	if n.kind = st.Mode & unix.S_IFMT; !n.opened() {
		return false, nil
	}
	if err := n.reopen(unix.O_RDONLY); err != nil {
		return false, err
	}
	flags, err := btrfs.FileFlags(n.file)
	if err != nil || flags&freezing == 0 {
		return false, err
	}
	t.frozen[st.Ino] = flags & freezing
	return true, setFlags(n.file, flags&^freezing)
}

// freeze sets the freezing flags again, at the last paths of the inodes.
func (t *tree) freeze() error {
	for inode, flags := range t.frozen {
		path, err := btrfs.InodePath(t.root, 0, inode)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since
		}
		if err != nil {
			return err
		}
		if err := t.freezeAt(path, inode, flags); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) freezeAt(path string, inode uint64, flags uint32) error {
	n, err := t.openNode(path)
	if err != nil {
		return err
	}
	defer n.file.Close()
	st, err := at.StatFile(n.file)
	if err != nil {
		return err
	}
	if st.Ino != inode {
		return n.fail("chattr", fmt.Errorf("it is inode %d, want %d", st.Ino, inode))
	}
	have, err := btrfs.FileFlags(n.file)
	if err != nil {
		return err
	}
	return setFlags(n.file, have|flags)
}
