//go:build integration

package faults

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
)

// TestResumeOnAnOlderKernel: without unique mount ids (Linux before 6.8) an interrupted incremental backup is resumed
// as long as DEST stays mounted, and begun anew after a remount.
func TestResumeOnAnOlderKernel(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	image := loopfs.NewImage(t, "512M", "btrfs")
	d := newDest(t, image.Mount, src, 1)
	interrupt := func() {
		src.change(t)
		older(t, fakeRsync(t, `"$REAL" "$@"; exit 23`), 1, "backup", "--partial=refuse", src.dir, d.path)
	}
	interrupt()
	if r := older(t, nil, 0, "backup", src.dir, d.path); !strings.Contains(r.stdout, ", resumed\n") {
		t.Errorf("%v\nwant it resumed", r)
	}
	d.held(t, src)
	interrupt()
	image.Remount(t)
	r := older(t, nil, 0, "backup", src.dir, d.path)
	if want := "pending lived through a reboot or a remount"; strings.Contains(r.stdout, "resumed") || !strings.Contains(r.stderr, want) {
		t.Errorf("%v\nwant %s, and not resumed", r, want)
	}
	d.held(t, src)
	d.check(t, src)
}

// TestResumeInAnotherNamespaceOfMounts: each start of a service of systemd has mounts of its own, with ids of their
// own, of the same filesystem. What was interrupted in one is resumed in the next, and begun anew after a remount.
func TestResumeInAnotherNamespaceOfMounts(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	image := loopfs.NewImage(t, "512M", "btrfs")
	d := newDest(t, image.Mount, src, 1)
	apart := func(env []string, exit int, args ...string) result {
		t.Helper()
		r := start(t, env, slices.Concat(loopfs.Apart(t, image.Mount), []string{program(t)}, args)...).wait(t)
		wantExit(t, r, exit)
		return r
	}
	refused := fakeRsync(t, `"$REAL" "$@"; exit 23`)
	src.change(t)
	apart(refused, 1, "backup", "--partial=refuse", src.dir, d.path)
	if r := apart(nil, 0, "backup", src.dir, d.path); !strings.Contains(r.stdout, ", resumed\n") {
		t.Errorf("%v\nwant it resumed", r)
	}
	d.held(t, src)
	src.change(t)
	apart(refused, 1, "backup", "--partial=refuse", src.dir, d.path)
	image.Remount(t)
	r := apart(nil, 0, "backup", src.dir, d.path)
	if want := "pending lived through a reboot or a remount"; strings.Contains(r.stdout, "resumed") || !strings.Contains(r.stderr, want) {
		t.Errorf("%v\nwant %s, and not resumed", r, want)
	}
	d.held(t, src)
	d.check(t, src)
}

// older runs the command on a kernel that has no statx, as one that does not know unique mount ids.
func older(t *testing.T, env []string, exit int, args ...string) result {
	t.Helper()
	argv := []string{"strace", "-qq", "-o", filepath.Join(t.TempDir(), "strace"), "-e", "inject=statx:error=ENOSYS", program(t)}
	r := start(t, env, append(argv, args...)...).wait(t)
	wantExit(t, r, exit)
	return r
}
