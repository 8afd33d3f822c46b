package testdest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
)

// Tool runs another program, which must succeed, and returns its standard output.
func Tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// WaitFor repeats ok until it returns true. The limit ends tests that hang.
func WaitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Minute); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

// CommitMetadata commits the metadata of btrfs without the file data that is still in memory.
func CommitMetadata(t testing.TB, path string) {
	t.Helper()
	f, err := os.Open(path)
	Must(t, err)
	defer f.Close()
	id, err := btrfs.StartSync(f)
	Must(t, err)
	Must(t, btrfs.WaitSync(f, id))
}

// MakeDir makes a directory and its missing parents.
func MakeDir(t testing.TB, dir string) {
	t.Helper()
	Must(t, os.MkdirAll(dir, 0o755))
}

// Write makes or replaces a file, and makes missing parent directories.
func Write(t testing.TB, path, content string) {
	t.Helper()
	MakeDir(t, filepath.Dir(path))
	Must(t, os.WriteFile(path, []byte(content), 0o644))
}

// Read returns the content of a file.
func Read(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	Must(t, err)
	return string(content)
}

// Exists reports whether the name exists, also as a dangling symlink.
func Exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Entries returns the names in a directory, sorted.
func Entries(t testing.TB, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	Must(t, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// Used returns how many bytes the filesystem of dir uses, after deleted data was freed.
func Used(t testing.TB, dir string) int64 {
	t.Helper()
	// The cleaner starts after a commit, and the space that it frees counts after another one.
	Tool(t, "btrfs", "filesystem", "sync", dir)
	Tool(t, "btrfs", "subvolume", "sync", dir)
	Tool(t, "btrfs", "filesystem", "sync", dir)
	var fs unix.Statfs_t
	Must(t, unix.Statfs(dir, &fs))
	return int64(fs.Blocks-fs.Bfree) * int64(fs.Bsize)
}

// SyncAll flushes everything and commits.
func SyncAll(t testing.TB, dir string) {
	t.Helper()
	f, err := btrfs.OpenDir(dir)
	Must(t, err)
	defer f.Close()
	Must(t, btrfs.Sync(f))
}

// NewSubvolume makes an empty subvolume.
func NewSubvolume(t testing.TB, path string) {
	t.Helper()
	parent, err := btrfs.OpenDir(filepath.Dir(path))
	Must(t, err)
	defer parent.Close()
	Must(t, btrfs.CreateSubvolume(parent, filepath.Base(path)))
}

// Snapshot makes a snapshot of a subvolume, and nothing else: no record, no cur.
func Snapshot(t testing.TB, from, to string, readOnly bool) {
	t.Helper()
	src, err := btrfs.OpenDir(from)
	Must(t, err)
	defer src.Close()
	parent, err := btrfs.OpenDir(filepath.Dir(to))
	Must(t, err)
	defer parent.Close()
	Must(t, btrfs.CreateSnapshot(parent, filepath.Base(to), src, btrfs.SnapshotOptions{ReadOnly: readOnly}))
}

// OpenDir opens a directory on btrfs until the test has ended.
func OpenDir(t testing.TB, path string) *os.File {
	t.Helper()
	dir, err := btrfs.OpenDir(path)
	Must(t, err)
	t.Cleanup(func() { dir.Close() })
	return dir
}
