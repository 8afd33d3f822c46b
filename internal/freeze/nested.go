package freeze

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
)

// nested is a subvolume nested in that of the source.
type nested struct {
	path string // relative to the root of the source's subvolume
	own  bool   // a snapshot made by another run
}

// nestedBelow returns the subvolumes nested in home at or below rel, without those that rules exclude.
func nestedBelow(home *os.File, rel string, leftOut []string) ([]nested, error) {
	children, err := btrfs.Children(home)
	if err != nil {
		return nil, err
	}
	info, err := btrfs.SubvolumeInfo(home)
	if err != nil {
		return nil, err
	}
	var below []nested
	for _, c := range children {
		path, err := filepath.Rel(rel, c.Path)
		if c.Path == "" || err != nil || !filepath.IsLocal(path) || source.IsLeftOut(path, leftOut) {
			continue
		}
		below = append(below, nested{c.Path, source.IsSnapshotName(c.Path, info.UUID)})
	}
	return below, nil
}

// mayLeaveOut refuses a snapshot that would silently lack mounts below the source, or nested subvolumes.
func mayLeaveOut(src *source.Source, children []nested, o Options) error {
	var mounted, lost []string
	for _, m := range src.Mounts {
		mounted = append(mounted, m.Rel())
	}
	for _, c := range children {
		if !c.own && !o.Nested && !o.OneFileSystem {
			lost = append(lost, c.path)
		}
	}
	switch {
	case len(mounted) > 0:
		return fail.Kind(facts.ErrUsage, &facts.SnapshotError{Mounted: mounted, Err: fmt.Errorf("a snapshot of SRC %s does not contain the filesystems mounted below it, at %s", src.Shown, say.QuoteSome(mounted))})
	case len(lost) > 0:
		return fail.Kind(facts.ErrUsage, &facts.SnapshotError{Nested: lost, Err: fmt.Errorf("a snapshot of SRC %s does not contain the subvolumes nested in it, at %s", src.Shown, say.QuoteSome(lost))})
	}
	return nil
}

// appeared refuses a snapshot if a subvolume was created between the lists before and after it: the snapshot may have a
// stub in its place, which looks like an empty directory.
func appeared(before, after []nested, o Options) error {
	for _, c := range after {
		if !c.own && !o.OneFileSystem && !slices.Contains(before, c) {
			return fail.Kindf(facts.ErrSource, "subvolume %q was created while the snapshot was made", c.path)
		}
	}
	return nil
}

// place replaces the stub of c in snap, which is a snapshot of live, by a snapshot of the subvolume with everything
// nested in it, or by an empty directory of the same mode, owner and times. A stub has no times of its own: it shows
// the current time (Linux 6.18). The stub of a snapshot that another run has made is only removed.
func (s *Snapshot) place(live, snap *os.File, c nested, whole bool) error {
	parent, err := at.OpenInside(snap, filepath.Dir(c.path))
	if err != nil {
		return err
	}
	defer parent.Close()
	st, err := at.StatFile(parent)
	if err != nil {
		return err
	}
	name := filepath.Base(c.path)
	if err := at.Unlink(parent, name, unix.AT_REMOVEDIR); err != nil {
		return err
	}
	if !c.own {
		if err := s.fill(live, parent, c.path, whole); err != nil {
			return fmt.Errorf("nested subvolume %s: %w", c.path, err)
		}
	}
	return setTimes(parent, st)
}

func (s *Snapshot) fill(live, parent *os.File, path string, whole bool) error {
	from, err := at.OpenInside(live, path)
	if err != nil {
		return err
	}
	defer from.Close()
	if whole {
		return s.placeSnapshot(from, parent, filepath.Base(path))
	}
	return placeEmpty(from, parent, filepath.Base(path))
}

func (s *Snapshot) placeSnapshot(from, parent *os.File, name string) error {
	info, err := btrfs.SubvolumeInfo(from)
	if err != nil {
		return err
	}
	children, err := btrfs.Children(from)
	if err != nil {
		return err
	}
	if err := btrfs.CreateSnapshot(parent, name, from, btrfs.SnapshotOptions{ReadOnly: len(children) == 0}); err != nil {
		return cannot(from, err)
	}
	snap, err := btrfs.OpenDirAt(parent, name)
	if err != nil {
		return err
	}
	defer snap.Close()
	after, err := btrfs.Children(from)
	if err != nil {
		return err
	}
	for _, c := range after {
		if !slices.Contains(children, c) {
			return fail.Kindf(facts.ErrSource, "subvolume %q in %s was created while the snapshot was made", c.Path, from.Name())
		}
	}
	if err := s.note(snap, info.UUID); err != nil || len(children) == 0 {
		return err
	}
	for _, c := range children {
		if c.Path == "" {
			return fmt.Errorf("a subvolume nested in %s is not visible", from.Name())
		}
		if err := s.place(from, snap, nested{c.Path, source.IsSnapshotName(c.Path, info.UUID)}, true); err != nil {
			return err
		}
	}
	return btrfs.SetReadOnly(snap, true)
}

// placeEmpty makes an empty directory that looks like another one.
func placeEmpty(like, parent *os.File, name string) error {
	st, err := at.StatFile(like)
	if err != nil {
		return err
	}
	if err := at.Mkdir(parent, name, 0o700); err != nil {
		return err
	}
	dir, err := at.OpenDir(parent, name)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Fchown(int(dir.Fd()), int(st.Uid), int(st.Gid)); err != nil && !errors.Is(err, unix.EPERM) {
		return at.Error("chown", dir, "", err)
	}
	if err := at.CopyXattrs(dir, like); err != nil {
		return err
	}
	if err := unix.Fchmod(int(dir.Fd()), st.Mode&0o7777); err != nil {
		return at.Error("chmod", dir, "", err)
	}
	return setTimes(dir, st)
}

func setTimes(dir *os.File, st unix.Stat_t) error {
	times := []unix.Timespec{st.Atim, st.Mtim}
	return at.Error("utimens", dir, "", unix.UtimesNanoAt(int(dir.Fd()), "", times, unix.AT_EMPTY_PATH))
}

// note stores which subvolume snap is a snapshot of.
func (s *Snapshot) note(snap *os.File, origin btrfs.UUID) error {
	info, err := btrfs.SubvolumeInfo(snap)
	if err != nil {
		return err
	}
	s.origins[info.UUID.String()] = origin.String()
	return nil
}
