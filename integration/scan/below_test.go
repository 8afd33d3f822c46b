//go:build integration

package scan

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

func bind(t *testing.T, what, at string) {
	t.Helper()
	testdest.Must(t, unix.Mount(what, at, "", unix.MS_BIND, ""))
	t.Cleanup(func() { testdest.Must(t, unix.Unmount(at, 0)) })
}

// What is mounted below the source from elsewhere in its subvolume changes there: the directory with the mount point is
// not newer.
func TestMountedFromTheSameSubvolume(t *testing.T) {
	t.Parallel()
	mount := loopfs.NewFS(t, "1G", "btrfs")
	at := func(name string) string { return filepath.Join(mount, name) }
	testdest.Must(t, os.MkdirAll(at("out/dir"), 0o755))
	testdest.Must(t, os.WriteFile(at("out/file"), []byte("file"), 0o644))
	p := newPairOf(t, at("src"), "a/b/f", "a/dir/", "a/file")
	p.set = func(o *rsbtbackup.BackupOptions) { o.Force = true }
	bind(t, at("out/dir"), at("src/a/dir"))
	bind(t, at("out/file"), at("src/a/file"))
	p.backup()
	p.backup()
	for _, step := range []func() error{
		func() error { return nil },
		func() error { return os.WriteFile(at("out/file"), []byte("changed"), 0o644) },
		func() error { return os.WriteFile(at("out/dir/new"), []byte("new"), 0o644) },
		func() error { return os.Chmod(at("out/dir"), 0o700) },
		func() error { return os.Chmod(at("out/file"), 0o600) },
	} {
		testdest.Must(t, step())
		want(t, p.backup(), rsbtbackup.ScanGeneration, "")
	}
}

// Unflushed data of another btrfs below the source counts as changed too.
func TestAnotherBtrfsBelow(t *testing.T) {
	t.Parallel()
	mount := loopfs.NewFS(t, "1G", "btrfs")
	other := loopfs.NewFS(t, "1G", "btrfs", "commit=300", "noatime") // so that nothing is written out by itself
	testdest.Must(t, os.MkdirAll(other+"/d/e", 0o755))
	testdest.Must(t, os.WriteFile(other+"/d/e/f", bytes.Repeat([]byte("first"), 4096), 0o644))
	p := newPairOf(t, mount+"/src", "a/other/", "b/f")
	p.set = func(o *rsbtbackup.BackupOptions) { o.Force = true }
	bind(t, other, p.src+"/a/other")
	testdest.Must(t, btrfs.Sync(open(t, other)))
	p.backup()
	p.backup()
	f, err := os.OpenFile(other+"/d/e/f", os.O_RDWR, 0) // to cut it off would be written out at once
	testdest.Must(t, err)
	defer f.Close()
	_, err = f.WriteAt(bytes.Repeat([]byte("other"), 4096), 0)
	testdest.Must(t, err)
	want(t, p.backup(), rsbtbackup.ScanGeneration, "")
}
