//go:build integration

package faults

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
)

// newDir makes an empty directory below parent, private as a DEST should be.
func newDir(t testing.TB, parent string) string {
	t.Helper()
	path, err := os.MkdirTemp(parent, "dest-")
	must(t, err)
	return path
}

func (d *dest) join(names ...string) string {
	return filepath.Join(append([]string{d.path}, names...)...)
}

// litter leaves in d what runs that died at different steps would.
func litter(t testing.TB, d *dest, src *tree) {
	t.Helper()
	newSubvolume(t, d.join("pending"))
	must(t, os.WriteFile(d.join("pending", "half a file"), src.bytes(5000), 0o600))
	must(t, os.Remove(d.join("cur")))
	must(t, os.Symlink("2001-01-01-00:00", d.join(".cur.new")))
	must(t, os.WriteFile(d.join(".log", "records", "2001-01-01-00:00.json"), []byte(`{"version":1,"status":"complete"}`), 0o600))
}

func newSubvolume(t testing.TB, path string) {
	t.Helper()
	parent, err := os.Open(filepath.Dir(path))
	must(t, err)
	defer parent.Close()
	must(t, btrfs.CreateSubvolume(parent, filepath.Base(path)))
}

// snapshot makes a snapshot of the subvolume at from.
func snapshot(t testing.TB, from, to string, readOnly bool) {
	t.Helper()
	parent, err := os.Open(filepath.Dir(to))
	must(t, err)
	defer parent.Close()
	src, err := os.Open(from)
	must(t, err)
	defer src.Close()
	must(t, btrfs.CreateSnapshot(parent, filepath.Base(to), src, btrfs.SnapshotOptions{ReadOnly: readOnly}))
}

// commitMetadata forces a commit that brings no file data along.
func commitMetadata(t testing.TB, path string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	id, err := btrfs.StartSync(f)
	must(t, err)
	must(t, btrfs.WaitSync(f, id))
}

// syncAll writes everything out and commits.
func syncAll(t testing.TB, path string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	must(t, btrfs.Sync(f))
}

func readOnly(t testing.TB, path string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	must(t, btrfs.SetReadOnly(f, true))
}

func removeSubvolumes(t testing.TB, paths ...string) {
	t.Helper()
	for _, path := range paths {
		parent, err := os.Open(filepath.Dir(path))
		must(t, err)
		must(t, btrfs.DeleteSubvolume(parent, filepath.Base(path)))
		must(t, parent.Close())
	}
}

// newDoomed has three backups, of which all but the newest may go.
func newDoomed(t testing.TB, mount string, src *tree) *dest {
	t.Helper()
	d := newDest(t, mount, src, 2)
	d.doomed = names(d.backups)
	src.change(t)
	wantExit(t, run(t, "backup", src.dir, d.path), 0)
	d.held(t, src)
	return d
}

// pruning and deleting are command lines that delete what is doomed.
func pruning(d *dest) []string  { return []string{"prune", d.path, "--keep-last=1", "--force"} }
func deleting(d *dest) []string { return append([]string{"delete", d.path}, d.doomed...) }
