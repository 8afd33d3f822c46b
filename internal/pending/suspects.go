package pending

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

// Suspect returns a function for scan.Options.Suspect: what pending has of these files with their size and time, rsync
// compares; see Doubt. If one of them could not be marked, Unmarked says why.
func (s *Sights) Suspect(source *os.File) func(dir string, files []catalog.Entry) {
	return func(dir string, files []catalog.Entry) {
		if len(files) > 0 && s.Unmarked == nil {
			s.Unmarked = s.suspect(source, dir, files)
		}
	}
}

func (s *Sights) suspect(source *os.File, path string, files []catalog.Entry) error {
	return within(s.pending, path, func(dir *os.File) error {
		for _, e := range files {
			have, err := at.Stat(dir, e.Name)
			modified := catalog.Time{Sec: int64(have.Mtim.Sec), Nsec: uint32(have.Mtim.Nsec)}
			switch {
			case at.IsNoDir(err), err == nil && (have.Mode&unix.S_IFMT != unix.S_IFREG || uint64(have.Size) != e.Size || modified != e.Modify):
				continue
			case err == nil:
				err = doubt(dir, e.Name)
			}
			if err != nil {
				return err
			}
			s.SparseFiles.LookAt(s.pending, source, catalog.Join(path, e.Name)) // with this time pending lacks it
		}
		return nil
	})
}
