package source

import (
	"os"
	"path/filepath"
	"testing"
)

func TestHoldsOnly(t *testing.T) {
	dir := t.TempDir()
	mkdir := func(path string) {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mkdir("mnt/bk/2026-11-22-09:00")
	mkdir("top/sub/bk")
	for _, c := range []struct {
		paths []string
		want  bool
	}{
		{[]string{"mnt/bk", "top/sub/bk"}, true},
		{[]string{"mnt/bk", "top/sub/other", "top/sub/bk"}, true},
		{[]string{"mnt", "top"}, true},
		{[]string{"mnt/bk", "top/sub/bk/x"}, true},
		{[]string{"mnt/bk"}, false},
		{[]string{"mnt/bk", "top/other"}, false},
		{[]string{"mnt/bk/x", "top"}, false},
	} {
		if got, err := holdsOnly(dir, c.paths); got != c.want || err != nil {
			t.Errorf("%q: %v, %v", c.paths, got, err)
		}
	}
}
