// Overlap: how SRC and DEST lie to each other. Paths do not tell, since
// symlinks and mounts give one directory many.

package rsbtbackup

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// overlap is how SRC and DEST lie to each other.
type overlap int

const (
	apart overlap = iota
	same
	destInside // DEST below SRC
	srcInside  // SRC below DEST
)

// destView is a path below SRC that leads to DEST.
type destView struct {
	rel    string
	sameFS bool // one gets there without leaving the filesystem of SRC
}

// inode tells one file of this machine from another.
type inode struct{ dev, ino uint64 }

func inodeOf(st *unix.Stat_t) inode { return inode{uint64(st.Dev), st.Ino} }

// compare finds out how a local SRC and DEST overlap, by whatever mounts.
func (s *source) compare(dest string, destDir *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(destDir.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: dest, Err: err}
	}
	s.dest = inodeOf(&st)
	if s.dest == (inode{s.dev, s.ino}) {
		s.overlap = same
		return nil
	}
	real, err := filepath.EvalSymlinks(s.spec.Path)
	if err != nil {
		return kindError{ErrSource, err}
	}
	mounts, err := readMounts()
	if err != nil {
		return err
	}
	if s.views, err = s.findViews(mounts, real, dest); err != nil {
		return err
	}
	inside, err := s.isInside(mounts, real, dest, destDir)
	switch {
	case inside:
		s.overlap = srcInside
	case len(s.views) > 0:
		s.overlap = destInside
	}
	return err
}

// findViews returns the paths below SRC that lead to DEST. What the table of
// mounts says is confirmed by inode, so that nothing is refused by mistake.
func (s *source) findViews(mounts mountTable, real, dest string) ([]destView, error) {
	rels, err := s.maybeViews(mounts, real, dest)
	if err != nil {
		return nil, err
	}
	var views []destView
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

// maybeViews returns the paths, relative to SRC, at which DEST may be seen. In a
// chroot the table lacks what / lies in, and so does not tell where else DEST
// is: then any end of its path may lead to it, from any btrfs mounted in SRC.
func (s *source) maybeViews(mounts mountTable, real, dest string) ([]string, error) {
	var rels []string
	add := func(dir, path string) {
		if rel, err := filepath.Rel(dir, path); err == nil && rel != "." && isWithin(path, dir) && !slices.Contains(rels, rel) {
			rels = append(rels, rel)
		}
	}
	paths, known := mounts.pathsOf(dest)
	for _, path := range paths {
		add(real, path)
	}
	if known {
		return rels, nil
	}
	up, err := ancestorIs(dest, s.dev, s.ino)
	if up != "" {
		add(up, dest)
	}
	for _, m := range mounts {
		if m.kind != "btrfs" || !isWithin(m.point, real) {
			continue
		}
		for _, tail := range tails(dest) {
			add(real, filepath.Join(m.point, tail))
		}
	}
	return rels, err
}

// tails of "/a/b" are itself, "/b" and "".
func tails(path string) []string {
	var ends []string
	for i := range len(path) {
		if path[i] == '/' {
			ends = append(ends, path[i:])
		}
	}
	return append(ends, "")
}

// follow goes down from SRC to rel, the way rsync would, and tells whether DEST
// is there. What this user may not reach, rsync can not either.
func (s *source) follow(rel string) (view destView, seen bool, err error) {
	view = destView{rel: rel, sameFS: true}
	path := s.spec.Path
	var st unix.Stat_t
	for name := range strings.SplitSeq(rel, "/") {
		path = filepath.Join(path, name)
		err := retry(func() error { return unix.Lstat(path, &st) })
		if isNoDir(err) || errors.Is(err, unix.EACCES) {
			return view, false, nil
		}
		if err != nil {
			return view, false, kindError{ErrSource, &os.PathError{Op: "stat", Path: path, Err: err}}
		}
		view.sameFS = view.sameFS && uint64(st.Dev) == s.dev
	}
	return view, inodeOf(&st) == s.dest, nil
}

// checkLeftOut makes sure that DEST was left out. The rules of the user come
// between ours: after a "!", which may stand in a file of rules, an include lets
// DEST in again.
func (s *source) checkLeftOut(pending *os.File) error {
	for _, v := range s.views {
		dir, err := openBeneath(pending, v.rel)
		if isNoDir(err) {
			continue
		}
		if err != nil {
			return err
		}
		// A mount point that --one-file-system does not enter is an empty directory.
		empty, err := isEmptyDir(dir)
		if err := errors.Join(err, dir.Close()); err != nil {
			return err
		}
		if !empty {
			return failf(ErrGuard, "the rules take DEST, at %q in SRC %s, into the backup", v.rel, s.shown)
		}
	}
	return nil
}

func (s *source) viewPaths() []string {
	paths := make([]string, len(s.views))
	for i, v := range s.views {
		paths[i] = v.rel
	}
	return paths
}

// isInside tells whether SRC lies in DEST: on the way up from it, or in a mount
// of something in DEST.
func (s *source) isInside(mounts mountTable, real, dest string, destDir *os.File) (bool, error) {
	up, err := ancestorIs(real, s.dest.dev, s.dest.ino)
	if up != "" || err != nil {
		return up != "", err
	}
	rel, ok := mounts.below(dest, real)
	if !ok {
		return false, nil
	}
	var st unix.Stat_t
	err = unix.Fstatat(int(destDir.Fd()), rel, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && inodeOf(&st) == inode{s.dev, s.ino}, nil
}

// holdsOnly tells whether there is nothing in dir but paths, which are relative
// to it, and the directories on the way to them. What can not be looked into
// counts as something.
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

// ancestorIs returns the ancestor of path that is the given inode, or "".
func ancestorIs(path string, dev, ino uint64) (string, error) {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil {
			// An ancestor we may not look at is none we were asked to back up.
			if errors.Is(err, unix.EACCES) {
				return "", nil
			}
			return "", &os.PathError{Op: "stat", Path: dir, Err: err}
		}
		if uint64(st.Dev) == dev && st.Ino == ino {
			return dir, nil
		}
		if dir == "/" || !strings.Contains(dir, "/") {
			return "", nil
		}
	}
}
