// Stubs below SRC: the empty directories that a snapshot shows where subvolumes were nested.

package source

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
)

// stubs returns the paths at which SRC has a stub and the last backup, base, has files: a rollback, which puts a
// snapshot in the place of SRC, does not take nested subvolumes along. Where to look is known from the records of the
// last backups of this source: not each run records the subvolumes that it came by.
func (s *Source) stubs(backups []facts.Snapshot, base *os.File) ([]string, error) {
	var lost []string
	for _, path := range s.subvolumesOnRecord(backups) {
		stub, err := isStub(filepath.Join(s.Spec.Path, path))
		if err != nil {
			return nil, err
		}
		c := ChangedMount{Path: path}
		if !stub {
			continue
		}
		if err := c.count(base, filepath.Join(s.Spec.Path, path)); err != nil {
			return nil, err
		}
		if c.entries > 0 {
			lost = append(lost, path)
		}
	}
	return lost, nil
}

// subvolumesOnRecord are those of the newest of backups, which are sorted by age, that has any on record.
func (s *Source) subvolumesOnRecord(backups []facts.Snapshot) (paths []string) {
	for _, b := range slices.Backward(backups) {
		if b.Record == nil || b.Record.SourceName() != s.Shown || b.Record.Scan == nil || b.Record.Scan.Generations == nil {
			continue
		}
		for _, v := range b.Record.Scan.Generations.Subvolumes {
			if path, err := strconv.Unquote(v.Path); err == nil && filepath.IsLocal(path) {
				paths = append(paths, path)
			}
		}
		return paths
	}
	return nil
}

// isStub opens only what has the inode number of a stub: opening would trigger an automount. Other filesystems have
// this number too, as ext4 at its top.
func isStub(path string) (bool, error) {
	var st unix.Stat_t
	if err := at.Retry(func() error { return unix.Lstat(path, &st) }); err != nil || st.Ino != btrfs.StubInode || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return false, nil // what cannot be reached is for rsync to report
	}
	dir, err := os.OpenFile(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, fail.Kind(facts.ErrSource, err)
	}
	defer dir.Close()
	return btrfs.IsBtrfs(dir)
}

// LostSubvolume is the error for a stub in the place of a subvolume.
func LostSubvolume(path, src string, newest *facts.Snapshot) error {
	return fail.Kindf(facts.ErrGuard, "%s is the empty place of a subvolume, whose files at the last backup, %s, are not in this source (a rollback or a snapshot does not include nested subvolumes). "+
		"Move or mount the subvolume there, or leave it out with --exclude", filepath.Join(src, path), newest.Name)
}
