//go:build integration

package outside

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// imageBackup is a backup of dir/sub/image, a file of holes with every attribute, and of some small ones.
func imageBackup(t testing.TB, size int64) (src, dest string) {
	t.Helper()
	src, dest = newSource(t), testdest.New(t, "1G")
	testdest.Write(t, filepath.Join(src, "dir", "small"), "x")
	image := filepath.Join(src, "dir", "sub", "image")
	sparse(t, image, size, size/6)
	testdest.Must(t, os.Chown(image, 1000, 2000))
	testdest.Must(t, unix.Chmod(image, 0o4750))
	testdest.Tool(t, "setfacl", "-m", "u:1000:r", image)
	testdest.Must(t, unix.Setxattr(image, "trusted.note", []byte("kept"), 0))
	testdest.Must(t, os.Chmod(filepath.Join(src, "dir"), 0o751))
	testdest.Tool(t, "touch", "-d", "2001-02-03 04:05:06.123456789", image, filepath.Dir(image))
	backup(t, 0, src, dest)
	return src, dest
}

// The work of a restore depends on the data as well. rsync would read all the zeros.
func TestRestoringHolesCostsNoTime(t *testing.T) {
	t.Parallel()
	src, dest := imageBackup(t, 3<<30)
	other := loopfs.NewFS(t, "1G", "ext4")
	inheriting := filepath.Join(other, "inheriting")
	testdest.Must(t, os.Mkdir(inheriting, 0o2755))
	testdest.Tool(t, "setfacl", "-m", "d:u:1001:rwx", inheriting)
	filled := filepath.Join(other, "filled")
	testdest.Write(t, filepath.Join(filled, "dir", "mine"), "x")
	testdest.Must(t, os.Chmod(filepath.Join(filled, "dir"), 0o700))
	for _, tt := range []struct {
		target string
		args   []string
	}{
		{filepath.Join(other, "new"), nil},
		{inheriting, nil},
		{filled, []string{"--overwrite=if-changed", "--delete"}},
		{filepath.Join(other, "newer"), []string{"--overwrite=if-newer", "dir"}},
		{filepath.Join(filepath.Dir(dest), "same filesystem"), []string{"--no-reflink"}},
	} {
		got := traffic(t, append([]string{"restore", dest, "latest", "-t", tt.target}, tt.args...)...)
		t.Logf("%q: %d B read and written", tt.args, got)
		if got > 64<<20 {
			t.Errorf("3 GiB of holes, %q: %d B read and written", tt.args, got)
		}
		wantHoles(t, filepath.Join(src, "dir"), filepath.Join(tt.target, "dir"))
	}
}

// A file of holes has its name when it is whole: a run that is killed leaves none, and after an error of one call rsync
// restores it.
func TestRestoringHolesThroughFaults(t *testing.T) {
	t.Parallel()
	src, dest := imageBackup(t, 80<<20)
	other := loopfs.NewFS(t, "1G", "ext4")
	for i, fault := range []string{
		"linkat:signal=SIGKILL", "pwrite64:signal=SIGKILL", "fchown:signal=SIGKILL",
		"pwrite64:error=ENOSPC", "pwrite64:error=EIO", "pread64:error=EIO", "fchown:error=EPERM",
		"linkat:error=EEXIST", "mkdirat:error=ENOSPC",
	} {
		target := filepath.Join(other, fmt.Sprint("target", i))
		testdest.Must(t, os.Mkdir(target, 0o755))
		call, _, _ := strings.Cut(fault, ":")
		log := filepath.Join(t.TempDir(), "log")
		wrapper := []string{"strace", "-f", "-qq", "-o", log, "-e", "trace=" + call, "-e", "inject=" + fault + ":when=1"}
		switch call {
		case "linkat", "mkdirat":
			wrapper = append(wrapper, "-P", target, "-P", filepath.Join(target, "dir", "sub"))
		case "pread64":
			wrapper = append(wrapper, "-P", filepath.Join(testdest.CurrentPath(t, dest), "dir", "sub", "image"))
		}
		r := through(t, wrapper, "restore", dest, "latest", "-t", target)
		traced, err := os.ReadFile(log)
		testdest.Must(t, err)
		if !strings.Contains(string(traced), "INJECTED") && !strings.Contains(string(traced), "SIGKILL") {
			t.Fatalf("%s: not injected\n%s", fault, traced)
		}
		if strings.Contains(fault, "SIGKILL") {
			if _, err := os.Lstat(filepath.Join(target, "dir", "sub", "image")); !os.IsNotExist(err) {
				t.Errorf("%s: %v, want no file", fault, err)
			}
			r = testbin.Run(t, "restore", dest, "latest", "-t", target, "--overwrite=if-changed")
		}
		if r.Exit != 0 {
			t.Errorf("%s: exit %d\n%s", fault, r.Exit, r.Stderr)
		}
		wantHoles(t, src, target)
	}
}

