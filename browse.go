// Browsing: one backup held open, and listing and reading what is in it.
// The kernel confines every lookup to the backup.

package rsbtbackup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

var (
	// ErrNoPath: the backup has nothing under that path.
	ErrNoPath = errors.New("no such path in the backup")
	// ErrBackupGone: the backup was deleted while it was read.
	ErrBackupGone = errors.New("deleted while it was read")
)

// view is one backup held open for reading. DEST is not locked and nothing is
// written to it, so a read-only mount will do.
type view struct {
	store *store
	snap  Snapshot
	root  *os.File
}

func openView(dest, ref string) (*view, error) {
	s, err := openStore(dest)
	if err != nil {
		return nil, err
	}
	v := &view{store: s}
	if err := v.open(ref); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return v, nil
}

func (v *view) open(ref string) error {
	st, err := v.store.readState(time.Local)
	if err != nil {
		return step("read", err)
	}
	if v.snap, err = st.find(ref); err != nil {
		return step("find", err)
	}
	if v.root, err = btrfs.OpenDirAt(v.store.dir, v.snap.Name); err != nil {
		return step("open", v.explain(err))
	}
	return nil
}

func (v *view) close() error { return errors.Join(v.root.Close(), v.store.close()) }

// gone tells whether the backup has been deleted since it was opened. What
// was open stays readable for a while, with entries missing, so whoever has
// read something asks this before believing it.
func (v *view) gone() error { return v.store.gone(v.snap) }

func (s *store) gone(b Snapshot) error {
	there, err := s.has(b)
	if err == nil && !there {
		err = failf(ErrBackupGone, "%s was %w", b.Name, ErrBackupGone)
	}
	return err
}

// explain puts a deleted backup in the place of the error it led to.
func (v *view) explain(err error) error {
	if err == nil {
		return nil
	}
	if gone := v.gone(); errors.Is(gone, ErrBackupGone) {
		return gone
	}
	return err
}

// backupPath makes of what a user writes a clean path below the root of a
// backup, "." for the root. A leading slash means the root of the backup. ".."
// is taken by its letter, as cd does, and can not lead out.
func backupPath(path string) (string, error) {
	switch {
	case path == "":
		return "", failf(ErrUsage, "the path is empty")
	case strings.ContainsRune(path, 0):
		return "", failf(ErrUsage, "%q contains a NUL byte", path)
	}
	rel := strings.TrimLeft(path, "/")
	if rel == "" {
		return ".", nil
	}
	if rel = filepath.Clean(rel); rel == ".." || strings.HasPrefix(rel, "../") {
		return "", failf(ErrUsage, "%q leads out of the backup", path)
	}
	return rel, nil
}

// lookup opens path below the backup. Symlinks on the way are followed as long
// as they stay inside: absolute ones, and those that climb out, are refused by
// the kernel (openat2, Linux 5.6), and so is what is mounted there.
func (v *view) lookup(path string, flags uint64) (*os.File, error) {
	fd, err := openat2(int(v.root.Fd()), path, flags, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_MAGICLINKS|unix.RESOLVE_NO_XDEV)
	if err != nil {
		return nil, v.explainLookup(path, err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(v.root.Name(), path)), nil
}

func (v *view) explainLookup(path string, err error) error {
	if gone := v.gone(); errors.Is(gone, ErrBackupGone) {
		return gone
	}
	switch {
	case err == unix.EXDEV:
		return failf(ErrNoPath, "%q in %s: a symlink on the way leads out of the backup", path, v.snap.Name)
	case err == unix.ENOENT, err == unix.ENOTDIR:
		return failf(ErrNoPath, "%q is not in %s", path, v.snap.Name)
	}
	return atError("open", v.root, path, err)
}

// Open opens the regular file at path in a backup of dest for reading. The
// backup is named as find does it: by name, unique prefix, "latest" or
// "latest~N". path is relative to the root of the backup; a leading slash means
// that root. Symlinks are followed while they stay inside the backup; ".." and
// symlinks never lead out. Nothing but a regular file is ever opened.
//
// A block that fails its checksum gives EIO from Read.
//
// Errors match ErrNoBackup, ErrAmbiguous, ErrNoPath, ErrUsage, ErrBackupGone,
// or those of List. Reading needs the rights that the file's mode asks for.
func Open(ctx context.Context, dest, backup, path string) (*os.File, error) {
	rel, err := backupPath(path)
	if err != nil {
		return nil, step("options", err)
	}
	v, err := openView(dest, backup)
	if err != nil {
		return nil, err
	}
	defer v.close()
	f, err := v.openFile(rel)
	if err != nil {
		return nil, step("open", err)
	}
	return f, ctx.Err()
}

// openFile looks before it opens: opening a device or a fifo has effects.
func (v *view) openFile(path string) (*os.File, error) {
	at, err := v.lookup(path, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	st, err := statFile(at)
	if err != nil {
		return nil, v.explain(err)
	}
	if kind := kindOf(st.Mode); kind != "file" {
		return nil, failf(ErrUsage, "%q in %s is a %s, not a regular file", path, v.snap.Name, kind)
	}
	var fd int
	err = retry(func() (err error) {
		fd, err = unix.Open(procPath(at), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return nil, v.explain(&fs.PathError{Op: "open", Path: at.Name(), Err: err})
	}
	return os.NewFile(uintptr(fd), at.Name()), nil
}

func statFile(f *os.File) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstat(int(f.Fd()), &st) })
	return st, atError("stat", f, "", err)
}

// procPath is a path to what f has open, whatever its own path is by now.
func procPath(f *os.File) string { return procFD + strconv.Itoa(int(f.Fd())) }

const procFD = "/proc/self/fd/"

// Permissions are the twelve lower bits of a mode: set-id, sticky and access.
type Permissions uint32

// MarshalText writes them in octal, "0644".
func (p Permissions) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%04o", uint32(p)), nil }

// UnmarshalText reads what MarshalText writes.
func (p *Permissions) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 12)
	*p = Permissions(n)
	return err
}

