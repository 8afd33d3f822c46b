// Browsing: listing and reading the files of one backup, which is held open. The kernel confines every lookup to the
// backup.

package browse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// Open is rsbtbackup.Open.
func Open(ctx context.Context, dest, backup, path string) (*os.File, error) {
	rel, err := store.BackupPath(path)
	if err != nil {
		return nil, fail.Step("options", err)
	}
	v, err := store.OpenView(dest, backup)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	f, err := openFile(v, rel)
	if err != nil {
		return nil, fail.Step("open", err)
	}
	return f, ctx.Err()
}

// OpenEach is rsbtbackup.OpenEach.
func OpenEach(ctx context.Context, dest, backup string, paths []string, visit func(path string, f *os.File) error) error {
	rels := make([]string, len(paths))
	for i, path := range paths {
		var err error
		if rels[i], err = store.BackupPath(path); err != nil {
			return fail.Step("options", err)
		}
	}
	v, err := store.OpenView(dest, backup)
	if err != nil {
		return err
	}
	defer v.Close()
	for i, path := range paths {
		f, err := openFile(v, rels[i])
		if err != nil {
			return fail.Step("open", err)
		}
		stop := context.AfterFunc(ctx, func() { f.Close() })
		err = visit(path, f)
		if stop() {
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// openFile calls stat before it opens: opening a device or a fifo has side effects.
func openFile(v *store.View, path string) (*os.File, error) {
	pos, err := v.Lookup(path, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer pos.Close()
	st, err := at.StatFile(pos)
	if err != nil {
		return nil, v.Explain(err)
	}
	if kind := at.KindOf(st.Mode); kind != "file" {
		return nil, fail.Kindf(facts.ErrUsage, "%q in %s is a %s, not a regular file", path, v.Snap.Name, kind)
	}
	f, err := at.Reopen(pos)
	return f, v.Explain(err)
}

// LsOptions are rsbtbackup.LsOptions, where each field has its comment.
type LsOptions struct {
	Recursive bool
	Pick      func(names []string) []string
}

// Ls is rsbtbackup.Ls.
func Ls(ctx context.Context, dest, backup, path string, o LsOptions, emit func(facts.Entry) error) error {
	rel, err := store.BackupPath(path)
	if err != nil {
		return fail.Step("options", err)
	}
	v, err := store.OpenView(dest, backup)
	if err != nil {
		return err
	}
	defer v.Close()
	l := lister{ctx: ctx, view: v, recursive: o.Recursive, pick: o.Pick, emit: emit}
	return errors.Join(l.list(rel, strings.HasSuffix(path, "/")), l.unread())
}

type lister struct {
	ctx       context.Context
	view      *store.View
	recursive bool
	pick      func([]string) []string
	emit      func(facts.Entry) error

	lost      int   // entries that could not be read
	firstLost error // why
}

// skip notes an entry that cannot be read, and lets the list go on: all others are listed.
func (l *lister) skip(err error) error {
	if err = l.view.Explain(err); !at.IsUnreadable(err) {
		return fail.Step("read", err)
	}
	l.lost, l.firstLost = l.lost+1, cmp.Or(l.firstLost, err)
	return nil
}

func (l *lister) unread() error {
	switch l.lost {
	case 0:
		return nil
	case 1:
		return fail.Step("read", l.firstLost)
	}
	return fail.Step("read", fail.Kindf(facts.ErrUnread, "%d entries could not be read, the first: %w", l.lost, l.firstLost))
}

// list opens path as a directory if it is one.
func (l *lister) list(path string, follow bool) error {
	flags := uint64(unix.O_PATH)
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	pos, err := l.view.Lookup(path, flags)
	if err != nil {
		return fail.Step("open", err)
	}
	defer pos.Close()
	st, err := at.StatFile(pos)
	if err != nil {
		return fail.Step("read", l.view.Explain(err))
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		e, err := entryOf(pos, "", path, st)
		if err != nil {
			return fail.Step("read", l.view.Explain(err))
		}
		return l.emit(e)
	}
	dir, err := at.OpenDir(pos, ".")
	if err != nil {
		return fail.Step("read", l.view.Explain(err))
	}
	return l.directory(dir, path)
}

// directory lists dir. Before it enters subdirectories it closes dir, except for one descriptor to reach them.
func (l *lister) directory(dir *os.File, path string) error {
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		if err := l.skip(err); err != nil {
			return err
		}
	}
	slices.Sort(names)
	if l.pick != nil {
		names = l.pick(names)
	}
	for _, name := range names {
		if l.ctx.Err() != nil {
			return fail.Step("read", context.Cause(l.ctx))
		}
		if err := l.child(dir, name, filepath.Join(path, name)); err != nil {
			return err
		}
	}
	return fail.Step("read", l.view.Gone())
}

func (l *lister) child(dir *os.File, name, path string) error {
	st, err := at.Stat(dir, name)
	var e facts.Entry
	if err == nil {
		e, err = entryOf(dir, name, path, st)
	}
	if err != nil {
		return l.skip(err)
	}
	if err := l.emit(e); err != nil {
		return err
	}
	if !l.recursive || e.Kind != "directory" {
		return nil
	}
	sub, err := at.OpenDir(dir, name)
	if err != nil {
		return l.skip(err)
	}
	return l.directory(sub, path)
}

func entryOf(dir *os.File, name, path string, st unix.Stat_t) (facts.Entry, error) {
	e := facts.Entry{
		Path: path, Kind: at.KindOf(st.Mode), Mode: facts.Permissions(st.Mode & 0o7777), UID: st.Uid, GID: st.Gid,
		Size: st.Size, MTime: time.Unix(st.Mtim.Unix()), Links: uint64(st.Nlink), Inode: st.Ino,
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		var err error
		e.Link, err = at.Readlink(dir, name)
		return e, err
	case unix.S_IFBLK, unix.S_IFCHR:
		e.Device = fmt.Sprintf("%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
	}
	return e, nil
}
