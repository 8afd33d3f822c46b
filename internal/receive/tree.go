package receive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/sendstream"
	"golang.org/x/sys/unix"
)

// maxParents limits the directories that are held open.
const maxParents = 64

// tree is the subvolume, accessed only through its descriptor. It keeps open the directories that were used last, and
// one inode, because the commands for one inode follow each other.
type tree struct {
	root    *os.File
	parents map[string]*os.File
	node    *node
	frozen  map[uint64]uint32 // flags that prevent changes of an inode, set at the end
}

func newTree(root *os.File) *tree {
	return &tree{root: root, parents: map[string]*os.File{}, frozen: map[uint64]uint32{}}
}

// close closes everything that is held open, except the root.
func (t *tree) close() error {
	return errors.Join(t.release(), t.forgetParents())
}

func (t *tree) forgetParents() error {
	var err error
	for _, dir := range t.parents {
		err = errors.Join(err, dir.Close())
	}
	clear(t.parents)
	return err
}

// parent opens the directory that path is in.
func (t *tree) parent(path string) (dir *os.File, base string, err error) {
	if path == "" {
		return nil, "", fmt.Errorf("%w: the root of the subvolume cannot be made, moved or removed", ErrStream)
	}
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return t.root, path, nil
	}
	name := path[:i]
	if dir = t.parents[name]; dir != nil {
		return dir, path[i+1:], nil
	}
	if len(t.parents) >= maxParents {
		if err := t.forgetParents(); err != nil {
			return nil, "", err
		}
	}
	if dir, err = at.OpenBelow(t.root, name, unix.O_PATH|unix.O_DIRECTORY); err != nil {
		return nil, "", err
	}
	t.parents[name] = dir
	return dir, path[i+1:], nil
}

// at runs a call on a name in its directory, and again if flags that forbid it could be cleared.
func (t *tree) at(op, path string, call func(dir int, base string) error) error {
	return t.thawing(func() error {
		dir, base, err := t.parent(path)
		if err != nil {
			return err
		}
		if err := at.Retry(func() error { return call(int(dir.Fd()), base) }); err != nil {
			return &fs.PathError{Op: op, Path: t.name(path), Err: err}
		}
		return nil
	}, path)
}

func (t *tree) name(path string) string { return t.root.Name() + "/" + path }

func (t *tree) make(c sendstream.Make) error {
	switch c.Kind {
	case sendstream.File:
		return t.makeFile(c.Path)
	case sendstream.Dir:
		return t.at("mkdir", c.Path, func(dir int, base string) error { return unix.Mkdirat(dir, base, 0o700) })
	case sendstream.Symlink:
		return t.at("symlink", c.Path, func(dir int, base string) error { return unix.Symlinkat(c.Target, dir, base) })
	}
	mode, err := modeOf(c)
	if err != nil {
		return err
	}
	return t.at("mknod", c.Path, func(dir int, base string) error { return unix.Mknodat(dir, base, mode, int(c.RDev)) })
}

// modeOf is the kind of a special file, as mknod(2) takes it. The permissions come later.
func modeOf(c sendstream.Make) (uint32, error) {
	mode := uint32(c.Mode) & unix.S_IFMT
	switch {
	case c.Kind == sendstream.FIFO:
		return unix.S_IFIFO | 0o600, nil
	case c.Kind == sendstream.Socket:
		return unix.S_IFSOCK | 0o600, nil
	case c.RDev > 0xffffffff || mode != unix.S_IFCHR && mode != unix.S_IFBLK:
		return 0, fmt.Errorf("%w: device %s of mode %o, number %#x", ErrStream, c.Path, c.Mode, c.RDev)
	}
	return mode | 0o600, nil
}

// makeFile keeps the file open, because its data follows.
func (t *tree) makeFile(path string) error {
	if err := t.release(); err != nil {
		return err
	}
	return t.at("create", path, func(dir int, base string) error {
		fd, err := unix.Openat(dir, base, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err == nil {
			t.node = &node{path: path, kind: unix.S_IFREG, file: os.NewFile(uintptr(fd), t.name(path))}
		}
		return err
	})
}

// rename refuses a name in use: the kernel's streams free the name first, so a name in use shows that this is not the
// parent.
func (t *tree) rename(from, to string) error {
	err := t.thawing(func() error {
		return t.both("rename", from, to, func(fromDir int, fromBase string, toDir int, toBase string) error {
			return unix.Renameat2(fromDir, fromBase, toDir, toBase, unix.RENAME_NOREPLACE)
		})
	}, from, to)
	if err != nil {
		return err
	}
	return t.moved(from, to)
}

// moved updates the open descriptors after a directory has moved.
func (t *tree) moved(from, to string) error {
	if t.node != nil && t.node.path == from && t.node.kind != unix.S_IFDIR {
		t.node.path = to
		return nil
	}
	return errors.Join(t.release(), t.forgetParents())
}

func (t *tree) link(path, target string) error {
	return t.thawing(func() error {
		return t.both("link", target, path, func(fromDir int, fromBase string, toDir int, toBase string) error {
			return unix.Linkat(fromDir, fromBase, toDir, toBase, 0)
		})
	}, path, target)
}

// both runs a call on two names, each in its directory.
func (t *tree) both(op, from, to string, call func(fromDir int, fromBase string, toDir int, toBase string) error) error {
	if len(t.parents) > maxParents-2 { // the second lookup must not close the directory that the first one found
		if err := t.forgetParents(); err != nil {
			return err
		}
	}
	fromDir, fromBase, err := t.parent(from)
	if err != nil {
		return err
	}
	toDir, toBase, err := t.parent(to)
	if err != nil {
		return err
	}
	err = at.Retry(func() error { return call(int(fromDir.Fd()), fromBase, int(toDir.Fd()), toBase) })
	if err != nil {
		return &os.LinkError{Op: op, Old: t.name(from), New: t.name(to), Err: err}
	}
	return nil
}

func (t *tree) unlink(path string) error {
	if err := t.release(); err != nil {
		return err
	}
	return t.at("unlink", path, func(dir int, base string) error { return unix.Unlinkat(dir, base, 0) })
}

func (t *tree) rmdir(path string) error {
	if err := t.close(); err != nil {
		return err
	}
	return t.at("rmdir", path, func(dir int, base string) error { return unix.Unlinkat(dir, base, unix.AT_REMOVEDIR) })
}
