package store

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
)

// CheckOutside refuses path if it is DEST or lies in it, by device and inode:
// bind mounts give one directory many paths. What is missing at the end of
// path is passed over.
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
