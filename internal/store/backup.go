package store

import (
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

func (s *Store) IsEmpty(name string) (bool, error) {
	d, err := at.OpenDir(s.Dir, name)
	if err != nil {
		return false, err
	}
	defer d.Close()
	return at.IsEmpty(d)
}
