//go:build integration

package prune

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// A pin is durable at once, a deletion is not. A power cut after both must not bring back the deleted backup without
// the record that says it is incomplete.
func TestAPowerCutAfterDeleteAndPin(t *testing.T) {
	t.Parallel()
	image := loopfs.NewNested(t, "512M")
	dest := filepath.Join(image.Mount, "dest")
	testdest.Must(t, os.Mkdir(dest, 0o755))
	testbin.Must(t, "init", dest)
	madeUp(t, dest, "2020-01-01-00:00", "2020-01-02-00:00", "2020-01-03-00:00")
	record(t, dest, "2020-01-03-00:00", rsbtbackup.Incomplete)
	testbin.Must(t, "prune", dest, "--keep-last=9")
	testdest.SyncAll(t, dest)

	testbin.Must(t, "delete", dest, "2020-01-03-00:00", "--force")
	testbin.Must(t, "pin", dest, "2020-01-01-00:00")
	after := filepath.Join(image.CrashCopy(t), "dest")
	listing, err := rsbtbackup.List(t.Context(), after)
	testdest.Must(t, err)
	for _, b := range listing.Backups {
		switch {
		case b.Name == "2020-01-03-00:00" && b.Status != rsbtbackup.Incomplete:
			t.Errorf("%s is back, as %s", b.Name, b.Status)
		case b.Name == "2020-01-01-00:00" && !b.Pinned():
			t.Errorf("%s is not pinned", b.Name)
		}
	}
	testbin.Must(t, "prune", after, "--keep-last=1")
	wantNames(t, after, "2020-01-01-00:00", "2020-01-02-00:00")
	wantCur(t, after, "2020-01-02-00:00")
}
