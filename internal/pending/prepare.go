// Preparing pending for a transfer: splitting hard links, removing stubs.
//
// rsync -H --inplace writes wrong bytes, and exits 0, when two names that were one file in the last backup are separate
// files at the source now: both updates are written into the one inode (rsync issue 537, still so in 3.5.0). So every
// name of a file with several names, unless they are known to be one file at the source, first gets an inode of its
// own: a reflink copy is renamed over the name. rsync links again what is still linked. This is needed for whole files
// too: rsync leaves names linked that it finds up to date, and gives both the mode and owner of one.

package pending

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/subvol"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
)

// Prepared is what Prepare found and did.
type Prepared struct {
	Entries atomic.Int64 // in the tree, without the root
	Split   atomic.Int64 // names that got an inode of their own
	Bytes   atomic.Int64 // on disk, of its files
	Names   Weight       // of single names on a list
	kept    []keptFile
}

// How says what Prepare may rely on.
type How struct {
	// Doubtful: pending may differ from the disk; the files are checked and removed from the page cache.
	Doubtful bool
	// Source is the root of a local source that rsync will compare by size and time, with --hard-links. Files with
	// several names that are unchanged there stay linked. With nil all are split.
	Source *os.File
}

// Prepare walks the tree below root and changes it so that rsync updates it correctly: it removes stubs and splits hard
// links. Nobody else changes the tree meanwhile.
func Prepare(ctx context.Context, root *os.File, how How) (*Prepared, error) {
	p := &Prepared{}
	links := &linkGroups{root: root, source: how.Source, groups: map[uint64]*linkGroup{}}
	w := walk.Walker{
		Visit: func(dir *os.File, e os.DirEntry) error {
			p.Entries.Add(1)
			return p.prepare(dir, e, how.Doubtful, links)
		},
		Enter: func(dir *os.File, name string) (*os.File, error) {
			p.Entries.Add(1)
			return enterOwn(dir, name)
		},
	}
	if err := w.Walk(ctx, root); err != nil {
		return p, err
	}
	if p.kept = links.decide(); len(links.groups) == 0 {
		return p, nil
	}
	return p, p.splitAll(ctx, root, links.groups)
}

// prepare does what can be done with one name of a file.
func (p *Prepared) prepare(dir *os.File, e os.DirEntry, doubtful bool, links *linkGroups) error {
	name := e.Name()
	st, err := at.Stat(dir, name)
	if err != nil {
		return err
	}
	regular := st.Mode&unix.S_IFMT == unix.S_IFREG
	if regular && st.Nlink == 1 {
		p.Bytes.Add(st.Blocks * 512)
	}
	switch {
	case regular && doubtful:
		return distrust(dir, name, uint64(st.Nlink))
	case st.Nlink > 1 && links.source != nil:
		links.meet(dir, name, st)
		return nil
	}
	return p.split(dir, name, st)
}

// splitAll splits the files that are in groups.
func (p *Prepared) splitAll(ctx context.Context, root *os.File, groups map[uint64]*linkGroup) error {
	w := walk.Walker{
		Visit: func(dir *os.File, e os.DirEntry) error {
			if st, err := at.Stat(dir, e.Name()); err != nil {
				return err
			} else if _, found := groups[st.Ino]; found {
				return p.split(dir, e.Name(), st)
			}
			return nil
		},
		Enter: enterOwn,
	}
	return w.Walk(ctx, root)
}

// split makes one name a separate file that rsync updates correctly.
func (p *Prepared) split(dir *os.File, name string, st unix.Stat_t) (err error) {
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return splitOther(dir, name, st)
	}
	if st.Nlink > 1 {
		p.Split.Add(1)
		err = splitFile(dir, name)
	}
	if err != nil || st.Mode&(unix.S_ISUID|unix.S_ISGID) == 0 {
		return err
	}
	// rsync 3.5.0 --acls clears the entry of the owning group when a file with such a bit gets an ACL. rsync sets the
	// bit again.
	return at.Chmod(dir, name, st.Mode&0o1777)
}

