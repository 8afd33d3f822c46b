// Names that are one file in the target but several files in the backup.

package restore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
	"github.com/rsbtbackup/rsbtbackup/internal/reflink"
)

// linkedNames are the names of one file in the target that rsync will consider up to date.
type linkedNames struct {
	target unix.Stat_t
	names  []linkedName
}

type linkedName struct {
	path   string
	backup mounts.Inode
}

func (o *overwriting) link(path string, backup, target unix.Stat_t) {
	key := mounts.Inode{Dev: uint64(target.Dev), Ino: target.Ino}
	l := o.linked[key]
	if l == nil {
		l = &linkedNames{target: target}
		o.linked[key] = l
	}
	l.names = append(l.names, linkedName{path, mounts.Inode{Dev: uint64(backup.Dev), Ino: backup.Ino}})
}

// toPart returns the names that must be separated: names that belong to different files in the backup, and names that
// get new attributes while another name of the file must keep the old ones. Only rsync knows which names are excluded,
// so any name may be.
func (o *overwriting) toPart() ([]string, error) {
	var paths []string
	for _, l := range o.linked {
		slices.SortFunc(l.names, func(a, b linkedName) int { return cmp.Compare(a.path, b.path) })
		first := l.names[0].backup
		same := !slices.ContainsFunc(l.names, func(n linkedName) bool { return n.backup != first })
		if same && len(l.names) == int(l.target.Nlink) && !o.excludes {
			continue
		}
		stay := mounts.Inode{}
		for _, n := range l.names {
			equal, err := o.sameAttributes(n.path)
			switch {
			case err != nil:
				return nil, err
			case equal && stay == mounts.Inode{}:
				stay = n.backup
			case !equal || n.backup != stay:
				paths = append(paths, n.path)
			}
		}
	}
	slices.Sort(paths)
	return paths, nil
}

// sameAttributes reports whether rsync has no attributes to set. For a backup made with --fake-super only rsync knows.
func (o *overwriting) sameAttributes(path string) (bool, error) {
	if o.fake {
		return false, nil
	}
	a, err := attributesOf(o.backup, path)
	if err != nil {
		return false, err
	}
	b, err := attributesOf(o.target, path)
	return err == nil && a == b, err
}

func attributesOf(root *os.File, path string) (string, error) {
	f, err := at.OpenResolved(root, path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := at.StatFile(f)
	if err != nil {
		return "", err
	}
	xattrs, _, err := at.XattrsInside(root, path) // rsync does not set values that the caller may not read
	return fmt.Sprintf("%o %d:%d %d.%09d\n%s", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec, xattrs), err
}

// makeWay makes the changes to the target that rsync would not make.
func (x aimed) makeWay(ctx context.Context, found inTheWay) error {
	for _, path := range found.devices {
		if err := at.UnlinkBeneath(x.target.dir, path, 0); err != nil {
			return err
		}
	}
	for _, path := range found.part {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := partName(x.target.dir, path)
		if errors.Is(err, unix.EPERM) && os.Geteuid() != 0 {
			x.tell.Notice(filepath.Join(x.target.shown, path) + " belongs to another user and cannot be copied, so it stays a hard link")
			continue
		}
		if err != nil {
			return fmt.Errorf("give %s a file of its own: %w", filepath.Join(x.target.shown, path), err)
		}
	}
	return nil
}

// partName replaces a name by a copy of its file; the other names keep the old file. The name exists at every moment.
func partName(root *os.File, path string) error {
	dir, err := at.OpenBeneath(root, filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	name, temp := filepath.Base(path), ".rsbtbackup-"+rand.Text()
	src, err := at.Open(dir, name, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	err = copyEntry(dir, temp, src)
	if err == nil {
		err = at.Rename(dir, temp, name)
	}
	if err != nil {
		return errors.Join(err, at.IgnoreNotExist(at.Unlink(dir, temp, 0)))
	}
	return nil
}

// copyEntry makes name a copy of src, which may have been opened with O_PATH.
func copyEntry(dir *os.File, name string, src *os.File) error {
	st, err := at.StatFile(src)
	if err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		err = copyData(dir, name, src)
	case unix.S_IFLNK:
		var text string
		if text, err = at.Readlink(src, ""); err == nil {
			err = at.Symlink(text, dir, name)
		}
	default:
		err = at.Retry(func() error { return unix.Mknodat(int(dir.Fd()), name, st.Mode&unix.S_IFMT|0o600, int(st.Rdev)) })
		err = at.Error("mknod", dir, name, err)
	}
	if err != nil {
		return err
	}
	dst, err := at.Open(dir, name, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer dst.Close()
	return reflink.CopyAttributes(dir, name, dst, src)
}

// copyData shares blocks where possible.
func copyData(dir *os.File, name string, src *os.File) error {
	from, err := os.Open(at.ProcPath(src))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := at.Open(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if at.Retry(func() error { return unix.IoctlFileClone(int(to.Fd()), int(from.Fd())) }) != nil {
		_, err = io.Copy(to, from)
	}
	return errors.Join(err, to.Close())
}
