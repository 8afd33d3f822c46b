//go:build integration

package differential

import (
	"os/exec"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// A copier keeps a plain copy of the source aside, without rsync.
type copier interface {
	copy(t *testing.T, source, parent, name string)
}

// snapshotCopier is for a source that is a btrfs subvolume; the copy is exact by construction.
type snapshotCopier struct{}

func (snapshotCopier) copy(t *testing.T, source, parent, name string) {
	t.Helper()
	src, dir := testdest.OpenDir(t, source), testdest.OpenDir(t, parent)
	defer src.Close()
	defer dir.Close()
	if err := btrfs.CreateSnapshot(dir, name, src, btrfs.SnapshotOptions{ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
}

// cpCopier is for every other source.
type cpCopier struct{}

func (cpCopier) copy(t *testing.T, source, parent, name string) {
	t.Helper()
	out, err := exec.Command("cp", "-a", "--reflink=auto", "--", source, parent+"/"+name).CombinedOutput()
	if err != nil {
		t.Fatalf("cp -a: %v\n%s", err, out)
	}
}

func createSubvolume(t *testing.T, parent, name string) error {
	t.Helper()
	dir := testdest.OpenDir(t, parent)
	defer dir.Close()
	return btrfs.CreateSubvolume(dir, name)
}
