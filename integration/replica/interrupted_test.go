//go:build integration

package replica

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// wantWhole: an entry with the name of a backup is complete, whatever interrupted the copy.
func wantWhole(t testing.TB, dest, target, when string) {
	t.Helper()
	for _, b := range testdest.Backups(t, target) {
		if b.Record == nil || !b.ReadOnly {
			t.Errorf("%s: %s: %+v", when, b.Name, b)
		}
		testdest.WantSame(t, filepath.Join(dest, b.Name), filepath.Join(target, b.Name))
	}
}

// TestCopyKilled: kill -9 at the k-th system call of each kind that changes something, and at random times. What was
// copied before is untouched, nothing half done has the name of a backup, and the next run puts all of it right.
func TestCopyKilled(t *testing.T) {
	t.Parallel()
	src, dest := source(t), testdest.New(t, "1G")
	backups(t, src, dest, 3)
	disk := loopfs.New(t, "4G")
	points := 0
	for _, call := range []string{"ioctl", "renameat2", "rename", "renameat", "openat2", "pwrite64", "mkdirat", "unlinkat", "symlinkat", "syncfs", "fsync", "flock"} {
		for _, k := range []int{1, 2, 5, 12, 30} {
			target := freshDest(t, disk, call, k)
			testbin.Must(t, "copy", "-q", dest, target, "latest~2")
			cmd := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+call,
				"-e", "inject="+call+":signal=SIGKILL:when="+strconv.Itoa(k), testbin.Path(t), "copy", dest, target)
			r := testbin.Finish(t, cmd)
			if r.Exit == 0 {
				continue // there are not so many
			}
			points++
			wantWhole(t, dest, target, call+" "+strconv.Itoa(k))
			testbin.Must(t, "copy", dest, target)
			wantCopies(t, dest, target)
			wantNothingLeft(t, target)
		}
	}
	if points < 15 {
		t.Errorf("killed at %d points only", points)
	}
	for i := range 8 {
		target := freshDest(t, disk, "time", i)
		cmd := exec.Command(testbin.Path(t), "copy", dest, target)
		testdest.Must(t, cmd.Start())
		time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
		testdest.Must(t, cmd.Process.Kill())
		_ = cmd.Wait()
		wantWhole(t, dest, target, "at a random time")
		testbin.Must(t, "copy", dest, target)
		wantCopies(t, dest, target)
		wantNothingLeft(t, target)
	}
	t.Logf("killed at %d system calls and 8 random times", points)
}

func freshDest(t testing.TB, disk, name string, i int) string {
	t.Helper()
	dir := filepath.Join(disk, name+strconv.Itoa(i))
	testdest.Must(t, os.Mkdir(dir, 0o700))
	return testdest.On(t, dir)
}

// TestCopyCallsFail: the calls fail one by one with EIO and ENOSPC: the copy says so, or is right.
func TestCopyCallsFail(t *testing.T) {
	t.Parallel()
	src, dest := source(t), testdest.New(t, "1G")
	backups(t, src, dest, 2)
	disk := loopfs.New(t, "4G")
	failed := 0
	for _, call := range []string{"ioctl", "renameat2", "openat2", "pwrite64", "mkdirat", "symlinkat", "syncfs", "fsync"} {
		for i, k := range []int{1, 3, 8, 20} {
			target := freshDest(t, disk, call, i)
			testbin.Must(t, "copy", "-q", dest, target, "latest~1")
			cmd := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+call,
				"-e", "inject="+call+":error="+[]string{"EIO", "ENOSPC"}[i%2]+":when="+strconv.Itoa(k), testbin.Path(t), "copy", dest, target)
			r := testbin.Finish(t, cmd)
			wantWhole(t, dest, target, call+" "+strconv.Itoa(k))
			if r.Exit == 0 {
				wantCopies(t, dest, target)
				continue
			}
			failed++
			if !strings.Contains(r.Stderr, "rsbtbackup: ") {
				t.Errorf("%s %d: exit %d without a word:\n%s", call, k, r.Exit, r.Stderr)
			}
			testbin.Must(t, "copy", dest, target)
			wantCopies(t, dest, target)
			wantNothingLeft(t, target)
		}
	}
	if failed < 10 {
		t.Errorf("%d failures only", failed)
	}
}

// TestTheTargetFillsUp: exit 14, the copies that are there stay, and with more room the next run goes on.
func TestTheTargetFillsUp(t *testing.T) {
	t.Parallel()
	src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "256M")
	backups(t, src, dest, 1)
	shell(t, src, "head -c 90000000 /dev/urandom >large")
	backups(t, src, dest, 1)
	shell(t, filepath.Dir(target), "head -c 140000000 /dev/urandom >ballast; sync -f .")
	r := testbin.Run(t, "copy", dest, target)
	wantExit(t, r, 14, "o space left")
	if strings.Contains(r.Stderr, "prune") || !strings.Contains(r.Stderr, "check "+target) {
		t.Errorf("hints about the wrong side:\n%s", r.Stderr)
	}
	if n := len(testdest.Backups(t, target)); n != 1 {
		t.Errorf("%d backups, want the first", n)
	}
	wantWhole(t, dest, target, "full")
	wantNothingLeft(t, target)
	testdest.Must(t, os.Remove(filepath.Join(filepath.Dir(target), "ballast")))
	// The cleaner starts after a commit, and what it freed counts after one more.
	testdest.Tool(t, "sync", "-f", target)
	testdest.Tool(t, "btrfs", "subvolume", "sync", target)
	testdest.Tool(t, "sync", "-f", target)
	testbin.Must(t, "copy", dest, target)
	wantCopies(t, dest, target)
}

// TestSignalInACopy ends it with the exit code of the signal, and nothing left.
func TestSignalInACopy(t *testing.T) {
	t.Parallel()
	src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "1G")
	shell(t, src, "head -c 200000000 /dev/urandom >large")
	backups(t, src, dest, 1)
	cmd := exec.Command(testbin.Path(t), "copy", dest, target)
	testdest.Must(t, cmd.Start())
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if _, err := os.Stat(filepath.Join(target, ".log/incoming/incoming")); err == nil {
			break
		}
	}
	testdest.Must(t, cmd.Process.Signal(os.Interrupt))
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 && code != 0 {
		t.Errorf("exit %d, want 130", code)
	}
	wantNothingLeft(t, target)
	testbin.Must(t, "copy", dest, target)
	wantCopies(t, dest, target)
}
