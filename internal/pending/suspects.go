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
	dir, err := at.OpenBeneath(s.pending, path)
	if at.IsNoDir(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, e := range files {
		st, err := at.Stat(dir, e.Name)
		if at.IsNoDir(err) || err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || uint64(st.Size) != e.Size || (catalog.Time{Sec: int64(st.Mtim.Sec), Nsec: uint32(st.Mtim.Nsec)}) != e.Modify) {
			continue
		}
		if err == nil {
			err = doubt(dir, e.Name)
		}
		if err != nil {
			return err
		}
		s.SparseFiles.LookAt(s.pending, source, catalog.Join(path, e.Name)) // with this time pending lacks it
	}
	return nil
}
