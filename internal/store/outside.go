// Outside: which directories are, or are inside, a directory with backups.

package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
	"golang.org/x/sys/unix"
)

// CheckOutside refuses path if it is DEST or inside it. It compares device and inode, because bind mounts give one
// directory several paths. Missing elements at the end of path are ignored.
func CheckOutside(s *Store, path string) error {
	dest, err := at.Stat(s.Dir, ".")
	if err != nil {
		return err
	}
	up, err := mounts.AncestorIs(filepath.Join(path, "x"), uint64(dest.Dev), dest.Ino)
	if errors.Is(err, fs.ErrNotExist) {
		up, err = mounts.AncestorIs(path, uint64(dest.Dev), dest.Ino)
	}
	if err != nil {
		return err
	}
	switch up {
	case "":
		return nil
	case path:
		return fail.Kindf(facts.ErrGuard, "%s is the directory with the backups itself", path)
	}
	return fail.Kindf(facts.ErrGuard, "%s lies inside %s, which holds the backups", path, s.Path)
}

// CheckNotInDest refuses path if it, or any of its parents, is a directory with backups. Missing elements at the end of
// path are ignored.
func CheckNotInDest(path string) error {
	for dir := path; ; dir = filepath.Dir(dir) {
		for _, marker := range []string{filepath.Join(LogDirName, markerName), rsyncbtrfsMarker} {
			_, err := os.Lstat(filepath.Join(dir, marker))
			switch {
			case err == nil && dir == path:
				return fail.Kindf(facts.ErrGuard, "%s is a directory that holds backups", path)
			case err == nil:
				return fail.Kindf(facts.ErrGuard, "%s lies inside %s, which holds backups", path, dir)
			}
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
				return err
			}
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// HoldsBackups reports whether init or a predecessor has prepared dir, or may have: .log exists but cannot be read.
func HoldsBackups(dir *os.File) (bool, error) {
	_, err := at.Stat(dir, rsyncbtrfsMarker)
	if err == nil || IgnoreClosed(err) != nil {
		return err == nil, err
	}
	log, err := at.OpenDir(dir, LogDirName)
	if err != nil {
		return errors.Is(err, unix.EACCES), IgnoreClosed(err)
	}
	defer log.Close()
	_, err = at.Stat(log, markerName)
	return err == nil || errors.Is(err, unix.EACCES), IgnoreClosed(err)
}

// IgnoreClosed drops errors of a search for directories: deleted, not a directory, or not accessible.
func IgnoreClosed(err error) error {
	if at.IsNoDir(err) || errors.Is(err, unix.EACCES) {
		return nil
	}
	return err
}
