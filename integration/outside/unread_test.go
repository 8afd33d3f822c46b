//go:build integration

package outside

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
)

// nobody runs the command as an ordinary user.
var nobody = []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"}

// ofNobody makes a source that an ordinary user can reach, and an empty directory of his for DEST.
func ofNobody(t *testing.T, size string) (src, dest string) {
	t.Helper()
	src, disk := newSource(t), loopfs.New(t, size)
	dest = filepath.Join(disk, "dest")
	testdest.Must(t, os.Mkdir(dest, 0o755))
	testdest.Must(t, os.Lchown(dest, 65534, 65534))
	testdest.Must(t, os.Chmod(filepath.Dir(src), 0o755))
	testdest.Must(t, os.Chmod(filepath.Dir(filepath.Dir(src)), 0o755))
	return src, dest
}

// Of a source that cannot be read entirely what is gone elsewhere is deleted; what could not be read is kept, and
// named.
func TestDeletionsBesideWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	src, dest := ofNobody(t, "256M")
	if r := through(t, nobody, "init", dest); r.Exit != 0 {
		t.Fatal(r.Stderr)
	}
	for _, name := range []string{"gone/a", "gone/b", "dir/gone", "dir/stays", "private/kept", "private/sub/kept", "new\nline/kept", "file"} {
		testdest.Write(t, filepath.Join(src, name), name)
	}
	testdest.Tool(t, "chown", "-R", "65534:65534", src)
	if r := through(t, nobody, "backup", src, dest); r.Exit != 0 {
		t.Fatal(r.Stderr)
	}
	testdest.Must(t, os.Chmod(filepath.Join(src, "private"), 0))
	testdest.Must(t, os.Chmod(filepath.Join(src, "new\nline"), 0))
	testdest.Must(t, os.RemoveAll(filepath.Join(src, "gone")))
	testdest.Must(t, os.Remove(filepath.Join(src, "dir", "gone")))
	testdest.Write(t, filepath.Join(src, "added"), "x")
	testdest.Tool(t, "chown", "-R", "65534:65534", src)
	for range 2 {
		r := through(t, nobody, "backup", src, dest)
		if r.Exit != 3 {
			t.Fatalf("exit %d, want 3\n%s", r.Exit, r.Stderr)
		}
		wantSaid(t, r, "private")
		got := newest(t, dest)
		wantGone(t, got, "gone", "dir/gone")
		for _, name := range []string{"private/kept", "private/sub/kept", "new\nline/kept", "dir/stays", "added"} {
			if _, err := os.Lstat(filepath.Join(got, name)); err != nil {
				t.Error(err)
			}
		}
		sameTimes(t, filepath.Join(src, "dir"), filepath.Join(got, "dir"))
		sameTimes(t, src, got)
	}
	// With a limit deletions count, as they do in any run.
	testdest.Must(t, os.RemoveAll(filepath.Join(src, "dir")))
	testdest.Must(t, os.Remove(filepath.Join(src, "file")))
	if r := through(t, nobody, "backup", src, dest, "--max-delete-percent=10"); r.Exit != 13 {
		t.Errorf("exit %d, want 13\n%s", r.Exit, r.Stderr)
	}
	testdest.Must(t, os.Chmod(filepath.Join(src, "private"), 0o755))
	testdest.Must(t, os.Chmod(filepath.Join(src, "new\nline"), 0o755))
	if r := through(t, nobody, "backup", src, dest); r.Exit != 0 {
		t.Errorf("exit %d, want 0\n%s", r.Exit, r.Stderr)
	}
	testdest.WantSame(t, src, testdest.CurrentPath(t, dest), "--exclude=none")
}

func wantGone(t testing.TB, backup string, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(backup, name)); err == nil {
			t.Errorf("%s is still in %s", name, backup)
		}
	}
}

func sameTimes(t testing.TB, a, b string) {
	t.Helper()
	fa, err := os.Lstat(a)
	testdest.Must(t, err)
	fb, err := os.Lstat(b)
	testdest.Must(t, err)
	if !fa.ModTime().Equal(fb.ModTime()) {
		t.Errorf("%s: %v, %s: %v", a, fa.ModTime(), b, fb.ModTime())
	}
}

// The same of a remote source, of which only names in messages are known.
func TestDeletionsBesideWhatARemoteUserCannotRead(t *testing.T) {
	t.Parallel()
	server := testserver.StartSSH(t)
	src, dest := newSource(t), testdest.New(t, "256M")
	testdest.Must(t, os.Chmod(filepath.Dir(src), 0o755))
	testdest.Must(t, os.Chmod(filepath.Dir(filepath.Dir(src)), 0o755))
	for _, name := range []string{"gone/a", "dir/gone", "dir/stays", "private/kept", "file"} {
		testdest.Write(t, filepath.Join(src, name), name)
	}
	// The other rsync runs as somebody who is not root.
	args := []string{"-e", server.Shell, "--", "--rsync-path=" + strings.Join(nobody[:len(nobody)-1], " ") + " rsync"}
	backup(t, 0, "root@127.0.0.1:"+src, dest, args...)
	testdest.Must(t, os.Chmod(filepath.Join(src, "private"), 0))
	testdest.Must(t, os.RemoveAll(filepath.Join(src, "gone")))
	testdest.Must(t, os.Remove(filepath.Join(src, "dir", "gone")))
	for range 2 {
		backup(t, 3, "root@127.0.0.1:"+src, dest, args...)
		got := newest(t, dest)
		wantGone(t, got, "gone", "dir/gone")
		if testdest.Read(t, filepath.Join(got, "private", "kept")) == "" {
			t.Error("what could not be read is gone")
		}
	}
}

// A FUSE mount whose program has died is like a directory that cannot be read.
func TestADeadMountBelowTheSource(t *testing.T) {
	t.Parallel()
	src, dest, shown := newSource(t), testdest.New(t, "256M"), newSource(t)
	for _, name := range []string{"gone/a", "dir/gone", "dir/stays", "rewritten"} {
		testdest.Write(t, filepath.Join(src, name), name)
	}
	testdest.Write(t, filepath.Join(shown, "kept"), "kept")
	point := filepath.Join(src, "view")
	testdest.Must(t, os.Mkdir(point, 0o755))
	view := exec.Command("bindfs", "-f", shown, point)
	testdest.Must(t, view.Start())
	t.Cleanup(func() { testdest.Tool(t, "umount", "-l", point) })
	testdest.WaitFor(t, "the mount", func() bool { return testdest.Exists(filepath.Join(point, "kept")) })
	backup(t, 0, src, dest)
	testdest.Must(t, view.Process.Kill())
	_ = view.Wait()
	testdest.Must(t, os.RemoveAll(filepath.Join(src, "gone")))
	testdest.Must(t, os.Remove(filepath.Join(src, "dir", "gone")))
	testdest.Must(t, os.WriteFile(filepath.Join(src, "rewritten"), []byte("REWRITTEN"), 0o644))
	for _, args := range [][]string{nil, {"--scan=full"}, {"-x"}} {
		wantSaid(t, backup(t, 3, src, dest, args...), "view")
		got := newest(t, dest)
		wantGone(t, got, "gone", "dir/gone")
		if got := testdest.Read(t, filepath.Join(got, "rewritten")); got != "REWRITTEN" {
			t.Errorf("the backup has %q", got)
		}
		if args == nil && !testdest.Exists(filepath.Join(got, "view", "kept")) {
			t.Error("what could not be read is gone")
		}
	}
	backup(t, 0, src, dest, "--exclude=/view")
}
