//go:build integration

package replica

import (
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

// routes are the ways of a copy: to another disk, to another host, and from one. strace follows into the other side,
// which is on this machine, too.
func routes(t testing.TB) map[string]func(dest, target string) []string {
	t.Helper()
	shell := filepath.Join(t.TempDir(), "sshd")
	testdest.Must(t, os.WriteFile(shell, []byte("#!/bin/sh\nshift\nexec sh -c \"$*\"\n"), 0o755))
	over := []string{"-e", shell, "--program", testbin.Path(t)}
	return map[string]func(dest, target string) []string{
		"here": func(dest, target string) []string { return []string{"copy", dest, target} },
		"push": func(dest, target string) []string { return append([]string{"copy", dest, "vault:" + target}, over...) },
		"pull": func(dest, target string) []string { return append([]string{"copy", "vault:" + dest, target}, over...) },
	}
}

// kthOf are the calls of each kind at which a copy is stopped. FAULTS=dense in the environment takes all.
func kthOf(few ...int) []int {
	if os.Getenv("FAULTS") != "dense" {
		return few
	}
	all := []int{}
	for k := range 400 {
		all = append(all, k+1)
	}
	return all
}

// inject runs a copy under strace, which injects a fault into the k-th call of a kind. hit reports whether there were
// that many calls.
func inject(t testing.TB, call, what string, k int, args []string) (r testbin.Result, hit bool) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "calls")
	cmd := exec.Command("strace", append([]string{"-f", "-q", "-o", log, "-e", "trace=" + call,
		"-e", "inject=" + call + ":" + what + ":when=" + strconv.Itoa(k), testbin.Path(t)}, args...)...)
	r = testbin.Finish(t, cmd)
	calls, err := os.ReadFile(log)
	testdest.Must(t, err)
	return r, strings.Contains(string(calls), "(INJECTED)") || strings.Contains(string(calls), "killed by SIGKILL")
}

// TestCopyKilled: kill -9 of either side at the k-th system call of each kind that changes something, or moves data.
// What was copied before is untouched, nothing half done has the name of a backup, and the next run puts all of it
// right.
func TestCopyKilled(t *testing.T) {
	t.Parallel()
	src, dest := source(t), testdest.New(t, "1G")
	backups(t, src, dest, 3)
	for route, args := range routes(t) {
		t.Run(route, func(t *testing.T) {
			t.Parallel()
			disk, points := loopfs.New(t, "4G"), 0
			for _, call := range []string{"ioctl", "renameat2", "rename", "renameat", "openat2", "pwrite64", "mkdirat", "unlinkat", "symlinkat", "syncfs", "fsync", "flock", "read", "write"} {
				for _, k := range kthOf(1, 2, 5, 12, 30, 90) {
					target := freshDest(t, disk, call, k)
					testbin.Must(t, "copy", "-q", dest, target, "latest~2")
					r, hit := inject(t, call, "signal=SIGKILL", k, args(dest, target))
					if !hit {
						break // there are not so many
					}
					points++
					at := call + " " + strconv.Itoa(k)
					if r.Exit == 0 && route == "here" {
						t.Errorf("%s: exit 0 though it was killed", at)
					}
					wantWhole(t, dest, target, at)
					testbin.Must(t, args(dest, target)...)
					wantCopies(t, dest, target)
					wantNothingLeft(t, target)
				}
			}
			if points < 20 {
				t.Errorf("killed at %d points only", points)
			}
			t.Logf("killed at %d system calls", points)
		})
	}
}

func freshDest(t testing.TB, disk, name string, i int) string {
	t.Helper()
	dir := filepath.Join(disk, name+strconv.Itoa(i))
	testdest.Must(t, os.Mkdir(dir, 0o700))
	return testdest.On(t, dir)
}

// TestCopyCallsFail: the calls of either side fail one by one with EIO and ENOSPC: the copy says so, or is right.
func TestCopyCallsFail(t *testing.T) {
	t.Parallel()
	src, dest := source(t), testdest.New(t, "1G")
	backups(t, src, dest, 2)
	for route, args := range routes(t) {
		t.Run(route, func(t *testing.T) {
			t.Parallel()
			disk, failed := loopfs.New(t, "4G"), 0
			for _, call := range []string{"ioctl", "renameat2", "openat2", "pwrite64", "mkdirat", "symlinkat", "syncfs", "fsync", "unlinkat"} {
				for i, k := range kthOf(1, 3, 8, 20, 23) {
					target := freshDest(t, disk, call, i)
					testbin.Must(t, "copy", "-q", dest, target, "latest~1")
					r, hit := inject(t, call, "error="+[]string{"EIO", "ENOSPC"}[i%2], k, args(dest, target))
					if !hit {
						break // there are not so many
					}
					wantWhole(t, dest, target, call+" "+strconv.Itoa(k))
					if r.Exit == 0 {
						wantCopies(t, dest, target)
						continue
					}
					failed++
					if !strings.Contains(r.Stderr, "rsbtbackup: ") {
						t.Errorf("%s %d: exit %d without a word:\n%s", call, k, r.Exit, r.Stderr)
					}
					testbin.Must(t, args(dest, target)...)
					wantCopies(t, dest, target)
					wantNothingLeft(t, target)
				}
			}
			if failed < 10 {
				t.Errorf("%d failures only", failed)
			}
			t.Logf("%d failures", failed)
		})
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
