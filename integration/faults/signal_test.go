//go:build integration

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// slow makes a transfer of 2 MB last until it is stopped.
var slow = []string{"--bwlimit=40"}

// startSlow starts a backup and waits until rsync writes.
func startSlow(t *testing.T, d *dest, src *tree, flags ...string) *process {
	t.Helper()
	src.write(t, "slow", 2<<20)
	argv := append([]string{program(t), "backup", src.dir, d.path}, slow...)
	p := start(t, nil, append(argv, flags...)...)
	testdest.WaitFor(t, "rsync to copy", func() bool { return copying(p.pid()) || !p.running() })
	if !p.running() {
		t.Fatalf("ended too early: %v", p.wait(t))
	}
	return p
}

// copying reports whether rsync has begun: before it has a file list nothing is written, and no pending is worth
// keeping. With the list the generator, a child of the rsync we started, starts the receiver, which then writes.
func copying(pid int) bool {
	client := rsyncOf(pid)
	if client == 0 {
		return false
	}
	for _, generator := range children(client) {
		if slices.ContainsFunc(children(generator), wrote) {
			return true
		}
	}
	return false
}

// wrote reports whether a process has called write.
func wrote(pid int) bool {
	io, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	_, after, found := strings.Cut(string(io), "syscw: ")
	return found && !strings.HasPrefix(after, "0\n")
}

// rsyncOf returns the pid of the rsync that copies.
func rsyncOf(pid int) int {
	for _, child := range children(pid) {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child))
		if strings.Contains(string(line), "/proc/self/fd/") {
			return child
		}
	}
	return 0
}

// TestSignal sends SIGINT, SIGTERM and SIGHUP to the command alone and to all of its group, as a terminal does.
func TestSignal(t *testing.T) {
	t.Parallel()
	mount := loopfs.New(t, "1G")
	src := newTree(t)
	d := newDest(t, mount, src, 1)
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		for _, whole := range []bool{false, true} {
			t.Run(fmt.Sprint(unix.SignalName(sig), " group ", whole), func(t *testing.T) {
				src.change(t)
				p := startSlow(t, d, src)
				if whole {
					p.signalGroup(sig)
				} else {
					p.signal(sig)
				}
				r := p.wait(t)
				wantExit(t, r, 128+int(sig))
				wantOneError(t, r)
				if !testdest.Exists(d.join("pending")) {
					t.Error("pending was not kept")
				}
				d.check(t, src)
			})
		}
	}
}

// TestSignalTwice is an impatient Ctrl-C.
func TestSignalTwice(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	src.change(t)
	p := startSlow(t, d, src)
	p.signalGroup(unix.SIGINT)
	time.Sleep(10 * time.Millisecond)
	p.signalGroup(unix.SIGINT)
	wantExit(t, p.wait(t), 130)
	d.check(t, src)
}

// TestSignalInCommit sends SIGTERM before each step of the commit: the run ends either with nothing published or with a
// whole backup, and says which.
func TestSignalInCommit(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "1G"), src, 1)
	for _, call := range []string{"syncfs", "fsync", "symlinkat", "renameat", "ioctl", "unlinkat"} {
		src.change(t)
		n := injection{call: call}.count(t, "backup", src.dir, d.path)
		d.held(t, src)
		for _, nth := range sample(n, 4) {
			t.Run(fmt.Sprint(call, " ", nth), func(t *testing.T) {
				src.change(t)
				before := len(d.backups)
				i := injection{call: call, fault: "signal=SIGTERM", nth: nth}
				r, _ := i.run(t, "backup", src.dir, d.path)
				// Before it has a handler the signal ends it as any program.
				if r.signal != syscall.SIGTERM {
					wantExit(t, r, 0, 143)
				}
				d.held(t, src)
				if published := len(d.backups) > before; published != (r.exit == 0) {
					t.Errorf("published: %v, but %v", published, r)
				}
				d.check(t, src)
			})
		}
	}
}

// TestOrphanRsyncKeepsTheLock kills the command while its rsync survives: until rsync ends, no other run may start.
func TestOrphanRsyncKeepsTheLock(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	src.change(t)
	flag := filepath.Join(t.TempDir(), "started")
	env := fakeRsync(t, fmt.Sprintf(`trap '' TERM; : > '%[1]s'; while [ -e '%[1]s' ]; do sleep 0.05; done; exec "$REAL" "$@"`, flag))
	p := start(t, env, program(t), "backup", src.dir, d.path)
	testdest.WaitFor(t, "rsync to start", func() bool { return testdest.Exists(flag) || !p.running() })
	p.signal(syscall.SIGKILL)
	p.wait(t)
	r := run(t, "backup", src.dir, d.path)
	wantExit(t, r, 11)
	wantOneError(t, r)
	if want := fmt.Sprintf("its pid %d is gone", p.pid()); !strings.Contains(r.stderr, want) {
		t.Errorf("%v\nwant %s", r, want)
	}
	testdest.Must(t, os.Remove(flag))
	d.check(t, src)
}

