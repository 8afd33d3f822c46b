// In place: a restore to the source of the backup, if its filesystem is mounted.

package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
)

// checkInPlace refuses to write if another filesystem is mounted there than when the backup was made, or none.
func (x opened) checkInPlace(path string) error {
	if !x.o.InPlace || x.o.Force || x.view.Snap.Record == nil {
		return nil
	}
	why, err := x.misplaced(path, x.view.Snap.Record)
	switch {
	case err != nil:
		return fail.Kind(facts.ErrTarget, err)
	case why == "":
		return nil
	case x.o.DryRun:
		x.tell.Notice("this would be refused: " + why)
		return nil
	}
	return fail.Kind(facts.ErrGuard, fail.Kindf(facts.ErrOtherFilesystem, "%s", why))
}

// misplaced is empty if the filesystems at and below path that this restore writes to are those in the record.
func (x opened) misplaced(path string, record *facts.Record) (string, error) {
	path, err := at.AbsoluteNew(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		real, err = filepath.EvalSymlinks(filepath.Dir(path))
	}
	if err != nil {
		return "", err
	}
	id, err := mounts.IdentifyPath(real)
	if err != nil {
		return "", err
	}
	if record.SourceFS != nil && !mounts.SameFS(*record.SourceFS, *id) {
		return fmt.Sprintf("%s is on another filesystem than when %s was made: is its disk mounted?", path, x.view.Snap.Name), nil
	}
	table, err := mounts.Read()
	if err != nil {
		return "", err
	}
	now := table.MountsBelow(real)
	for _, m := range record.Mounts {
		is := mounts.Find(now, m.Rel())
		if len(x.paths) > 0 && !at.LeadsTo(m.Rel(), x.paths) && !source.IsLeftOut(m.Rel(), x.paths) || is != nil && mounts.SameFS(m.SourceIdentity, is.SourceIdentity) {
			continue
		}
		if mounts.ClassOf(m) == mounts.OfData || is == nil && source.IsDirectory(filepath.Join(real, m.Rel())) {
			return fmt.Sprintf("%s is not mounted at %s, as it was when %s was made", source.Device(m.Source), filepath.Join(path, m.Rel()), x.view.Snap.Name), nil
		}
	}
	return "", nil
}
