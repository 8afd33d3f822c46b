//go:build integration

package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"golang.org/x/sys/unix"
)

// guarded asks that the command is refused by a guard with nothing touched.
func guarded(t testing.TB, d *dest, args ...string) {
	t.Helper()
	before := entries(t, d.path)
	r := run(t, append([]string{"backup"}, args...)...)
	wantExit(t, r, 13)
	wantOneError(t, r)
	if after := entries(t, d.path); len(after) != len(before) {
		t.Errorf("entries of DEST were %q and are %q", before, after)
	}
}

// TestGuardEmptySource empties the source.
func TestGuardEmptySource(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	empty := &tree{dir: t.TempDir()}
	must(t, os.Rename(src.dir, src.dir+".away"))
	must(t, os.Rename(empty.dir, src.dir))
	guarded(t, d, src.dir, d.path)
	guarded(t, d, "--rsh="+fakeShell(t, `shift; exec "$@"`), "host:"+src.dir, d.path)
	must(t, os.Remove(src.dir))
	must(t, os.Rename(src.dir+".away", src.dir))
	d.check(t, src)

	must(t, os.Rename(src.dir, src.dir+".away"))
	must(t, os.Mkdir(src.dir, 0o755))
	wantExit(t, run(t, "backup", "--force", src.dir, d.path), 0)
	d.held(t, src)
	d.newestIsCur(t)
	must(t, os.Remove(src.dir))
	must(t, os.Rename(src.dir+".away", src.dir))
	d.check(t, src)
}

// TestGuardUnmountedSource unmounts the disk the source is on; its mount point
// is empty, or another filesystem stands there.
func TestGuardUnmountedSource(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	disk := loopfs.NewImage(t, "64M", "ext4")
	if out, err := exec.Command("cp", "-a", src.dir+"/.", disk.Mount).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	mounted := &tree{dir: disk.Mount, rng: src.rng}
	d := newDest(t, loopfs.New(t, "512M"), mounted, 1)
	disk.Unmount(t)
	guarded(t, d, disk.Mount, d.path)
	mountAnother(t, disk.Mount)
	guarded(t, d, disk.Mount, d.path)
	disk.Remount(t)
	d.check(t, mounted)

	disk.Unmount(t)
	mountAnother(t, disk.Mount)
	wantExit(t, run(t, "backup", "--force", disk.Mount, d.path), 0)
	d.held(t, mounted)
	d.newestIsCur(t)
}

func mountAnother(t testing.TB, path string) {
	t.Helper()
	must(t, unix.Mount("tmpfs", path, "tmpfs", 0, "size=1M"))
	must(t, os.WriteFile(filepath.Join(path, "another"), nil, 0o644))
}

// TestGuardManyDeletions removes most of the source.
func TestGuardManyDeletions(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	must(t, os.RemoveAll(src.path("sub")))
	guarded(t, d, "--max-delete-percent=20", src.dir, d.path)
	d.held(t, src)
	wantExit(t, run(t, "backup", "--max-delete-percent=20", "--force", src.dir, d.path), 0)
	d.held(t, src)
	d.check(t, src)
}

// TestGuardAnotherSource backs up something else to a DEST that is in use, and
// the same files under another path.
func TestGuardAnotherSource(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	another := t.TempDir()
	for i := range 30 {
		must(t, os.WriteFile(filepath.Join(another, fmt.Sprint(i)), nil, 0o644))
	}
	guarded(t, d, "--prune", "--keep-last=1", another, d.path)
	for _, hiding := range []int{23, 24} {
		r := runEnv(t, fakeRsync(t, fmt.Sprintf(`"$REAL" "$@"; exit %d`, hiding)), "backup", another, d.path)
		wantExit(t, r, 13)
		d.held(t, src)
	}
	moved := &tree{dir: src.dir + " moved", rng: src.rng}
	must(t, os.Rename(src.dir, moved.dir))
	wantExit(t, run(t, "backup", moved.dir, d.path), 0)
	d.held(t, moved)
	wantExit(t, run(t, "backup", "--force", another, d.path), 0)
}

// TestGuardOverlap lets SRC and DEST be the same, or one lie in the other, by
// plain paths, symlinks and bind mounts.
func TestGuardOverlap(t *testing.T) {
	t.Parallel()
	mount := loopfs.New(t, "512M")
	src := newTree(t)
	d := newDest(t, mount, src, 1)
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(d.path, link))
	bound, boundMount := bind(t, d.path), bind(t, mount)
	for _, source := range []string{d.path, d.join(".log"), d.join("cur"), link, link + "/cur", mount, bound, bound + "/cur", boundMount} {
		t.Run(filepath.Base(source), func(t *testing.T) { guarded(t, d, source, d.path) })
	}
	d.check(t, src)
}

// bind gives a directory a second path.
func bind(t testing.TB, dir string) string {
	t.Helper()
	path := t.TempDir()
	must(t, unix.Mount(dir, path, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(path, unix.MNT_DETACH)) })
	return path
}
