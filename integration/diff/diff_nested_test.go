//go:build integration

package diff

import (
	"os"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// A subvolume nested in one backup counts as nothing there: what the other has in its place is new, or gone.
func TestDiffAcrossNestedSubvolumes(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	dir := testdest.OpenDir(t, l.work)
	defer dir.Close()
	for _, name := range []string{"stays", "to directory", "to file", "to nothing"} {
		testdest.Must(t, btrfs.CreateSubvolume(dir, name))
	}
	testdest.Write(t, l.path("from directory", "file"), "x")
	testdest.Write(t, l.path("from file"), "x")
	a := l.snap(t)
	for _, name := range []string{"to directory", "to file", "to nothing"} {
		testdest.Must(t, btrfs.DeleteSubvolume(dir, name))
	}
	testdest.Write(t, l.path("to directory", "file"), "x")
	testdest.Write(t, l.path("to file"), "y")
	for _, name := range []string{"from directory", "from file"} {
		testdest.Must(t, os.RemoveAll(l.path(name)))
		testdest.Must(t, btrfs.CreateSubvolume(dir, name))
	}
	b := l.snap(t)
	want := "removed from directory\nremoved from directory/file\nremoved from file\nadded to directory\nadded to directory/file\nadded to file\n"
	if got := show(bothWays(t, l.dest, a, b, "")); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	want = "added from directory\nadded from directory/file\nadded from file\nremoved to directory\nremoved to directory/file\nremoved to file\n"
	if got := show(bothWays(t, l.dest, b, a, "")); got != want {
		t.Errorf("back:\n%swant\n%s", got, want)
	}
}