// TestRsyncDiesWithTheCommand kills the command alone: the kernel tells rsync.
func TestRsyncDiesWithTheCommand(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	src.change(t)
	p := startSlow(t, d, src)
	rsync := rsyncOf(p.pid())
	p.signal(syscall.SIGKILL)
	p.wait(t)
	testdest.WaitFor(t, "rsync to die", func() bool { return syscall.Kill(rsync, 0) != nil || isZombie(rsync) })
	d.check(t, src)
}

func isZombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// TestRsyncKilled kills rsync under the command.
func TestRsyncKilled(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	for _, sig := range []syscall.Signal{unix.SIGKILL, unix.SIGTERM, unix.SIGSEGV} {
		src.change(t)
		p := startSlow(t, d, src)
		testdest.Must(t, syscall.Kill(rsyncOf(p.pid()), sig))
		r := p.wait(t)
		wantExit(t, r, 1)
		wantOneError(t, r)
		d.check(t, src)
	}
}

// fakeShell is a remote shell that runs the command here; script may break it.
func fakeShell(t testing.TB, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shell")
	testdest.Must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755))
	return path
}

// TestRemoteConnectionDrops ends the remote shell early, midway, and by a message instead of a protocol.
func TestRemoteConnectionDrops(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	for _, tt := range []struct {
		name, script string
		exit         []int
	}{
		{"host down", `echo "ssh: connect to host: No route to host" >&2; exit 255`, []int{12}},
		{"at once", `exit 0`, []int{12}},
		{"midway", `shift; "$@" & child=$!; sleep 0.3; kill -9 $child; exit 255`, []int{12}},
		{"noisy login", `echo Welcome; shift; exec "$@"`, []int{12, 1}},
		{"no rsync there", `echo "rsync: command not found" >&2; exit 127`, []int{12}},
		{"path missing there", `shift; exec "$@"missing`, []int{12}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src.change(t)
			r := run(t, append([]string{"backup", "--rsh=" + fakeShell(t, tt.script), "host:" + src.dir, d.path}, slow...)...)
			wantExit(t, r, tt.exit...)
			wantOneError(t, r)
			d.check(t, src)
		})
	}
	t.Run("then undisturbed", func(t *testing.T) {
		src.change(t)
		wantExit(t, run(t, "backup", "--rsh="+fakeShell(t, `shift; exec "$@"`), "host:"+src.dir, d.path), 0)
		d.check(t, src)
	})
}

// TestStdoutClosed gives the command a stdout that nobody reads: that does not make a backup fail.
func TestStdoutClosed(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	for _, flags := range [][]string{nil, {"--json"}, {"-v"}} {
		t.Run(fmt.Sprint(flags), func(t *testing.T) {
			src.change(t)
			before := len(d.backups)
			argv := append([]string{"sh", "-c", `"$@" | exec true; exit 0`, "sh", program(t), "backup", src.dir, d.path}, flags...)
			start(t, nil, argv...).wait(t)
			d.held(t, src)
			if len(d.backups) != before+1 {
				t.Error("nothing was published because nobody read stdout")
			}
			d.newestIsCur(t)
			d.check(t, src)
		})
	}
}

// TestTerminalClosed closes the terminal a backup runs in.
func TestTerminalClosed(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	src.change(t)
	line := strings.Join(append([]string{"exec", program(t), "backup", src.dir, d.path}, slow...), " ")
	p := start(t, nil, "script", "-q", "-c", line, "/dev/null")
	testdest.WaitFor(t, "rsync to start", func() bool { return rsyncBelow(p.pid()) != 0 || !p.running() })
	rsync := rsyncBelow(p.pid())
	p.signal(syscall.SIGKILL)
	p.wait(t)
	testdest.WaitFor(t, "rsync to end", func() bool { return rsync == 0 || isZombie(rsync) })
	d.check(t, src)
}

func rsyncBelow(pid int) int {
	if rsync := rsyncOf(pid); rsync != 0 {
		return rsync
	}
	for _, child := range children(pid) {
		if rsync := rsyncBelow(child); rsync != 0 {
			return rsync
		}
	}
	return 0
}
