// Overlap: whether SRC and DEST contain each other. Paths are not enough, because with symlinks and mounts one
// directory has many.

package source

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
)

// overlap says whether SRC and DEST contain each other.
type overlap int

const (
	apart overlap = iota
	Same
	DestInside // DEST below SRC
	SrcInside  // SRC below DEST
)

// DestView is a path below SRC that leads to DEST.
type DestView struct {
	Rel    string
	SameFS bool // it is reached without leaving the filesystem of SRC
}

// compare finds out how a local SRC and DEST overlap, through all mounts.
func (s *Source) compare(dest string, destDir *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(destDir.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: dest, Err: err}
	}
	s.dest = mounts.InodeOf(&st)
	if s.dest == (mounts.Inode{Dev: s.dev, Ino: s.ino}) {
		s.Overlap = Same
		return nil
	}
	real, err := filepath.EvalSymlinks(s.Spec.Path)
	if err != nil {
		return fail.Kind(facts.ErrSource, err)
	}
	mounts, err := mounts.Read()
	if err != nil {
		return err
	}
	s.Mounts, s.unending = mounts.MountsBelow(real), mounts.UnendingBelow(real)
	if s.Views, err = s.findViews(mounts, real, dest); err != nil {
		return err
	}
	inside, err := s.isInside(mounts, real, dest, destDir)
	switch {
	case inside:
		s.Overlap = SrcInside
	case len(s.Views) > 0:
		s.Overlap = DestInside
	}
	return err
}

// findViews returns the paths below SRC that lead to DEST. Each path from the table of mounts is confirmed by inode
// number, so that nothing is refused by mistake.
func (s *Source) findViews(mounts mounts.Table, real, dest string) ([]DestView, error) {
	rels, err := s.maybeViews(mounts, real, dest)
	if err != nil {
		return nil, err
	}
	var views []DestView
	for _, rel := range rels {
		view, seen, err := s.follow(rel)
		if err != nil {
			return nil, err
		}
		if seen {
			views = append(views, view)
		}
	}
	return views, nil
}

// maybeViews returns the paths, relative to SRC, at which DEST may be visible. In a chroot the table lacks the mount of
// /, and so does not show where else DEST is: then any trailing part of its path may lead to it, from any btrfs mounted
// in SRC.
func (s *Source) maybeViews(table mounts.Table, real, dest string) ([]string, error) {
	var rels []string
	add := func(dir, path string) {
		if rel, err := filepath.Rel(dir, path); err == nil && rel != "." && at.IsWithin(path, dir) && !slices.Contains(rels, rel) {
			rels = append(rels, rel)
		}
	}
	paths, known := table.PathsOf(dest)
	for _, path := range paths {
		add(real, path)
	}
	for _, m := range table {
		if isOpaque(m, s.Host) {
			for _, path := range append(paths, dest) {
				for _, tail := range mounts.Tails(path) {
					add(real, filepath.Join(m.Point, tail))
				}
			}
		}
	}
	if known {
		return rels, nil
	}
	up, err := mounts.AncestorIs(dest, s.dev, s.ino)
	if up != "" {
		add(up, dest)
	}
	for _, m := range table {
		if m.Kind != "btrfs" || !at.IsWithin(m.Point, real) {
			continue
		}
		for _, tail := range mounts.Tails(dest) {
			add(real, filepath.Join(m.Point, tail))
		}
	}
	return rels, err
}

// follow goes down from SRC to rel, as rsync would, and reports whether DEST is there. Directories that this user
// cannot reach, rsync cannot reach either.
func (s *Source) follow(rel string) (view DestView, seen bool, err error) {
	view = DestView{Rel: rel, SameFS: true}
	path := s.Spec.Path
	var st unix.Stat_t
	for name := range strings.SplitSeq(rel, "/") {
		path = filepath.Join(path, name)
		err := at.Retry(func() error { return unix.Lstat(path, &st) })
		if at.IsNoDir(err) || isOutOfReach(err) {
			return view, false, nil
		}
		if err != nil {
			return view, false, fail.Kind(facts.ErrSource, &os.PathError{Op: "stat", Path: path, Err: err})
		}
		view.SameFS = view.SameFS && uint64(st.Dev) == s.dev
	}
	return view, mounts.InodeOf(&st) == s.dest || s.mark.isAt(path), nil
}

// isOutOfReach reports that the kernel does not let the caller, or anybody, look: a share of a host that is gone, a
// FUSE mount whose program has died.
func isOutOfReach(err error) bool {
	return slices.ContainsFunc([]error{unix.EACCES, unix.ENOTCONN, unix.ECONNABORTED, unix.ESTALE, unix.EHOSTDOWN, unix.EHOSTUNREACH, unix.ETIMEDOUT, unix.EIO},
		func(of error) bool { return errors.Is(err, of) })
}

// CheckLeftOut makes sure that DEST was left out. The user's rules come between ours: after a "!", which may be in a
// file of rules, an include rule can include DEST again.
func (s *Source) CheckLeftOut(pending *os.File) error {
	for _, v := range s.Views {
		dir, err := at.OpenBeneath(pending, v.Rel)
		if at.IsNoDir(err) {
			continue
		}
		if err != nil {
			return err
		}
		// A mount point that --one-file-system does not enter is an empty directory.
		empty, err := at.IsEmpty(dir)
		if err := errors.Join(err, dir.Close()); err != nil {
			return err
		}
		if !empty {
			return fail.Kindf(facts.ErrGuard, "the rules include DEST, at %q in SRC %s, in the backup", v.Rel, s.Shown)
		}
	}
	return nil
}

func (s *Source) viewPaths() []string {
	paths := make([]string, len(s.Views))
	for i, v := range s.Views {
		paths[i] = v.Rel
	}
	return paths
}

// isInside reports whether SRC is in DEST: DEST is one of its parents, or SRC is in a mount of something in DEST.
func (s *Source) isInside(table mounts.Table, real, dest string, destDir *os.File) (bool, error) {
	up, err := mounts.AncestorIs(real, s.dest.Dev, s.dest.Ino)
	if up != "" || err != nil {
		return up != "", err
	}
	if m, ok := table.On(real); ok && isOpaque(m, s.Host) && s.isInView(real, m.Point) {
		return true, nil
	}
	rel, ok := table.Below(dest, real)
	if !ok {
		return false, nil
	}
	var st unix.Stat_t
	err = unix.Fstatat(int(destDir.Fd()), rel, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && mounts.InodeOf(&st) == mounts.Inode{Dev: s.dev, Ino: s.ino}, nil
}

// holdsOnly reports whether dir has only paths, which are relative to it, and their parents. An unreadable directory
// counts as another entry.
func holdsOnly(dir string, paths []string) (bool, error) {
	below := map[string][]string{}
	for _, path := range paths {
		name, rest, _ := strings.Cut(path, "/")
		below[name] = append(below[name], rest)
	}
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer d.Close()
	names, err := d.Readdirnames(len(below) + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	for _, name := range names {
		rest, ok := below[name]
		if !ok {
			return false, nil
		}
		if slices.Contains(rest, "") {
			continue
		}
		if only, err := holdsOnly(filepath.Join(dir, name), rest); !only {
			return false, err
		}
	}
	return true, nil
}