// Entry is one file, directory or other object in a backup.
type Entry struct {
	Path  string      `json:"path"` // relative to the root of the backup, which is "."
	Kind  string      `json:"kind"` // file, directory, symlink, fifo, socket, block device or character device
	Mode  Permissions `json:"mode"`
	UID   uint32      `json:"uid"`
	GID   uint32      `json:"gid"`
	Size  int64       `json:"size"` // bytes
	MTime time.Time   `json:"mtime"`
	Links uint64      `json:"links"` // names of the inode
	Inode uint64      `json:"inode"`
	// Link is what a symlink says, as it is.
	Link string `json:"link,omitempty"`
	// Device is major:minor of a device.
	Device string `json:"device,omitempty"`
}

// LsOptions are the options of Ls.
type LsOptions struct {
	Recursive bool // what is in subdirectories, too
	// Pick is given the sorted names in a directory and returns those to list:
	// one that is not listed costs next to nothing. Nil: all.
	Pick func(names []string) []string
}

// Ls calls emit for what stands at path in a backup of dest: of a directory
// each entry, sorted by name, of anything else that alone. With Recursive the
// entries of a directory come right after it. Symlinks on the way to path are
// followed as in Open; one at its end is shown, unless path ends in a slash.
// An error of emit ends the listing and is returned.
//
// The memory used is that of the largest directory on the way. Errors are
// those of Open.
func Ls(ctx context.Context, dest, backup, path string, o LsOptions, emit func(Entry) error) error {
	rel, err := backupPath(path)
	if err != nil {
		return step("options", err)
	}
	v, err := openView(dest, backup)
	if err != nil {
		return err
	}
	defer v.close()
	l := lister{ctx: ctx, view: v, recursive: o.Recursive, pick: o.Pick, emit: emit}
	return l.list(rel, strings.HasSuffix(path, "/"))
}

type lister struct {
	ctx       context.Context
	view      *view
	recursive bool
	pick      func([]string) []string
	emit      func(Entry) error
}

// list opens what stands at path as a directory if it is one.
func (l *lister) list(path string, follow bool) error {
	flags := uint64(unix.O_PATH)
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	at, err := l.view.lookup(path, flags)
	if err != nil {
		return step("open", err)
	}
	defer at.Close()
	st, err := statFile(at)
	if err != nil {
		return step("read", l.view.explain(err))
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		e, err := entryOf(at, "", path, st)
		if err != nil {
			return step("read", l.view.explain(err))
		}
		return l.emit(e)
	}
	dir, err := openDirAt(at, ".")
	if err != nil {
		return step("read", l.view.explain(err))
	}
	return l.directory(dir, path)
}

// directory lists dir, which is closed before its subdirectories are entered
// but for one descriptor to reach them by.
func (l *lister) directory(dir *os.File, path string) error {
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return step("read", l.view.explain(err))
	}
	slices.Sort(names)
	if l.pick != nil {
		names = l.pick(names)
	}
	for _, name := range names {
		if l.ctx.Err() != nil {
			return step("read", context.Cause(l.ctx))
		}
		if err := l.child(dir, name, filepath.Join(path, name)); err != nil {
			return err
		}
	}
	return step("read", l.view.gone())
}

func (l *lister) child(dir *os.File, name, path string) error {
	st, err := statAt(dir, name)
	var e Entry
	if err == nil {
		e, err = entryOf(dir, name, path, st)
	}
	if err != nil {
		return step("read", l.view.explain(err))
	}
	if err := l.emit(e); err != nil {
		return err
	}
	if !l.recursive || e.Kind != "directory" {
		return nil
	}
	sub, err := openDirAt(dir, name)
	if err != nil {
		return step("read", l.view.explain(err))
	}
	return l.directory(sub, path)
}

func entryOf(dir *os.File, name, path string, st unix.Stat_t) (Entry, error) {
	e := Entry{
		Path: path, Kind: kindOf(st.Mode), Mode: Permissions(st.Mode & 0o7777), UID: st.Uid, GID: st.Gid,
		Size: st.Size, MTime: time.Unix(st.Mtim.Unix()), Links: uint64(st.Nlink), Inode: st.Ino,
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		var err error
		e.Link, err = readlinkAt(dir, name)
		return e, err
	case unix.S_IFBLK, unix.S_IFCHR:
		e.Device = fmt.Sprintf("%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
	}
	return e, nil
}

func kindOf(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "file"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "symlink"
	case unix.S_IFIFO:
		return "fifo"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFBLK:
		return "block device"
	}
	return "character device"
}
