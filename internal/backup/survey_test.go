package backup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/pending"
	"github.com/rsbtbackup/rsbtbackup/internal/scan"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
)

// The scan sees what a walk for the survey alone sees.
func TestTheScanSeesWhatASurveySees(t *testing.T) {
	src, empty := t.TempDir(), t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(src, "a", "b", "c"), 0o755))
	must(os.WriteFile(filepath.Join(src, "a", "f"), make([]byte, 10000), 0o600))
	must(os.WriteFile(filepath.Join(src, "a", "b", "holes"), []byte("x"), 0o600))
	must(os.Truncate(filepath.Join(src, "a", "b", "holes"), 4<<20))
	must(errors.Join(
		os.Link(filepath.Join(src, "a", "f"), filepath.Join(src, "a", "b", "f")), os.Symlink("x", filepath.Join(src, "a", "link")),
		unix.Mkfifo(filepath.Join(src, "a", "b", "c", "fifo"), 0o600),
	))
	open := func(path string) *os.File {
		f, err := os.Open(path)
		must(err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	work := open(empty)
	alone := pending.NewSights(work, nil)
	s, err := source.Describe(src, empty, work, source.Mark{Marker: "m", Holder: "h"})
	must(err)
	must(alone.Look(t.Context(), s, false))

	file, err := os.Create(filepath.Join(empty, "catalog"))
	must(err)
	defer file.Close()
	once := pending.NewSights(work, nil)
	o := scan.Options{See: once.See, SeeDir: once.SeeDir}
	_, err = scan.Walk(t.Context(), open(src), file, src, nil, o, nil)
	must(err)
	if alone.Entries.Load() != 9 || once.Entries.Load() != 9 || alone.Bytes.Load() != once.Bytes.Load() || alone.Bytes.Load() == 0 {
		t.Errorf("%d entries of %d bytes alone, %d of %d in the scan, want 9", alone.Entries.Load(), alone.Bytes.Load(), once.Entries.Load(), once.Bytes.Load())
	}
	if want := []string{"a/b/holes"}; !once.Sparse.Load() || !slices.Equal(once.SparseFiles.Paths(), want) || !slices.Equal(alone.SparseFiles.Paths(), want) {
		t.Errorf("files with holes: %q alone, %q in the scan", alone.SparseFiles.Paths(), once.SparseFiles.Paths())
	}
}
