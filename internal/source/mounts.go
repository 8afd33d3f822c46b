// The mounts below SRC: an unmounted disk, at any depth, leaves a directory that looks as if it had been emptied.

package source

import (
	"errors"
	"fmt"
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
	"github.com/rsbtbackup/rsbtbackup/internal/say"
)

// ChangedMount is a path below SRC at which another filesystem is mounted than at the last backup, or none where one
// was, or one where none was.
type ChangedMount struct {
	Path    string
	was     string // source of what was mounted there; empty for nothing
	is      string
	removed bool // with its directory and other files: that was meant
	linked  bool // a symlink is there now: that was meant, too
	file    bool // mounted on a file, which is one entry if it has content
	entries int  // how many of the first few entries the last backup has there
	kept    int  // how many of these SRC still has
}

// Lost reports that other files are there now.
func (c ChangedMount) Lost() bool { return c.kept*2 < c.entries }

// CompareBelow compares what is below SRC with the last backup, base. Mounts are unknown if an older version made it,
// and cannot be compared if only the new backup has oneFS. What rules leave out does not count.
func (s *Source) CompareBelow(last *facts.Record, backups []facts.Snapshot, base *os.File, oneFS bool, leftOut []string) (err error) {
	if last.Mounts != nil && (!oneFS || slices.Contains(last.Rules, oneFSOption)) {
		if s.Changed, err = changedMounts(last.Mounts, s.Mounts, base, s.Spec.Path); err != nil {
			return err
		}
	}
	s.Changed = slices.DeleteFunc(s.Changed, func(c ChangedMount) bool { return IsLeftOut(c.Path, leftOut) })
	s.Gone = goneMounts(s.Changed)
	s.Changed = slices.DeleteFunc(s.Changed, func(c ChangedMount) bool { return c.removed || c.linked })
	if oneFS {
		return nil // nested subvolumes are left out
	}
	s.Stubs, err = s.stubs(backups, base)
	s.Stubs = slices.DeleteFunc(s.Stubs, func(path string) bool { return IsLeftOut(path, leftOut) })
	return err
}

// changedMounts compares the mounts below SRC with those at the last backup, base, as far as base has files there.
// Mounts that were removed with their directory, or that moved to another path, do not count.
func changedMounts(was, is []facts.SourceMount, base *os.File, src string) ([]ChangedMount, error) {
	var changed []ChangedMount
	for _, path := range mountPaths(was, is) {
		old, now := mounts.Find(was, path), mounts.Find(is, path)
		switch {
		case old != nil && now != nil && mounts.SameDir(old.SourceIdentity, now.SourceIdentity):
			continue
		case old == nil && mounts.ClassOf(*now) != mounts.OfData:
			continue
		case old != nil && now == nil && (mounts.Moved(*old, was, is) || mounts.ClassOf(*old) != mounts.OfData && !exists(filepath.Join(src, path))):
			continue
		}
		c := ChangedMount{Path: path}
		if old != nil && now == nil {
			var err error
			if c.removed, err = removedWithOthers(path, src, was, base); err != nil {
				return nil, err
			}
		}
		if old != nil {
			c.was = old.Source
		}
		if now != nil {
			c.is = now.Source
		}
		if err := c.count(base, filepath.Join(src, path)); err != nil {
			return nil, err
		}
		if c.entries > 0 && !(c.file && !c.Lost()) {
			changed = append(changed, c)
		}
	}
	return changed, nil
}

// goneMounts is a notice about disks that are missing, and not refused for that.
func goneMounts(changed []ChangedMount) string {
	var removed, linked []string
	for _, c := range changed {
		switch {
		case c.removed:
			removed = append(removed, c.Path)
		case c.linked:
			linked = append(linked, c.Path)
		}
	}
	var texts []string
	if len(removed) > 0 {
		texts = append(texts, "what was mounted at "+say.QuoteSome(removed)+" at the last backup is gone together with its parent directory: its files are not in this backup")
	}
	if len(linked) > 0 {
		texts = append(texts, "a symlink has replaced what was mounted at "+say.QuoteSome(linked)+" at the last backup: the files it leads to are not in this backup; to back them up, make a backup of that directory, too")
	}
	return strings.Join(texts, "; ")
}

