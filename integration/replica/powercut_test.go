//go:build integration

package replica

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// TestPowerCutAfterACopy: what exit 0 says is on the disk.
func TestPowerCutAfterACopy(t *testing.T) {
	t.Parallel()
	src, dest := source(t), testdest.New(t, "1G")
	image := loopfs.NewNested(t, "512M")
	target := testdest.On(t, image.Mount)
	backups(t, src, dest, 2)
	testbin.Must(t, "copy", dest, target)
	wantCopies(t, dest, filepath.Join(image.CrashCopy(t), "dest"))
}

// TestPowerCutInACopy: either side of a copy is stopped before its calls that change something, one by one, and the
// disk is as the power would leave it: as it is, or after a commit that took no file data along. It has whole copies or
// none, those of earlier runs are untouched, and the next run goes on. FAULTS=dense in the environment stops at every
// call.
func TestPowerCutInACopy(t *testing.T) {
	t.Parallel()
	src, dest := source(t), testdest.New(t, "1G")
	backups(t, src, dest, 2)
	for route, args := range routes(t) {
		t.Run(route, func(t *testing.T) {
			t.Parallel()
			image, cuts := loopfs.NewNested(t, "512M"), 0
			for _, call := range []string{"ioctl", "pwrite64", "syncfs", "fsync", "renameat2", "renameat", "unlinkat"} {
				for k, step := 1, 1; k < 200; k, step = k+step, step*4 {
					if os.Getenv("FAULTS") == "dense" {
						step = 1
					}
					target := freshDest(t, image.Mount, call, k)
					testbin.Must(t, "copy", "-q", dest, target, "latest~1")
					testdest.SyncAll(t, target)
					if !cutAt(t, image, call, k, dest, target, args(dest, target)) {
						break // there are not so many
					}
					cuts++
				}
			}
			if cuts < 12 {
				t.Errorf("%d cuts only", cuts)
			}
			t.Logf("the power was cut at %d calls", cuts)
		})
	}
}

// cutAt reports whether there was a k-th call to stop at.
func cutAt(t *testing.T, image *loopfs.Image, call string, k int, dest, target string, args []string) (stopped bool) {
	t.Helper()
	t.Run(fmt.Sprint(call, " ", k), func(t *testing.T) {
		r, w, err := os.Pipe()
		testdest.Must(t, err)
		cmd := exec.Command("strace", append([]string{"-f", "-qq", "-o", "/proc/self/fd/3", "-e", "trace=" + call,
			"-e", fmt.Sprintf("inject=%s:signal=SIGSTOP:when=%d", call, k), testbin.Path(t)}, args...)...)
		cmd.ExtraFiles = []*os.File{w}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		testdest.Must(t, cmd.Start())
		testdest.Must(t, w.Close())
		for lines := bufio.NewScanner(r); !stopped && lines.Scan(); {
			stopped = strings.Contains(lines.Text(), "stopped by SIGSTOP")
		}
		if stopped {
			bare := image.CrashCopy(t)
			testdest.CommitMetadata(t, image.Mount)
			wantTheNextRunToGoOn(t, dest, image, target, bare, image.CrashCopy(t))
			testdest.Must(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL))
		}
		_ = cmd.Wait()
		testdest.Must(t, r.Close())
	})
	return stopped
}

func wantTheNextRunToGoOn(t *testing.T, dest string, image *loopfs.Image, target string, mounts ...string) {
	t.Helper()
	below, err := filepath.Rel(image.Mount, target)
	testdest.Must(t, err)
	for _, mount := range mounts {
		wantNextToGoOn(t, dest, filepath.Join(mount, below), "power cut")
	}
}

// wantNextToGoOn wants a target to have whole copies only, those of an earlier run among them, and the next run to
// bring what is missing.
func wantNextToGoOn(t *testing.T, dest, target, after string) {
	t.Helper()
	wantWhole(t, dest, target, after)
	if n := len(testdest.Backups(t, target)); n == 0 {
		t.Error("the copy of an earlier run is gone")
	}
	testbin.Must(t, "copy", "-q", dest, target)
	wantCopies(t, dest, target)
	wantNothingLeft(t, target)
}
