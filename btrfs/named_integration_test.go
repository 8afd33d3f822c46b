//go:build integration

package btrfs_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
)

// By name the result is the same as for an open file.
func TestSubvolumeNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, dir := range map[string]string{"ro": "", "sub": "", "outer": "", "inner": "/outer"} {
		parent := w.root
		if dir != "" {
			parent = w.outer
		}
		open, err := btrfs.OpenDirAt(parent, name)
		must(t, err)
		defer open.Close()
		want, err := btrfs.SubvolumeInfo(open)
		must(t, err)
		got, err := btrfs.SubvolumeNamed(parent, name)
		must(t, err)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-opened +named):\n%s", name, d)
		}
	}
	for _, name := range []string{"plain", "file", "nothing", "inner"} {
		if _, err := btrfs.SubvolumeNamed(w.root, name); !errors.Is(err, btrfs.ErrNotSubvolume) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
