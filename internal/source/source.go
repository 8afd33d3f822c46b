// The source: the user's SRC, and the directory that it is now.

package source

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Source is SRC as a run sees it. The fields below spec are for local sources only.
type Source struct {
	Spec     rsyncexec.Source
	Shown    string // as recorded and logged
	dev, ino uint64
	Identity *facts.SourceIdentity
	Host     string
	Empty    bool
	Overlap  overlap
	dest     mounts.Inode // DEST
	Views    []DestView   // paths in SRC that lead to DEST; only with DestInside
	Mounts   []facts.SourceMount
	Beyond   []string       // paths below SRC at which --one-file-system leaves data out
	Changed  []ChangedMount // mounts below SRC that changed since the newest backup
	Gone     string         // a notice about mounts that were removed with their directory
	Stubs    []string       // paths at which SRC has a stub, and the newest backup has files
	unending []string       // paths below SRC at which filesystems of the kernel are mounted
	mark     mark
	marked   []marked // directories that are left out because of a file in them
	// snapshots in SRC are not backed up: other runs read SRC from them, or have left them.
	snapshots []string
}

func (s *Source) Local() bool { return s.Spec.Kind == rsyncexec.Local }

// Root identifies the directory in the note about pending, within this boot. Each btrfs snapshot has its own device
// number, and so has each mount of some filesystems without an id.
func (s *Source) Root() string {
	switch {
	case s.Identity == nil:
		return ""
	case s.Identity.UUID != "":
		return fmt.Sprintf("%x-%s-%s-%d", s.Identity.FSType, s.Identity.UUID, s.Identity.Subvolume, s.Identity.Inode)
	case s.Identity.FSID != "":
		return fmt.Sprintf("%x-%s-%d", s.Identity.FSType, s.Identity.FSID, s.Identity.Inode)
	}
	return fmt.Sprintf("%x-%d-%d-%s", s.Identity.FSType, s.dev, s.ino, s.Identity.Instance)
}

// Describe parses src and examines a local one. dest is the real path of DEST, destDir its descriptor, own what
// identifies it.
func Describe(src, dest string, destDir *os.File, own Mark) (*Source, error) {
	spec, err := rsyncexec.ParseSource(src)
	if err != nil {
		return nil, fail.Kindf(facts.ErrUsage, "SRC: %w", err)
	}
	s := &Source{Spec: spec, Shown: src, mark: own.read(dest)}
	if !s.Local() {
		return s, nil
	}
	if s.Spec.Path, err = at.Absolute(spec.Path); err != nil {
		return nil, fail.Kind(facts.ErrSource, err)
	}
	s.Shown = s.Spec.Path
	if err := s.look(); err != nil {
		return nil, fail.Kind(facts.ErrSource, err)
	}
	if err := s.compare(dest, destDir); err != nil {
		return nil, err
	}
	if len(s.Views) > 0 {
		if s.Empty, err = holdsOnly(s.Spec.Path, s.viewPaths()); err != nil {
			return nil, fail.Kind(facts.ErrSource, err)
		}
	}
	return s, nil
}

// look opens a local source: only that shows whether it can be read.
func (s *Source) look() error {
	dir, err := os.OpenFile(s.Spec.Path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: s.Spec.Path, Err: err}
	}
	s.dev, s.ino = uint64(st.Dev), st.Ino
	if s.Empty, err = at.IsEmpty(dir); err != nil {
		return err
	}
	if s.Identity, err = mounts.Identify(dir); err != nil {
		return err
	}
	mounts.KeepInode(s.Identity, &st)
	if s.snapshots, err = snapshotsIn(dir, s.Identity.Subvolume); err != nil {
		return err
	}
	s.Host, err = os.Hostname()
	return err
}

// StillThere checks that a local source is still the directory that it was when the run began. rsync exits with 0 or 24
// if a disk is unmounted, or the whole source removed, while it runs. A remote source cannot be checked.
func (s *Source) StillThere() error {
	if !s.Local() {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Stat(s.Spec.Path, &st); err != nil {
		return fail.Kindf(facts.ErrSource, "%s disappeared during the backup: %w", s.Shown, err)
	}
	replaced := uint64(st.Dev) != s.dev || st.Ino != s.ino
	if !replaced && s.Identity != nil { // another XFS attached in its place has the same device and inode number
		now, err := mounts.IdentifyPath(s.Spec.Path)
		if err != nil {
			return fail.Kindf(facts.ErrSource, "%s disappeared during the backup: %w", s.Shown, err)
		}
		replaced = !mounts.SameFS(*s.Identity, *now)
	}
	if replaced {
		return fail.Kindf(facts.ErrSource, "%s was replaced by another directory during the backup (unmounted?)", s.Shown)
	}
	return s.mountsStay()
}

// Elsewhere is the source in a snapshot of it, at path. It keeps its name and its identity.
func (s *Source) Elsewhere(path string) (*Source, error) {
	var st unix.Stat_t
	if err := at.Retry(func() error { return unix.Lstat(path, &st) }); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Ino != s.ino {
		return nil, fail.Kindf(facts.ErrSource, "%s is not the same directory in a snapshot of its subvolume (moved, or mounted from elsewhere?)", s.Shown)
	}
	e := *s
	e.Spec.Path, e.dev, e.snapshots = path, uint64(st.Dev), nil
	return &e, nil
}

// Renames returns pairs for strings.NewReplacer: from the paths given to rsync to those that the user knows.
func (s *Source) Renames() []string {
	if !s.Local() || s.Spec.Path == s.Shown {
		return nil
	}
	return []string{s.Spec.Path, s.Shown}
}
