package rename

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/subvol"
)

// prefix begins the names that are used on the way. What is left under one, rsync deletes.
const prefix = ".rsbtbackup-moved-"

// Apply does what p says below root, and tells how many moves it made. What does not fit is left as it is, or removed,
// for rsync to copy. An error means that the tree is of no use.
func (p Plan) Apply(ctx context.Context, root *os.File) (made int, err error) {
	if len(p.Take) == 0 {
		return 0, nil
	}
	name := prefix + rand.Text()
	if err := at.Mkdir(root, name, 0o700); err != nil {
		return 0, err
	}
	aside, err := at.OpenDir(root, name)
	if err != nil {
		return 0, err
	}
	defer aside.Close()
	slots := map[Move]string{}
	for i, m := range p.Take {
		taken, err := take(root, aside, m, strconv.Itoa(i))
		if err != nil {
			return 0, fmt.Errorf("take %q from its old place: %w", m.From, err)
		}
		if taken {
			slots[m] = strconv.Itoa(i)
		}
	}
	for _, m := range p.Put {
		if slot, taken := slots[m]; taken {
			put, err := put(root, aside, m, slot)
			if err != nil {
				return made, fmt.Errorf("put %q in its new place, %q: %w", m.From, m.To, err)
			}
			if put {
				made++
			}
		}
	}
	if made < len(slots) {
		if err := subvol.Empty(ctx, aside); err != nil {
			return made, err
		}
	}
	return made, at.Unlink(root, name, unix.AT_REMOVEDIR)
}

// take is false for what is not there as m says.
func take(root, aside *os.File, m Move, slot string) (bool, error) {
	dir, err := enter(root, parent(m.From), false)
	if dir == nil || err != nil {
		return false, err
	}
	defer dir.Close()
	name := base(m.From)
	st, err := at.Stat(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	kind := st.Mode & unix.S_IFMT
	if m.Dir != (kind == unix.S_IFDIR) || m.Dir && st.Ino == btrfs.StubInode || !m.Dir && (kind != unix.S_IFREG || st.Nlink != 1) {
		return false, nil
	}
	return done(renameat(dir, name, aside, slot, unix.RENAME_NOREPLACE))
}

// put is false for what has no place.
func put(root, aside *os.File, m Move, slot string) (bool, error) {
	dir, err := enter(root, parent(m.To), true)
	if dir == nil || err != nil {
		return false, err
	}
	defer dir.Close()
	name := base(m.To)
	if err := clear(dir, name); err != nil {
		return done(err)
	}
	return done(renameat(aside, slot, dir, name, unix.RENAME_NOREPLACE))
}

// clear makes room for what is to be called name. A directory gets another name: to delete it is rsync's business,
// which may be told to delete no more than so much.
func clear(dir *os.File, name string) error {
	st, err := at.Stat(dir, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return at.Unlink(dir, name, 0)
	case st.Ino == btrfs.StubInode:
		return at.Unlink(dir, name, unix.AT_REMOVEDIR)
	}
	return renameat(dir, name, dir, prefix+rand.Text(), unix.RENAME_NOREPLACE)
}

// done: what the caller may not do, an ordinary user, is left to rsync.
func done(err error) (bool, error) {
	if os.Geteuid() != 0 && errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	return err == nil, err
}

func renameat(from *os.File, old string, to *os.File, name string, flags uint) error {
	err := at.Retry(func() error { return unix.Renameat2(int(from.Fd()), old, int(to.Fd()), name, flags) })
	return at.Error("rename", from, old, err)
}

// enter opens a directory below root. What is missing on the way is made, if asked, and what else stands there removed:
// rsync finds a directory in its place at the source. It is nil where there is none.
func enter(root *os.File, path string, create bool) (*os.File, error) {
	dir, err := at.OpenDir(root, ".")
	if err != nil || path == "." {
		return dir, err
	}
	for name := range strings.SplitSeq(path, "/") {
		next, err := enterOne(dir, name, create)
		if err := errors.Join(err, dir.Close()); err != nil || next == nil {
			_, err = done(err)
			return nil, err
		}
		dir = next
	}
	return dir, nil
}

func enterOne(dir *os.File, name string, create bool) (*os.File, error) {
	st, err := at.Stat(dir, name)
	isDir := err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Ino != btrfs.StubInode
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if !isDir {
		if !create {
			return nil, nil
		}
		if err := clear(dir, name); err != nil {
			return nil, err
		}
		if err := at.Mkdir(dir, name, 0o700); err != nil {
			return nil, err
		}
	}
	sub, err := at.OpenOwn(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil || os.Geteuid() == 0 {
		return sub, err
	}
	if err := subvol.Widen(sub); err != nil { // what can be opened may still not be written in
		return nil, errors.Join(err, sub.Close())
	}
	return sub, nil
}
