// Clone: a whole backup as a writable subvolume, at once and without using space.

package restore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// CloneReport is rsbtbackup.CloneReport, where each field has its comment.
type CloneReport struct {
	Dest    string
	Backup  string
	Path    string
	Notices []string
}

// Clone is rsbtbackup.Clone.
func Clone(ctx context.Context, dest, backup, path string) (*CloneReport, error) {
	report := &CloneReport{Dest: dest, Path: path}
	if path == "" {
		return report, fail.Step("options", fail.Kindf(facts.ErrUsage, "the path of the subvolume is empty"))
	}
	v, err := store.OpenView(dest, backup)
	if err != nil {
		return report, err
	}
	defer v.Close()
	report.Dest, report.Backup = v.Store.Path, v.Snap.Name
	if source.StoredAs(v.Snap).FakeSuper {
		return report, fail.Step("options", fail.Kind(facts.ErrUsage, &facts.FakeSuperError{Backup: v.Snap.Name}))
	}
	parent, path, err := openCloneParent(v.Store, path)
	if err != nil {
		return report, fail.Step("target", err)
	}
	defer parent.Close()
	report.Path = path
	if store.KnownDamaged(&v.Snap) {
		report.Notices = append(report.Notices, v.Snap.Name+" is known to be damaged, and so is the subvolume")
	}
	if ctx.Err() != nil {
		return report, fail.Step("snapshot", context.Cause(ctx))
	}
	err = btrfs.CreateSnapshot(parent, filepath.Base(path), v.Root, btrfs.SnapshotOptions{})
	return report, fail.Step("snapshot", v.Explain(explainClone(v.Store, path, err)))
}

func openCloneParent(s *store.Store, path string) (*os.File, string, error) {
	path, err := at.AbsoluteNew(path)
	if err != nil {
		return nil, path, fail.Kind(facts.ErrTarget, err)
	}
	real, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return nil, path, fail.Kind(facts.ErrTarget, err)
	}
	path = filepath.Join(real, filepath.Base(path))
	if err := store.CheckOutside(s, path); err != nil {
		return nil, path, err
	}
	if err := store.CheckNotInDest(path); err != nil {
		return nil, path, err
	}
	parent, err := openTargetDir(real)
	return parent, path, err
}

func explainClone(s *store.Store, path string, err error) error {
	switch {
	case errors.Is(err, unix.EXDEV), errors.Is(err, btrfs.ErrNotBtrfs):
		return fail.Kindf(facts.ErrTarget, "%s is not on the filesystem of %s", path, s.Path)
	case errors.Is(err, fs.ErrExist):
		return fail.Kindf(facts.ErrTarget, "the target, %s, exists already", path)
	}
	return err
}
