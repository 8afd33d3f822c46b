//go:build integration

package faults

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// newDir makes an empty directory below parent, private as a DEST should be.
func newDir(t testing.TB, parent string) string {
	t.Helper()
	path, err := os.MkdirTemp(parent, "dest-")
	testdest.Must(t, err)
	return path
}

func (d *dest) join(names ...string) string {
	return filepath.Join(append([]string{d.path}, names...)...)
}

// litter leaves in d what runs that crashed at different steps leave.
func litter(t testing.TB, d *dest, src *tree) {
	t.Helper()
	testdest.Snapshot(t, d.newest(), d.join("pending"), false)
	testdest.Must(t, os.WriteFile(d.join("pending", "half a file"), src.bytes(5000), 0o600))
	readOnly(t, d.join("pending"))
	testdest.Must(t, os.Remove(d.join("cur")))
	testdest.Must(t, os.Symlink("2001-01-01-00:00", d.join(".cur.new")))
	testdest.Must(t, os.WriteFile(d.join(".log", "records", "2001-01-01-00:00.json"), []byte(`{"version":1,"status":"complete"}`), 0o600))
}

func readOnly(t testing.TB, path string) {
	t.Helper()
	f, err := os.Open(path)
	testdest.Must(t, err)
	defer f.Close()
	testdest.Must(t, btrfs.SetReadOnly(f, true))
}

func removeSubvolumes(t testing.TB, paths ...string) {
	t.Helper()
	for _, path := range paths {
		parent, err := os.Open(filepath.Dir(path))
		testdest.Must(t, err)
		testdest.Must(t, btrfs.DeleteSubvolume(parent, filepath.Base(path)))
		testdest.Must(t, parent.Close())
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
