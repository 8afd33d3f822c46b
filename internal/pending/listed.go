package pending

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
)

// Listed is the part of the tree that rsync looks at; paths are relative to the root of pending.
type Listed struct {
	Dirs  []string // one level deep each
	Names []string // single entries
}

// Has returns a function that reports whether rsync lists the entries of a directory.
func (l Listed) Has() func(dir string) bool {
	dirs := map[string]bool{}
	for _, dir := range l.Dirs {
		dirs[dir] = true
	}
	return func(dir string) bool { return dirs[dir] }
}

// PrepareListed is Prepare for the listed paths only. Missing paths are ignored.
func PrepareListed(ctx context.Context, root *os.File, l Listed) (*Prepared, error) {
	p := &Prepared{}
	if err := readRoot(root); btrfs.IsDamage(err) {
		return nil, err
	}
	for _, dir := range l.Dirs {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := within(root, dir, p.prepareDir); err != nil {
			return nil, err
		}
	}
	for _, name := range l.Names {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		err := within(root, path.Dir(name), func(dir *os.File) error {
			st, err := p.prepareEntry(dir, path.Base(name))
			if err == nil {
				p.Names.add(&st, 1)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return p, nil
}

// readRoot finds damage to the root directory: if nothing in it is listed, nobody else reads it.
func readRoot(root *os.File) error {
	dir, err := at.OpenDir(root, ".")
	if err != nil {
		return err
	}
	defer dir.Close()
	const some = 1000
	for err == nil {
		_, err = dir.Readdirnames(some)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// within opens the directory at rel below root and its parents, widening their modes for an ordinary user.
func within(root *os.File, rel string, do func(dir *os.File) error) error {
	if rel == "." {
		dir, err := at.OpenDir(root, ".") // to be read from its beginning
		if err != nil {
			return err
		}
		return errors.Join(do(dir), dir.Close())
	}
	dir := root
	for part := range strings.SplitSeq(rel, "/") {
		next, err := enterOwn(dir, part)
		if dir != root {
			err = errors.Join(err, dir.Close())
		}
		if at.IsNoDir(err) {
			return nil
		} else if err != nil {
			return err
		}
		if next == nil {
			return nil // a stub, which has been removed
		}
		dir = next
	}
	return errors.Join(do(dir), dir.Close())
}

// prepareDir prepares the entries of dir, one level deep.
func (p *Prepared) prepareDir(dir *os.File) error {
	for {
		entries, err := dir.ReadDir(walk.ReadBatch)
		for _, e := range entries {
			if _, err := p.prepareEntry(dir, e.Name()); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// prepareEntry returns what the entry was.
func (p *Prepared) prepareEntry(dir *os.File, name string) (unix.Stat_t, error) {
	st, err := at.Stat(dir, name)
	if err != nil {
		return st, err
	}
	p.Entries.Add(1)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return st, p.split(dir, name, st)
	}
	if st.Ino == btrfs.StubInode {
		return st, at.Unlink(dir, name, unix.AT_REMOVEDIR)
	}
	return st, nil
}

// Doubt changes the time of files, so that rsync compares their content instead of trusting size and time. If rsync
// cannot read a file, the backup keeps this time.
func Doubt(root *os.File, names []string) error {
	for _, name := range names {
		err := within(root, path.Dir(name), func(dir *os.File) error { return doubt(dir, path.Base(name)) })
		if err != nil {
			return err
		}
	}
	return nil
}

// day is how much older files become that differ from the source, more than any --modify-window of rsync ignores.
// Whoever compares times takes them for older than the source.
const day = 24 * 60 * 60

// noTime is a time that no source has.
func noTime() unix.Timespec { return unix.Timespec{Sec: 1, Nsec: 1} }

func doubt(dir *os.File, name string) error {
	st, err := at.Stat(dir, name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	if err != nil {
		return err
	}
	st.Mtim.Sec -= day
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, st.Mtim}
	return at.Error("utimens", dir, name, unix.UtimesNanoAt(int(dir.Fd()), name, times, unix.AT_SYMLINK_NOFOLLOW))
}

// CopyDirTimes gives directories of pending the times that they have at the source: moves in them have set others.
func CopyDirTimes(source, root *os.File, dirs []string) error {
	for _, path := range dirs {
		if err := copyDirTime(source, root, path); err != nil {
			return err
		}
	}
	return nil
}

func copyDirTime(source, root *os.File, path string) error {
	from, err := at.OpenBeneath(source, path)
	if err != nil {
		return err
	}
	defer from.Close()
	st, err := at.Stat(from, ".")
	if err != nil {
		return err
	}
	return within(root, path, func(dir *os.File) error {
		times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, st.Mtim}
		return at.Error("utimens", dir, "", unix.UtimesNanoAt(int(dir.Fd()), "", times, unix.AT_EMPTY_PATH))
	})
}
