//go:build integration

package replica

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// TestUnusableTargets are refused in one line, on this host and another: read-only, another filesystem, a file,
// nothing.
func TestUnusableTargets(t *testing.T) {
	t.Parallel()
	src, dest := source(t), testdest.New(t, "1G")
	backups(t, src, dest, 1)
	image := loopfs.NewImage(t, "1G", "btrfs")
	readOnly := testdest.On(t, image.Mount)
	image.SetOptions(t, "ro")
	file := filepath.Join(t.TempDir(), "file")
	testdest.Must(t, os.WriteFile(file, nil, 0o600))
	for route, args := range routes(t) {
		for _, tt := range []struct {
			target string
			exit   int
			says   string
		}{
			{readOnly, 1, "read-only file system"},
			{loopfs.NewFS(t, "64M", "ext4"), 10, "btrfs"},
			{file, 10, "not a directory"},
			{file + ".none", 10, "no such file"},
		} {
			r := testbin.Run(t, args(dest, tt.target)...)
			if wantExit(t, r, tt.exit, tt.says); !strings.Contains(r.Stderr, "TARGET") && !strings.Contains(r.Stderr, "vault") && route != "push" {
				t.Errorf("%s to %s: whose fault?\n%s", route, tt.target, r.Stderr)
			}
			if strings.Contains(r.Stderr, "TARGET: DEST:") || strings.Contains(r.Stderr, "findmnt -T "+dest) {
				t.Errorf("%s to %s: which directory?\n%s", route, tt.target, r.Stderr)
			}
		}
	}
	if n := len(testdest.Backups(t, readOnly)); n != 0 {
		t.Errorf("%d backups", n)
	}
}

// TestTwoCopiesToOneTarget at once: one of them copies, the other is kept out (11) or comes later; all is there, once.
func TestTwoCopiesToOneTarget(t *testing.T) {
	t.Parallel()
	src, dest := source(t), testdest.New(t, "1G")
	shell(t, src, "head -c 30000000 /dev/urandom >large")
	backups(t, src, dest, 3)
	for route, args := range routes(t) {
		target := testdest.New(t, "1G")
		var both []*exec.Cmd
		for range 2 {
			cmd := exec.Command(testbin.Path(t), args(dest, target)...)
			testdest.Must(t, cmd.Start())
			both = append(both, cmd)
		}
		for _, cmd := range both {
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 0 && code != 11 {
				t.Errorf("%s: exit %d", route, code)
			}
		}
		wantCopies(t, dest, target)
		wantNothingLeft(t, target)
		if n := len(testdest.Backups(t, target)); n != 3 {
			t.Errorf("%s: %d backups, want 3", route, n)
		}
	}
}

// TestTheDiskOfTheTargetFails in the middle of a copy: its device takes nothing more and gives nothing back. The copy
// fails in one line; when the disk is back, what was copied before is whole, and the next run goes on.
func TestTheDiskOfTheTargetFails(t *testing.T) {
	src, dest := source(t), testdest.New(t, "1G")
	backups(t, src, dest, 1)
	shell(t, src, "head -c 300000000 /dev/urandom >large")
	for route, args := range routes(t) {
		t.Run(route, func(t *testing.T) {
			backing := loopfs.NewFS(t, "1200M", "tmpfs")
			t.Setenv("TMPDIR", backing)
			image := loopfs.NewImage(t, "1G", "btrfs", "nodiscard")
			target := testdest.On(t, image.Mount)
			testbin.Must(t, "copy", "-q", dest, target, testdest.Names(t, dest)[0])
			if len(testdest.Names(t, dest)) < 2 {
				testbin.Must(t, "backup", "-q", src, dest)
			}
			cmd := exec.Command(testbin.Path(t), append(args(dest, target), "--bwlimit=60m")...)
			var said strings.Builder
			cmd.Stderr = &said
			testdest.Must(t, cmd.Start())
			testdest.WaitFor(t, "the copy to begin", func() bool {
				_, err := os.Stat(filepath.Join(target, ".log/incoming/incoming"))
				return err == nil
			})
			takeAway(t, backing)
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 1 && code != 14 || !strings.Contains(said.String(), "rsbtbackup: ") {
				t.Errorf("exit %d\n%s", code, said.String())
			}
			testdest.Must(t, unix.Mount("", backing, "", unix.MS_REMOUNT, "size=1200m"))
			image.Remount(t)
			wantNextToGoOn(t, dest, target, "the disk is back")
		})
	}
}

// takeAway leaves the filesystem that the image lies on no room, so that its loop device fails.
func takeAway(t testing.TB, backing string) {
	t.Helper()
	var st unix.Statfs_t
	testdest.Must(t, unix.Statfs(backing, &st))
	used := (st.Blocks - st.Bfree) * uint64(st.Bsize)
	testdest.Must(t, unix.Mount("", backing, "", unix.MS_REMOUNT, fmt.Sprint("size=", used+1<<20)))
}