// splitOther removes special files whose changes rsync does not notice: a hard link to another special file, and a
// device, because rsync compares its number but not its kind. rsync creates them again at almost no cost.
func splitOther(dir *os.File, name string, st unix.Stat_t) error {
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFCHR && kind != unix.S_IFBLK && st.Nlink < 2 {
		return nil
	}
	return at.Unlink(dir, name, 0)
}

// distrust makes sure that reads of a file return what is on the disk. If the disk refused data of the file, the first
// fsync reports it, even after a syncfs of another program has consumed the report for the filesystem. The file is then
// removed, so that rsync copies it again. Only the first fsync gets the report, so of several names all but the last
// are removed without it. The clean pages of the remaining files are dropped from the page cache.
func distrust(dir *os.File, name string, links uint64) error {
	if links > 1 {
		return at.Unlink(dir, name, 0)
	}
	f, err := at.OpenOwn(dir, name, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return at.Unlink(dir, name, 0)
	}
	err = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	return at.Error("fadvise", dir, name, err)
}

// enterOwn opens a directory of pending. If the base had a nested subvolume, its snapshot has a stub that nobody can
// write to. It is removed, so that rsync can create a directory of that name.
func enterOwn(dir *os.File, name string) (*os.File, error) {
	sub, err := at.OpenOwn(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(sub.Fd()), &st); err != nil {
		return nil, errors.Join(&os.PathError{Op: "stat", Path: sub.Name(), Err: err}, sub.Close())
	}
	if st.Ino == btrfs.StubInode {
		return nil, errors.Join(at.Unlink(dir, name, unix.AT_REMOVEDIR), sub.Close())
	}
	if os.Geteuid() != 0 {
		// A directory that can be opened may still not be searchable or writable.
		if err := subvol.Widen(sub); err != nil {
			return nil, errors.Join(err, sub.Close())
		}
	}
	return sub, nil
}

// splitFile replaces name by a reflink copy of itself.
func splitFile(dir *os.File, name string) (err error) {
	old, err := at.OpenOwn(dir, name, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer old.Close()
	temp := ".rsbtbackup-" + rand.Text()
	copied, err := at.CreateOwn(dir, temp)
	if err != nil {
		return err
	}
	err = cloneWithMetadata(dir, temp, copied, old)
	err = errors.Join(err, copied.Close())
	if err == nil {
		err = at.Rename(dir, temp, name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("split hard link: %w", err), at.IgnoreNotExist(at.Unlink(dir, temp, 0)))
	}
	return nil
}

// cloneWithMetadata copies src with all metadata and times to dst, which is temp in dir, so that rsync only has to make
// the link. Owner before mode and attributes: chown clears set-id bits and capabilities.
func cloneWithMetadata(dir *os.File, temp string, dst, src *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: src.Name(), Err: err}
	}
	if err := cloneOrCopy(dst, src); err != nil {
		return err
	}
	// An ordinary user may no longer be in the group of the file; rsync then does what it can.
	err := unix.Fchown(int(dst.Fd()), int(st.Uid), int(st.Gid))
	if err != nil && !errors.Is(err, unix.EPERM) {
		return &os.PathError{Op: "chown", Path: dst.Name(), Err: err}
	}
	if err := at.CopyXattrs(dst, src); err != nil {
		return err
	}
	if err := unix.Fchmod(int(dst.Fd()), st.Mode&0o7777); err != nil {
		return &os.PathError{Op: "chmod", Path: dst.Name(), Err: err}
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	err = unix.UtimesNanoAt(int(dir.Fd()), temp, times, unix.AT_SYMLINK_NOFOLLOW)
	return at.Error("utimens", dir, temp, err)
}

// cloneOrCopy shares blocks where possible. It is not possible between a file with checksums and one without (EINVAL),
// which a mount option may cause.
func cloneOrCopy(dst, src *os.File) error {
	err := btrfs.CloneFile(dst, src)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	_, err = io.Copy(dst, src)
	return err
}
