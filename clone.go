// Clone: a whole backup as a writable subvolume, in no time and no space.

package rsbtbackup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

// CloneReport says what Clone made.
type CloneReport struct {
	Dest   string `json:"dest"`
	Backup string `json:"backup,omitempty"`
	Path   string `json:"path"` // of the new subvolume
	// Notices say that Verify has found damage in the backup, which the subvolume
	// then has too.
	Notices []string `json:"notices,omitempty"`
}

// Clone makes a writable snapshot of a backup at path, which must not exist
// and must be on the filesystem of dest, but not in dest. The parent of path
// is resolved once. The snapshot is on disk when Clone returns. No data is
// read. Root and the owner of the backup may do this.
//
// Errors match ErrUsage (also as a *FakeSuperError), ErrTarget (path exists, its parent does not, or it is
// on another filesystem), ErrGuard (inside dest), ErrNoSpace, ErrNoBackup,
// ErrAmbiguous, or those of List. The report is never nil.
func Clone(ctx context.Context, dest, backup, path string) (*CloneReport, error) {
	report := &CloneReport{Dest: dest, Path: path}
	if path == "" {
		return report, step("options", failf(ErrUsage, "the path of the subvolume is empty"))
	}
	v, err := openView(dest, backup)
	if err != nil {
		return report, err
	}
	defer v.close()
	report.Dest, report.Backup = v.store.path, v.snap.Name
	if storedAs(v.snap).FakeSuper {
		return report, step("options", kindError{ErrUsage, &FakeSuperError{v.snap.Name}})
	}
	parent, path, err := openCloneParent(v.store, path)
	if err != nil {
		return report, step("target", err)
	}
	defer parent.Close()
	report.Path = path
	if knownDamaged(&v.snap) {
		report.Notices = append(report.Notices, v.snap.Name+" is known to be damaged, and so is the subvolume")
	}
	if ctx.Err() != nil {
		return report, step("snapshot", context.Cause(ctx))
	}
	err = btrfs.CreateSnapshot(parent, filepath.Base(path), v.root, btrfs.SnapshotOptions{})
	return report, step("snapshot", v.explain(explainClone(v.store, path, err)))
}

func openCloneParent(s *store, path string) (*os.File, string, error) {
	path, err := absoluteNew(path)
	if err != nil {
		return nil, path, kindError{ErrTarget, err}
	}
	real, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return nil, path, kindError{ErrTarget, err}
	}
	path = filepath.Join(real, filepath.Base(path))
	if err := checkOutside(s, path); err != nil {
		return nil, path, err
	}
	if err := checkNotInDest(path); err != nil {
		return nil, path, err
	}
	parent, err := openTargetDir(real)
	return parent, path, err
}

func explainClone(s *store, path string, err error) error {
	switch {
	case errors.Is(err, unix.EXDEV), errors.Is(err, btrfs.ErrNotBtrfs):
		return failf(ErrTarget, "%s is not on the filesystem of %s", path, s.path)
	case errors.Is(err, fs.ErrExist):
		return failf(ErrTarget, "the target, %s, exists already", path)
	}
	return err
}
