package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

const newCatalog = at.TempPrefix + catalogName

// OpenCatalog opens the catalog of the source at the last backup; see package scan. Errors match fs.ErrNotExist if
// there is none.
func (s *Store) OpenCatalog() (*os.File, error) { return s.openCatalog(catalogName) }

// OpenWorkCatalog opens the one that the note about pending names.
func (s *Store) OpenWorkCatalog() (*os.File, error) { return s.openCatalog(workCatalogName) }

func (s *Store) openCatalog(name string) (*os.File, error) {
	f, err := at.Open(s.logDir, name, unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = at.Error("open", s.logDir, name, errors.New("not a regular file"))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// NewCatalog makes an empty file beside the catalog, for KeepCatalog, KeepWorkCatalog or DropCatalog.
func (s *Store) NewCatalog() (*os.File, error) {
	if err := s.DropCatalog(); err != nil {
		return nil, err
	}
	f, err := at.Open(s.logDir, newCatalog, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := at.GiveToOwner(f, s.logDir); err != nil {
		return nil, errors.Join(err, f.Close(), s.DropCatalog())
	}
	return f, nil
}

// KeepCatalog replaces the catalog by f, from NewCatalog: the record that is written next names it. The data is then on
// the disk. The name is, too, when the backup is published or WriteUnchanged returns.
func (s *Store) KeepCatalog(f *os.File) error {
	if err := f.Sync(); err != nil {
		return err
	}
	return at.Rename(s.logDir, newCatalog, catalogName)
}

// KeepWorkCatalog keeps the file from NewCatalog with pending: the note that is written next names it. Like the note it
// matters only within one boot.
func (s *Store) KeepWorkCatalog() error { return at.Rename(s.logDir, newCatalog, workCatalogName) }

// DropCatalog removes the file made by NewCatalog, also by a run that was killed.
func (s *Store) DropCatalog() error { return at.IgnoreNotExist(at.Unlink(s.logDir, newCatalog, 0)) }
