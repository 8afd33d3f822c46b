//go:build integration

package rotate_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/rotate"
)

// The line that did not fit is taken back whole, and the log goes on when there is room again.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(tmpfs(t, "size=64k"), name)
	log := open(t, path, rotate.Options{})
	line := strings.Repeat("x", 999) + "\n"
	written := 0
	for ; ; written++ {
		n, err := log.Write([]byte(line))
		if err == nil {
			continue
		}
		var pathErr *os.PathError
		if n != 0 || !errors.Is(err, unix.ENOSPC) || !errors.As(err, &pathErr) || pathErr.Op != "write" || pathErr.Path != path {
			t.Fatalf("Write on the full disk = %d, %v; want 0 and ENOSPC from write %s", n, err, path)
		}
		break
	}
	if written < 50 {
		t.Fatalf("only %d lines fitted", written)
	}
	wantContent(t, path, strings.Repeat(line, written))

	must(t, os.Truncate(path, 0))
	write(t, log, "room again\n")
	wantContent(t, path, "room again\n")
}

// With no inode left for a new log, the old one gets its name back and the line.
func TestNoInodeForTheNewLog(t *testing.T) {
	dir := tmpfs(t, "nr_inodes=2")
	path := filepath.Join(dir, name)
	log := open(t, path, rotate.Options{MaxSize: 5})
	write(t, log, "aaaa\n")
	for _, line := range []string{"bbbb\n", "cccc\n"} {
		n, err := log.Write([]byte(line))
		if n != len(line) || !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("Write = %d, %v; want %d, ENOSPC", n, err, len(line))
		}
	}
	wantContent(t, path, "aaaa\nbbbb\ncccc\n")
	wantContent(t, path+".1", "")
}

func tmpfs(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("mount a tmpfs (needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}