// What is in the target, and what the mode says of it, comes first.
func TestRestoringHolesKeepsThePromises(t *testing.T) {
	t.Parallel()
	src, dest := imageBackup(t, 100<<20)
	other := loopfs.NewFS(t, "1G", "ext4")
	for i, mode := range []string{"never", "if-newer", "if-changed", "always"} {
		path := func(name string) string { return filepath.Join(other, fmt.Sprint("target", i), name) }
		inBackup := filepath.Join(testdest.CurrentPath(t, dest), "dir", "sub", "image")
		run := func(args ...string) {
			t.Helper()
			testbin.Must(t, append([]string{"restore", dest, "latest", "-t", path(""), "--overwrite=" + mode}, args...)...)
		}
		testdest.Write(t, path("mine"), "x")
		run("-n")
		if _, err := os.Lstat(path("dir")); !os.IsNotExist(err) {
			t.Fatalf("%s: a dry run made a directory: %v", mode, err)
		}
		run("--exclude=image")
		if _, err := os.Lstat(path("dir/sub/image")); !os.IsNotExist(err) {
			t.Fatalf("%s: excluded, but there: %v", mode, err)
		}
		run()
		wantHoles(t, filepath.Join(src, "dir"), path("dir"))
		testdest.Write(t, path("dir/sub/image"), "newer")
		run()
		kept := dataOf(t, path("dir/sub/image")) == "5: 0=newer"
		if want := mode == "never" || mode == "if-newer"; kept != want {
			t.Errorf("%s: the newer file was kept: %v", mode, kept)
		}
		if !kept && dataOf(t, path("dir/sub/image")) != dataOf(t, inBackup) {
			t.Errorf("%s: not restored", mode)
		}
		// A symlink that leads out of the target in the place of a directory.
		testdest.Must(t, os.RemoveAll(path("dir/sub")))
		outside := filepath.Join(other, fmt.Sprint("outside", i))
		testdest.Must(t, os.Mkdir(outside, 0o755))
		testdest.Must(t, os.Symlink(outside, path("dir/sub")))
		testbin.Run(t, "restore", dest, "latest", "-t", path(""), "--overwrite="+mode)
		entries, err := os.ReadDir(outside)
		testdest.Must(t, err)
		if len(entries) > 0 {
			t.Errorf("%s: a file outside of the target: %v", mode, entries)
		}
	}
}

// A limit holds for files with holes in a backup and in a restore, where progress is reported as well. The holes take
// no time: as zeros they would take a quarter of an hour.
func TestTheLimitHoldsForFilesWithHoles(t *testing.T) {
	t.Parallel()
	src, dest := imageBackup(t, 80<<20)
	image := filepath.Join(src, "dir", "sub", "image")
	noise := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise) // it never fails
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	testdest.Must(t, err)
	_, err = f.WriteAt(noise, 1<<20)
	testdest.Must(t, errors.Join(err, f.Truncate(1<<30), f.Close()))
	timed := func(what string, do func()) {
		t.Helper()
		started := time.Now()
		do()
		if took := time.Since(started); took < 2500*time.Millisecond {
			t.Errorf("%s: 3 MiB at 1 MiB in a second took %v", what, took)
		}
	}
	timed("backup", func() { backup(t, 0, src, dest, "--bwlimit=1m") })
	wantHoles(t, src, testdest.CurrentPath(t, dest))
	var told atomic.Int64
	target := filepath.Join(loopfs.NewFS(t, "1G", "ext4"), "new")
	timed("restore", func() {
		_, err := rsbtbackup.Restore(t.Context(), rsbtbackup.RestoreOptions{
			Dest: dest, Backup: "latest", Target: target, Bwlimit: "1m",
			Progress: func(p rsbtbackup.Progress) { told.Store(max(told.Load(), p.Bytes)) },
		})
		testdest.Must(t, err)
	})
	wantHoles(t, src, target)
	if told.Load() < 3<<20 {
		t.Errorf("progress ended at %d bytes", told.Load())
	}
}

func TestRestoringHolesOfAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	src, disk, home := newSource(t), loopfs.New(t, "1G"), loopfs.NewFS(t, "1G", "ext4")
	image := filepath.Join(src, "closed", "image")
	sparse(t, image, 1<<30, 300<<20)
	testdest.Tool(t, "setfacl", "-m", "u:1000:r", image)
	testdest.Must(t, os.Chmod(image, 0o444))
	testdest.Must(t, os.Chmod(filepath.Dir(image), 0o555))
	testdest.Tool(t, "chown", "-R", "65534:65534", src, disk, home)
	testdest.Must(t, os.Chmod(filepath.Dir(src), 0o755))
	testdest.Must(t, os.Chmod(filepath.Dir(filepath.Dir(src)), 0o755))
	dest, target := filepath.Join(disk, "dest"), filepath.Join(home, "new")
	run := func(args ...string) testbin.Result {
		t.Helper()
		r := through(t, nobody, args...)
		if r.Exit != 0 {
			t.Fatalf("%q: exit %d\n%s", args, r.Exit, r.Stderr)
		}
		return r
	}
	testdest.Must(t, os.Mkdir(dest, 0o755))
	testdest.Must(t, os.Chown(dest, 65534, 65534))
	run("init", dest)
	run("backup", src, dest)
	r := run("restore", dest, "latest", "-t", target, "--json")
	var report rsbtbackup.RestoreReport
	testdest.Must(t, json.Unmarshal([]byte(r.Stdout), &report))
	if report.Stats == nil || report.Stats.Sent > 1<<20 || report.Stats.Transferred != 1 || report.Stats.Created != 2 {
		t.Errorf("rsync sent zeros, or the counts are wrong: %+v", report.Stats)
	}
	wantHoles(t, src, target)
}
