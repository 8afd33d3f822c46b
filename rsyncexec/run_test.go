package rsyncexec

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// job is a run from one new directory to another, with the given program.
func job(t *testing.T, program string) Options {
	t.Helper()
	return Options{
		Program: program,
		Source:  Source{Kind: Local, Path: t.TempDir()},
		Dest:    t.TempDir(),
	}
}

func TestRunReportsExitCodes(t *testing.T) {
	for _, code := range []int{1, 11, 12, 20, 23, 24, 25, 30, 255} {
		result, err := Run(t.Context(), job(t, fake(t, "exit "+itoa(code))))
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Code != code || result.ExitCode != code {
			t.Errorf("exit %d came back as %d, %v", code, result.ExitCode, err)
			continue
		}
		complaint := `rsync: [sender] fake failure \#012 number ` + itoa(code)
		if want := "rsync: " + ExitName(code) + " (exit " + itoa(code) + "): " + complaint; err.Error() != want {
			t.Errorf("error is %q, want %q", err, want)
		}
		if diff := cmp.Diff([]string{complaint}, result.Complaints); diff != "" {
			t.Errorf("complaints (-want +got):\n%s", diff)
		}
	}
}

func TestRunReportsSignals(t *testing.T) {
	result, err := Run(t.Context(), job(t, fake(t, "signal 9")))
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Signal != syscall.SIGKILL || result.ExitCode != -1 {
		t.Fatalf("got exit code %d, error %v", result.ExitCode, err)
	}
	if want := "rsync: killed by signal 9 (killed)"; err.Error() != want {
		t.Errorf("error is %q, want %q", err, want)
	}
}

func TestRunReadsLinesAndStatistics(t *testing.T) {
	var lines []string
	o := job(t, fake(t, "lines 100000"))
	o.Line = func(stream, line string) { lines = append(lines, stream+" "+line) }
	result, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 100000 || lines[99999] != "stdout >f+++++++++ file99999" {
		t.Errorf("%d lines, the last one is %q", len(lines), lines[len(lines)-1])
	}
	if !result.HaveStats || result.Stats.Deleted != 7 {
		t.Errorf("statistics: %v %+v", result.HaveStats, result.Stats)
	}
	if result.Version != (Version{3, 5, 0}) || !result.Ended.After(result.Started) {
		t.Errorf("version %v, from %v to %v", result.Version, result.Started, result.Ended)
	}
}

// A child that prints without end and without a newline costs no memory and is never kept waiting.
func TestRunSurvivesFloods(t *testing.T) {
	longest := 0
	o := job(t, fake(t, "flood 33554432"))
	o.Line = func(_, line string) { longest = max(longest, len(line)) }
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	result, err := Run(t.Context(), o)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if longest != maxLine || len(result.Tail) > maxTail {
		t.Errorf("longest line %d bytes, tail %d bytes", longest, len(result.Tail))
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("64 MiB of output cost %d bytes of allocations", grown)
	}
}

func TestRunCancelled(t *testing.T) {
	tests := []struct {
		name, behaviour string
		grace           time.Duration
		code            int
		signal          syscall.Signal
	}{
		{"a child that obeys", "sleep 600000", 10 * time.Minute, 20, 0},
		{"a child that ignores SIGTERM", "stubborn 600000", 300 * time.Millisecond, -1, syscall.SIGKILL},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cause := errors.New("the reason")
			ctx, cancel := context.WithCancelCause(t.Context())
			o := job(t, fake(t, test.behaviour))
			o.KillGrace = test.grace
			pid := 0
			o.Line = func(_, line string) {
				pid = atoi(strings.TrimPrefix(line, "ready "))
				cancel(cause)
			}
			_, err := Run(ctx, o)
			var exit *ExitError
			if !errors.Is(err, cause) || !errors.As(err, &exit) || exit.Code != test.code || exit.Signal != test.signal {
				t.Fatalf("error is %v", err)
			}
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("process %d after the run: %v", pid, err)
			}
		})
	}
}