// removedWithOthers reports that a directory with the mount point at path is gone, or something else is in its place,
// and that it had more files of the last backup, base, than mounted ones: somebody has removed it, as a container.
func removedWithOthers(path, src string, was []facts.SourceMount, base *os.File) (bool, error) {
	mounted := mountPaths(was, nil)
	for up := filepath.Dir(path); up != "." && !IsDirectory(filepath.Join(src, up)); up = filepath.Dir(up) {
		if exists(filepath.Join(src, up)) {
			return true, nil
		}
		dir, err := at.OpenBeneath(base, up)
		if at.IsNoDir(err) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		names, err := at.Names(dir)
		if err := errors.Join(err, dir.Close()); err != nil {
			return false, err
		}
		for _, name := range names {
			if !at.LeadsTo(filepath.Join(up, name), mounted) {
				return true, nil
			}
		}
	}
	return false, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func mountPaths(was, is []facts.SourceMount) []string {
	var paths []string
	for _, m := range slices.Concat(was, is) {
		paths = append(paths, m.Rel())
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func IsDirectory(path string) bool {
	st, err := os.Lstat(path)
	return err == nil && st.IsDir()
}

// count looks for the first entries that base has at the path in now, the same directory of SRC. It notes a
// symlink that has replaced the directory.
func (c *ChangedMount) count(base *os.File, now string) error {
	is, err := os.Lstat(now)
	c.linked = err == nil && is.Mode()&fs.ModeSymlink != 0
	dir, failed := at.OpenBeneath(base, c.Path)
	if at.IsNoDir(failed) {
		had, err := at.LookInside(base, c.Path)
		if c.file = had.IsFile() && had.FileSize() > 0; c.file {
			c.entries = 1
		}
		if is != nil && (is.IsDir() || is.Size() > 0) {
			c.kept = 1
		}
		if at.IsNoDir(err) {
			return nil
		}
		return err
	}
	if failed != nil {
		return failed
	}
	defer dir.Close()
	const most = 1000
	names, err := dir.Readdirnames(most)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	c.entries = len(names)
	for _, name := range names {
		if hasMore(dir, filepath.Join(now, name), name) {
			c.kept++
		}
	}
	return nil
}

// hasMore reports that name of base is at now too. An empty directory may be the place of a mount, below which
// directories of the same names were made.
func hasMore(base *os.File, now, name string) bool {
	st, err := os.Lstat(now)
	if err != nil || !st.IsDir() {
		return err == nil
	}
	had, err := at.OpenBeneath(base, name)
	if err != nil {
		return true // no directory, or unreadable
	}
	defer had.Close()
	wasEmpty, err := at.IsEmpty(had)
	if err != nil || wasEmpty {
		return true
	}
	is, err := os.Open(now)
	if err != nil {
		return true
	}
	defer is.Close()
	empty, err := at.IsEmpty(is)
	return err != nil || !empty
}

// LeaveOut removes the mounts that a backup does not enter. With oneFS those that hold data are listed in Beyond.
func (s *Source) LeaveOut(oneFS bool, leftOut []string) {
	inside := []facts.SourceMount{}
	s.Beyond = nil
	if oneFS {
		s.unending = nil
	}
	for _, m := range s.Mounts {
		switch {
		case IsLeftOut(m.Rel(), leftOut), IsLeftOut(m.Rel(), s.Beyond):
		case !oneFS || s.isEntered(m):
			inside = append(inside, m)
		case mounts.ClassOf(m) == mounts.OfData, mounts.HoldsFiles(m):
			s.Beyond = append(s.Beyond, m.Rel())
		}
	}
	if s.Local() {
		s.Mounts = inside
	}
}

// isEntered reports mounts that rsync enters with --one-file-system: bind mounts of the same filesystem, and of single
// files. Network shares, which are identified only by their source, are not asked.
func (s *Source) isEntered(m facts.SourceMount) bool {
	var st unix.Stat_t
	return m.FSType != 0 && unix.Lstat(filepath.Join(s.Spec.Path, m.Rel()), &st) == nil &&
		(uint64(st.Dev) == s.dev || st.Mode&unix.S_IFMT != unix.S_IFDIR)
}

// mountsStay checks that each disk below a local source is still mounted.
func (s *Source) mountsStay() error {
	real, err := filepath.EvalSymlinks(s.Spec.Path)
	if err != nil {
		return fail.Kindf(facts.ErrSource, "%s disappeared during the backup: %w", s.Shown, err)
	}
	table, err := mounts.Read()
	if err != nil {
		return err
	}
	now := table.MountsBelow(real)
	for _, m := range s.Mounts {
		is := mounts.Find(now, m.Rel())
		if mounts.ClassOf(m) == mounts.OfData && (is == nil || !mounts.SameDir(m.SourceIdentity, is.SourceIdentity)) {
			return fail.Kindf(facts.ErrSource, "%s, at %s, was unmounted during the backup", Device(m.Source), filepath.Join(s.Shown, m.Rel()))
		}
	}
	return nil
}

// LostMount is the error for a missing or different mount.
func LostMount(c ChangedMount, src string, newest *facts.Snapshot) error {
	path := filepath.Join(src, c.Path)
	switch {
	case c.is == "":
		return otherMount("%s was mounted at %s at the last backup, %s, and is not now: the backup would lose its files", Device(c.was), path, newest.Name)
	case c.was == "":
		return otherMount("%s is mounted at %s since the last backup, %s, and hides most of the files that it has there", Device(c.is), path, newest.Name)
	}
	return otherMount("another filesystem is mounted at %s than at the last backup, %s, and lacks most of the files that it has there", path, newest.Name)
}

func otherMount(format string, args ...any) error {
	return fail.Kind(facts.ErrGuard, fail.Kindf(facts.ErrOtherFilesystem, format, args...))
}

// Device is the source of a mount without its type.
func Device(source string) string {
	kind, name, _ := strings.Cut(source, " ")
	if name == "" || name == "none" || name == kind {
		return "a " + kind
	}
	return name
}

// MountChanges is a notice about changed mounts that are not refused.
func MountChanges(changed []ChangedMount) string {
	var paths []string
	for _, c := range changed {
		paths = append(paths, c.Path)
	}
	return fmt.Sprintf("other filesystems than at the last backup are mounted at %s: contents are compared", say.QuoteSome(paths))
}

// IsLeftOut reports whether path is one of leftOut, or below one.
func IsLeftOut(path string, leftOut []string) bool {
	return slices.ContainsFunc(leftOut, func(out string) bool {
		return path == out || strings.HasPrefix(path, out+"/")
	})
}
