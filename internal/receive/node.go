package receive

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/sendstream"
	"golang.org/x/sys/unix"
)

const capability = "security.capability"

// node is an inode that is held open. A device is opened only with O_PATH: opening it for reading could start a
// watchdog or rewind a tape, and a stream must not write to a device.
type node struct {
	path string
	kind uint32 // S_IFMT of its mode
	file *os.File
	// dirty is what was written since the kernel was told to write it to the disk.
	dirty int
	// caps is its file capability, which every change of data or owner removes.
	caps []byte
}

// open returns the inode at path, which stays open until another one is opened.
func (t *tree) open(path string) (*node, error) {
	if t.node != nil && t.node.path == path {
		return t.node, nil
	}
	if err := t.release(); err != nil {
		return nil, err
	}
	err := t.thawing(func() (err error) {
		t.node, err = t.openNode(path)
		return err
	}, path)
	return t.node, err
}

// openNode looks before it opens, because opening a device or a fifo has effects. Nobody else may enter the subvolume,
// so what it has seen is what it opens. Opening with O_PATH first, and again through /proc, would take longer.
func (t *tree) openNode(path string) (*node, error) {
	dir, base, err := t.place(path)
	if err != nil {
		return nil, err
	}
	st, err := at.Stat(dir, base)
	if err != nil {
		return nil, err
	}
	n := &node{path: path, kind: st.Mode & unix.S_IFMT}
	flags := uint64(unix.O_PATH)
	switch n.kind {
	case unix.S_IFREG:
		flags = unix.O_RDWR
	case unix.S_IFDIR:
		flags = unix.O_RDONLY | unix.O_DIRECTORY
	}
	if n.file, err = at.OpenBelow(dir, base, flags); err != nil {
		return nil, err
	}
	if n.kind == unix.S_IFREG {
		if n.caps, err = n.getXattr(capability); err != nil {
			return nil, errors.Join(err, n.file.Close())
		}
	}
	return n, nil
}

// place is where path is looked up, also that of the root.
func (t *tree) place(path string) (dir *os.File, base string, err error) {
	if path == "" {
		return t.root, ".", nil
	}
	return t.parent(path)
}

// openPath opens path without side effects.
func (t *tree) openPath(path string) (*os.File, error) {
	dir, base, err := t.place(path)
	if err != nil {
		return nil, err
	}
	return at.OpenBelow(dir, base, unix.O_PATH)
}

// reopen replaces the O_PATH descriptor by one for reading or writing. It is the same inode even if the path has
// changed.
func (n *node) reopen(flags int) error {
	fd, err := unix.Open(at.ProcPath(n.file), flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: n.file.Name(), Err: err}
	}
	old := n.file
	n.file = os.NewFile(uintptr(fd), old.Name())
	return old.Close()
}

func (n *node) fail(op string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: n.file.Name(), Err: err}
}

// opened reports whether the descriptor is not an O_PATH one.
func (n *node) opened() bool { return n.kind == unix.S_IFREG || n.kind == unix.S_IFDIR }

// release closes the inode that is held open, if any.
func (t *tree) release() error {
	n := t.node
	t.node = nil
	if n == nil {
		return nil
	}
	n.wrote(0, few)
	return errors.Join(n.keepCaps(), n.file.Close())
}

// keepCaps sets the capability again after it was removed. Kernels before 5.8 do not send it again after data and
// owner, and only the stream decides when it is removed.
func (n *node) keepCaps() error {
	if n.caps == nil {
		return nil
	}
	now, err := n.getXattr(capability)
	if err != nil || now != nil {
		return err
	}
	return n.fail("setxattr", unix.Fsetxattr(int(n.file.Fd()), capability, n.caps, 0))
}

// getXattr is nil if there is none.
func (n *node) getXattr(name string) ([]byte, error) {
	return getXattr(n.file, name)
}

func getXattr(f *os.File, name string) ([]byte, error) {
	buf := []byte{} // most files have none, so the first call only asks how long it is
	for {
		size, err := unix.Fgetxattr(int(f.Fd()), name, buf)
		switch {
		case errors.Is(err, unix.ENODATA), errors.Is(err, unix.EOPNOTSUPP):
			return nil, nil
		case err == nil && size <= len(buf):
			return buf[:size:size], nil
		case err == nil:
			buf = make([]byte, size)
		case errors.Is(err, unix.ERANGE):
			buf = make([]byte, math.MaxUint16+1)
		default:
			return nil, &fs.PathError{Op: "getxattr", Path: f.Name(), Err: err}
		}
	}
}

func (t *tree) setXattr(path, name string, value []byte) error {
	n, err := t.open(path)
	if err != nil {
		return err
	}
	if n.opened() {
		err = unix.Fsetxattr(int(n.file.Fd()), name, value, 0)
	} else {
		err = unix.Setxattr(at.ProcPath(n.file), name, value, 0)
	}
	if err != nil {
		return n.fail("setxattr "+strconv.Quote(name), err)
	}
	if name == capability && n.kind == unix.S_IFREG {
		n.caps = append([]byte{}, value...)
	}
	return nil
}

func (t *tree) removeXattr(path, name string) error {
	n, err := t.open(path)
	if err != nil {
		return err
	}
	if n.opened() {
		err = unix.Fremovexattr(int(n.file.Fd()), name)
	} else {
		err = unix.Removexattr(at.ProcPath(n.file), name)
	}
	if err != nil {
		return n.fail("removexattr "+strconv.Quote(name), err)
	}
	if name == capability {
		n.caps = nil
	}
	return nil
}

func (t *tree) chmod(path string, mode uint64) error {
	n, err := t.open(path)
	if err != nil {
		return err
	}
	if n.opened() {
		return n.fail("chmod", unix.Fchmod(int(n.file.Fd()), uint32(mode&0o7777)))
	}
	return n.fail("chmod", unix.Chmod(at.ProcPath(n.file), uint32(mode&0o7777)))
}

// chown keeps the set-id bits and the capability, which the kernel removes with a change of the owner: the stream does
// not mention them if they are unchanged.
func (t *tree) chown(path string, uid, gid uint64) error {
	n, err := t.open(path)
	if err != nil {
		return err
	}
	if uid >= math.MaxUint32 || gid >= math.MaxUint32 { // the last one means "as it is"
		return n.fail("chown", fmt.Errorf("%w: owner %d, group %d", ErrStream, uid, gid))
	}
	st, err := at.StatFile(n.file)
	if err != nil {
		return err
	}
	if err := unix.Fchownat(int(n.file.Fd()), "", int(uid), int(gid), unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return n.fail("chown", err)
	}
	if n.kind != unix.S_IFREG {
		return nil
	}
	if st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
		if err := unix.Fchmod(int(n.file.Fd()), st.Mode&0o7777); err != nil {
			return n.fail("chmod", err)
		}
	}
	return n.keepCaps()
}

// utimes is the last command on an inode.
func (t *tree) utimes(path string, times [2]unix.Timespec) error {
	n, err := t.open(path)
	if err == nil {
		err = n.keepCaps()
	}
	if err != nil {
		return err
	}
	return n.fail("utimes", unix.UtimesNanoAt(int(n.file.Fd()), "", times[:], unix.AT_EMPTY_PATH))
}

func timesOf(c sendstream.Utimes) (times [2]unix.Timespec, err error) {
	if times[0], err = unix.TimeToTimespec(c.Atime); err == nil {
		times[1], err = unix.TimeToTimespec(c.Mtime)
	}
	return times, err
}