func TestRunCancelledBeforeItStarts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	result, err := Run(ctx, job(t, fake(t, "exit 0")))
	if !errors.Is(err, context.Canceled) || !result.Started.IsZero() {
		t.Errorf("error is %v, started %v", err, result.Started)
	}
}

// The child's child holds stdout, stderr and the liveness pipe.
func TestRunWaitsForDescendants(t *testing.T) {
	start := time.Now()
	if _, err := Run(t.Context(), job(t, fake(t, "leave 700"))); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 700*time.Millisecond {
		t.Errorf("it returned after %v, before the grandchild ended", took)
	}
}

func TestRunNamesDescendantsThatStay(t *testing.T) {
	o := job(t, fake(t, "leave 600000"))
	o.KillGrace = 300 * time.Millisecond
	pid := 0
	o.Line = func(_, line string) { pid = atoi(strings.TrimPrefix(line, "ready ")) }
	start := time.Now()
	_, err := Run(t.Context(), o)
	if !errors.Is(err, ErrStillRunning) {
		t.Errorf("error is %v", err)
	}
	if took := time.Since(start); took > 5*time.Minute {
		t.Errorf("it waited %v for one that stays ten minutes", took)
	}
	if pid > 1 {
		_ = syscall.Kill(pid, syscall.SIGKILL) // the grandchild of this very test
	}
}

func TestRunPassesACleanEnvironment(t *testing.T) {
	t.Setenv("RSYNC_OLD_ARGS", "1")
	t.Setenv("RSYNC_PARTIAL_DIR", "/tmp/x")
	t.Setenv("LD_PRELOAD", "")
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	t.Setenv("LANG", "de_DE.UTF-8")
	t.Setenv("SSH_AUTH_SOCK", "/run/agent")
	t.Setenv("PATH", ".::bin:/usr/bin:/bin")
	var env []string
	o := job(t, fake(t, "env"))
	o.Line = func(_, line string) { env = append(env, line) }
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	got := "\n" + strings.Join(env, "\n") + "\n"
	for _, want := range []string{"LC_ALL=C", "PATH=/usr/bin:/bin", "SSH_AUTH_SOCK=/run/agent"} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("%s is not in the environment", want)
		}
	}
	for _, name := range []string{"RSYNC_OLD_ARGS", "RSYNC_PARTIAL_DIR", "LD_PRELOAD", "LANG"} {
		if strings.Contains(got, "\n"+name+"=") {
			t.Errorf("%s is in the environment", name)
		}
	}
}

func TestRunDoesNotLeakDescriptors(t *testing.T) {
	count := func() int {
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	o := job(t, fake(t, "exit 0"))
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	before := count()
	for range 10 {
		if _, err := Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after ten runs", before, after)
	}
}

// Runs share nothing: the race detector watches.
func TestRunConcurrently(t *testing.T) {
	program := fake(t, "lines 200")
	var group sync.WaitGroup
	for range 8 {
		o := job(t, program)
		group.Go(func() {
			n := 0
			o.Line = func(string, string) { n++ }
			if result, err := Run(context.Background(), o); err != nil || n != 200 || !result.HaveStats {
				t.Errorf("%d lines, error %v", n, err)
			}
		})
	}
	group.Wait()
}

func TestProbe(t *testing.T) {
	empty, dir := t.TempDir(), t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("plain", "#!/bin/sh\n", 0o600)
	write("noise", "#!/bin/sh\necho hello\n", 0o700)
	write("broken", "#!/nonexistent/interpreter\n", 0o700)
	write("fails", "#!/bin/sh\nexit 3\n", 0o700)
	write("rsync", "#!/bin/sh\necho rsync  version 3.1.3\n", 0o700)
	t.Chdir(dir)
	tests := []struct {
		name, program, path string
		want                error
		text                string
	}{
		{"not in PATH", "", empty, ErrNotFound, "rsync is not installed"},
		{"no such path", "/nonexistent/rsync", empty, ErrNotFound, "/nonexistent/rsync"},
		{"no x bit, by path", dir + "/plain", empty, ErrNotExecutable, dir + "/plain"},
		{"no x bit, in PATH", "plain", dir, ErrNotExecutable, dir + "/plain"},
		{"a directory", dir, empty, ErrNotExecutable, dir},
		{"in the working directory", "", ".", ErrRelative, "PATH"},
		{"in the working directory, by an empty element", "", ":" + empty, ErrRelative, "PATH"},
		{"a relative path", "./rsync", empty, ErrRelative, "./rsync"},
		{"something else", "noise", dir, ErrNotRsync, "names no version"},
		{"no interpreter", "broken", dir, ErrNotRsync, "broken"},
		{"fails", "fails", dir, ErrNotRsync, "exit status 3"},
		{"too old", fake(t, "version 3.1.2"), os.Getenv("PATH"), ErrTooOld, "it is 3.1.2, at least 3.1.3 is needed"},
		{"just right", "", dir, nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("PATH", test.path)
			path, v, err := Probe(t.Context(), test.program)
			if !errors.Is(err, test.want) {
				t.Fatalf("error is %v, want %v", err, test.want)
			}
			if err != nil {
				if !strings.Contains(err.Error(), test.text) {
					t.Errorf("error %q does not say %q", err, test.text)
				}
				if _, err := Run(t.Context(), job(t, test.program)); !errors.Is(err, test.want) {
					t.Errorf("Run says %v", err)
				}
				return
			}
			if path != dir+"/rsync" || v != (Version{3, 1, 3}) {
				t.Errorf("found %s, version %v", path, v)
			}
		})
	}
}

