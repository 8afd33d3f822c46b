//go:build integration

package faults

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// tree is a source that changes from round to round.
type tree struct {
	dir   string
	round int
	old   bool // see newOldTree
	rng   *rand.ChaCha8
}

// newTree fills a directory with one of each kind of entry that backups get wrong: hard links, holes, a large file for
// in-place changes.
func newTree(t testing.TB) *tree {
	t.Helper()
	return newTreeIn(t, filepath.Join(t.TempDir(), "source"))
}

// newTreeIn makes it in a directory, which may be there.
func newTreeIn(t testing.TB, dir string) *tree {
	t.Helper()
	s := &tree{dir: dir, rng: rand.NewChaCha8([32]byte{1, 2})}
	testdest.Must(t, os.MkdirAll(filepath.Join(dir, "sub", "deeper"), 0o755))
	for i := range 12 {
		s.write(t, fmt.Sprintf("sub/file %02d", i), 100+i*700)
	}
	s.write(t, "large", 1<<20)
	s.write(t, "linked", 5000)
	testdest.Must(t, os.Link(s.path("linked"), s.path("sub/link")))
	testdest.Must(t, os.Symlink("large", s.path("symlink")))
	testdest.Must(t, unix.Mkfifo(s.path("fifo"), 0o600))
	testdest.Must(t, os.WriteFile(s.path("holes"), nil, 0o640))
	testdest.Must(t, os.Truncate(s.path("holes"), 1<<20))
	return s
}

// newOldTree makes one of which each change is older than a run that comes after it, as the scan sees it: a run looks
// again at what was young in the run before, so how many calls it makes depends on how fast the machine is.
func newOldTree(t testing.TB) *tree {
	t.Helper()
	s := newTree(t)
	s.old = true
	return s
}

func (s *tree) path(name string) string { return filepath.Join(s.dir, name) }

func (s *tree) write(t testing.TB, name string, size int) {
	t.Helper()
	testdest.Must(t, os.WriteFile(s.path(name), s.bytes(size), 0o644))
}

func (s *tree) bytes(n int) []byte {
	b := make([]byte, n)
	_, _ = s.rng.Read(b) // never fails
	return b
}

// change does what can go wrong in a backup: a change in place that keeps the size, a new file, one gone, a hard link
// split and joined again.
func (s *tree) change(t testing.TB) {
	t.Helper()
	s.round++
	s.overwrite(t, "large", 300_000, 200_000)
	s.write(t, fmt.Sprintf("sub/deeper/new %d", s.round), 3000)
	if s.round > 2 {
		testdest.Must(t, os.Remove(s.path(fmt.Sprintf("sub/deeper/new %d", s.round-2))))
	}
	testdest.Must(t, os.Remove(s.path("sub/link")))
	if s.round%2 == 1 {
		s.write(t, "sub/link", 5000)
		s.write(t, "linked", 5000)
	} else {
		testdest.Must(t, os.Link(s.path("linked"), s.path("sub/link")))
	}
	if s.old {
		growOld()
	}
}

// growOld waits until what was changed is older than a run that comes after it, as the scan sees it.
func growOld() {
	time.Sleep(200 * time.Millisecond) // twice what the scan takes for the longest tick of a clock
}

// overwrite changes part of a file in place; its size stays.
func (s *tree) overwrite(t testing.TB, name string, offset, size int) {
	t.Helper()
	f, err := os.OpenFile(s.path(name), os.O_WRONLY, 0)
	testdest.Must(t, err)
	_, err = f.WriteAt(s.bytes(size), int64(offset))
	testdest.Must(t, err)
	testdest.Must(t, f.Close())
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	testdest.Must(t, err)
	return string(bytes.TrimRight(b, "\n"))
}
