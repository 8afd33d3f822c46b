//go:build integration && !386 && !arm

// go-fuse does not compile on 32-bit machines (v2.12).

package metrics

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// small is a file system of 64 KiB, with files that have no name at first.
func small(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// nameless is a file system that has no files without a name; the kernel makes EOPNOTSUPP of ENOSYS.
type nameless struct{ fuse.RawFileSystem }

func (nameless) Tmpfile(<-chan struct{}, *fuse.CreateIn, *fuse.CreateOut) fuse.Status {
	return fuse.ENOSYS
}

// without shows a directory by such a file system.
func without(t *testing.T, dir string) string {
	t.Helper()
	root, err := fs.NewLoopbackRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	point := t.TempDir()
	server, err := fuse.NewServer(nameless{fs.NewNodeFS(root, &fs.Options{})}, point, &fuse.MountOptions{DirectMount: true, FsName: "small", Name: "small"})
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Error(err)
		}
	})
	if fd, err := unix.Open(point, unix.O_TMPFILE|unix.O_WRONLY, 0o600); err == nil {
		unix.Close(fd)
		t.Fatal("it has files without a name")
	}
	return point
}

// A full file system keeps the last figures, and nothing is left behind.
func TestFullDirectory(t *testing.T) {
	for name, dir := range map[string]string{"with O_TMPFILE": small(t), "without": without(t, small(t))} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "r.prom")
			for range 2 {
				if err := replace(file, func() string { return "x 1\n" }); err != nil {
					t.Fatal(err)
				}
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
		})
	}
}