// A wrapper may start something that keeps its output open, such as an agent. The version it told still counts.
func TestProbeOfAWrapperThatLeavesSomethingRunning(t *testing.T) {
	t.Parallel()
	wrapper := filepath.Join(t.TempDir(), "rsync")
	if err := os.WriteFile(wrapper, []byte("#!/bin/sh\nsleep 20 &\necho rsync  version 3.2.7\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, v, err := Probe(t.Context(), wrapper); err != nil || v != (Version{3, 2, 7}) {
		t.Errorf("version %v, error %v", v, err)
	}
}

// A program that is known is asked again only if it is another file, or may run another program.
func TestProbeAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		write(t, path, content)
		if err := os.Chmod(path, 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const script = "#!/bin/sh\necho rsync  version 3.2.7\n"
	binary, wrapper := file("a/rsync", "\x7fELF, which cannot be run"), file("b/rsync", script)
	link := filepath.Join(dir, "rsync")
	if err := os.Symlink(file("firejail", "\x7fELF"), link); err != nil {
		t.Fatal(err)
	}
	known := Known{Path: binary, Version: Version{3, 9, 9}, File: identify(binary)}
	if got, err := ProbeAgain(t.Context(), binary, known); err != nil || got != known {
		t.Errorf("%+v, error %v, want %+v without asking", got, err, known)
	}
	for name, last := range map[string]Known{
		"nothing is known":     {},
		"of another path":      {Path: wrapper, Version: known.Version, File: known.File},
		"of another file":      {Path: binary, Version: known.Version, File: identify(link) + "1"},
		"of too old a version": {Path: binary, Version: Version{3, 1, 2}, File: known.File},
	} {
		if got, err := ProbeAgain(t.Context(), binary, last); !errors.Is(err, ErrNotRsync) {
			t.Errorf("%s: %+v, error %v, want it to be asked", name, got, err)
		}
	}
	if got, err := ProbeAgain(t.Context(), wrapper, Known{Path: wrapper, Version: known.Version}); err != nil || got != (Known{Path: wrapper, Version: Version{3, 2, 7}}) {
		t.Errorf("a script: %+v, error %v", got, err)
	}
	if id := identify(link); id != "" {
		t.Errorf("a link to a program of another name is identified as %s", id)
	}
	// The clock that ctimes come from may not have ticked yet.
	for try := 0; try < 5000 && identify(binary) == known.File; try++ {
		file("a/rsync", "\x7fELF, which CANNOT be run")
		time.Sleep(time.Millisecond)
	}
	if got, err := ProbeAgain(t.Context(), binary, known); !errors.Is(err, ErrNotRsync) {
		t.Errorf("it was written to: %+v, error %v, want it to be asked", got, err)
	}
}
