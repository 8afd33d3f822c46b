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

// prefix begins temporary names. rsync deletes whatever is left under one.
const prefix = ".rsbtbackup-moved-"

// Apply makes the moves of p below root, and returns how many it made. An entry that does not fit is not moved, or
// removed, and rsync copies it. After an error the tree must not be used.
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
			return 0, fmt.Errorf("rename: take %q from its old path: %w", m.From, err)
		}
		if taken {
			slots[m] = strconv.Itoa(i)
		}
	}
	for _, m := range p.Put {
		if slot, taken := slots[m]; taken {
			put, err := put(root, aside, m, slot)
			if err != nil {
				return made, fmt.Errorf("rename: move %q to its new path, %q: %w", m.From, m.To, err)
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

// take is false if From is not what m says.
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

// put is false if To cannot be used.
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

// clear frees a name. A directory gets another name, because rsync must delete it: the number of deletions may be
// limited.
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

// done leaves to rsync what an ordinary user has no right to do.
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

// enter opens a directory below root, or returns nil if there is none. With create it creates missing directories, and
// removes other entries in their place: at the source there is a directory.
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
	if err := subvol.Widen(sub); err != nil { // a directory that can be opened may still not be writable
		return nil, errors.Join(err, sub.Close())
	}
	return sub, nil
}
