//go:build integration

package metrics

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A full file system keeps the last figures, and nothing is left behind. Both with files that have no name at first
// (tmpfs) and where there are none (vfat is not in every kernel; ramfs has no limit; overlayfs has them since 6.3).
func TestFullDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	file := dir + "/r.prom"
	if err := replace(file, func() string { return "x 1\n" }); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/filler", make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("not full: %v", err)
	}
	if err := replace(file, func() string { return string(make([]byte, 8<<10)) }); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "x 1\n" {
		t.Errorf("the last figures: %q, %v", text, err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 2 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}
