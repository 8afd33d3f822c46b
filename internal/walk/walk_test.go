package walk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// However deep a tree is, a walk has few files open.
func TestADeepTreeTakesFewDescriptors(t *testing.T) {
	const depth, files = 300, 3
	root := t.TempDir()
	dir := root
	for level := range depth {
		for i := range files {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file%d", i)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		// A second branch at each level shows that a walk comes back up.
		for _, name := range []string{"a", "z"} {
			if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		dir = filepath.Join(dir, []string{"a", "z"}[level%2])
	}
	top, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer top.Close()
	var mu sync.Mutex
	seen, most := map[string]bool{}, 0
	w := Walker{
		Visit: func(dir *os.File, e os.DirEntry) error {
			mu.Lock()
			defer mu.Unlock()
			if _, err := at.Stat(dir, e.Name()); err != nil {
				return err
			}
			seen[Below(top, dir, e.Name())] = true
			most = max(most, int(dir.Fd()))
			return nil
		},
		Enter: func(dir *os.File, name string) (*os.File, error) {
			mu.Lock()
			defer mu.Unlock()
			seen[Below(top, dir, name)] = true
			return at.OpenDir(dir, name)
		},
	}
	w.ctx, w.crew = t.Context(), &Crew{} // one goroutine goes all the way
	w.read(top, heldLevels)
	if err := w.first.Get(); err != nil {
		t.Fatal(err)
	}
	if want := depth * (files + 2); len(seen) != want {
		t.Errorf("%d entries seen, want %d", len(seen), want)
	}
	if limit := int(top.Fd()) + heldLevels + 4; most > limit {
		t.Errorf("descriptor %d in use, want none above %d", most, limit)
	}
}

// A directory that is moved away while it is walked must not lead elsewhere.
func TestADirectoryMovedDuringAWalkLeadsNowhere(t *testing.T) {
	root, elsewhere := t.TempDir(), t.TempDir()
	deep := root
	for range heldLevels + walkers + 3 {
		deep = filepath.Join(deep, "d")
	}
	if err := os.MkdirAll(filepath.Join(deep, "last"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(deep, "last", "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(elsewhere, "secret"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	top, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer top.Close()
	w := Walker{
		Visit: func(dir *os.File, e os.DirEntry) error {
			if e.Name() == "secret" {
				t.Error("the walk left its tree")
			}
			return os.Rename(filepath.Join(deep, "last"), filepath.Join(elsewhere, "last"))
		},
		Enter: at.OpenDir,
	}
	w.ctx, w.crew = t.Context(), &Crew{} // no second goroutine
	if left := w.read(top, heldLevels); left != top {
		t.Error("the top was closed")
	}
	if err := w.first.Get(); !errors.Is(err, unix.ESTALE) {
		t.Errorf("walk: %v, want that the directory is stale", err)
	}
}
