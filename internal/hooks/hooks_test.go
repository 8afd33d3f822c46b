package hooks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// lines collects what a program says.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) say(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

// script runs a script of sh.
func script(ctx context.Context, t *testing.T, text string, o Options) (string, error) {
	t.Helper()
	var said lines
	o.Command, o.Say = []string{"/bin/sh", "-c", text}, said.say
	err := Run(ctx, o)
	return said.String(), err
}

func TestRun(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/x")
	for _, tt := range []struct{ name, script, said, err string }{
		{"silent", "exit 0", "", ""},
		{"both outputs", "echo out; echo err >&2", "out\nerr", ""},
		{"a failure says its last line", "echo one; echo two; echo; exit 3", "one\ntwo", "/bin/sh: exit status 3: two"},
		{"a failure that says nothing", "exit 4", "", "/bin/sh: exit status 4"},
		{"killed by another", "kill -9 $$", "", "/bin/sh: signal: killed"},
		{"environment", "echo $RSBTBACKUP_JOB, $NOTIFY_SOCKET; pwd; read x || echo no input", "etc,\n/\nno input", ""},
		{"a line without an end", "printf abc", "abc", ""},
		{"a long line is cut", "head -c 5000 /dev/zero | tr '\\0' x; echo; echo next", strings.Repeat("x", lineLimit) + "\nnext", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			said, err := script(t.Context(), t, tt.script, Options{Env: []string{"RSBTBACKUP_JOB=etc"}})
			if got := fmt.Sprint(err); said != tt.said || got != tt.err && !(err == nil && tt.err == "") {
				t.Errorf("said %q, %v", said, err)
			}
		})
	}
}

func TestNoShellTakesTheWords(t *testing.T) {
	var said lines
	err := Run(t.Context(), Options{Command: []string{"/bin/echo", "$HOME; ls", "*"}, Say: said.say})
	if err != nil || said.String() != "$HOME; ls *" {
		t.Errorf("%s, %v", said.String(), err)
	}
}

// What a program has printed is said, even if that takes longer than it lived.
func TestOutputThatIsSaidSlowly(t *testing.T) {
	lines := 0
	err := Run(t.Context(), Options{Command: []string{"/bin/sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; echo why; exit 1"}, Say: func(line string) {
		if lines++; lines == 1 {
			time.Sleep(2500 * time.Millisecond) // the program ends meanwhile, and so does the time to wait for others
		}
	}})
	if lines != 3001 || err == nil || !strings.HasSuffix(err.Error(), "exit status 1: why") {
		t.Errorf("%d lines, %v", lines, err)
	}
}

func TestCannotBeStarted(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for program, want := range map[string]string{
		"/nowhere/x": "/nowhere/x: cannot be started: no such file or directory",
		plain:        plain + ": cannot be started: permission denied",
	} {
		if err := Run(t.Context(), Options{Command: []string{program}}); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A program that prints without end is read to the end, and the log gets the beginning.
func TestFlood(t *testing.T) {
	for _, lines := range []string{"yes", "yes $(seq 100)"} {
		said, err := script(t.Context(), t, lines+" | head -n 1000000; echo last; exit 1", Options{})
		if len(said) > logLimit+100 || strings.Count(said, "\n") > linesLimit || !strings.HasSuffix(said, "lines more, which are left out") {
			t.Errorf("%s: %d bytes, %d lines, the end is %q", lines, len(said), strings.Count(said, "\n"), said[max(0, len(said)-60):])
		}
		if err == nil || !strings.HasSuffix(err.Error(), "exit status 1: last") {
			t.Error(err)
		}
	}
}

// begun waits until the script has said that it began, by the pids in a file.
func begun(t *testing.T, file string, n int) []int {
	t.Helper()
	for {
		text, _ := os.ReadFile(file) // it comes into being
		if fields := strings.Fields(string(text)); len(fields) >= n {
			var pids []int
			for _, f := range fields {
				pid, err := strconv.Atoi(f)
				if err != nil {
					t.Fatal(err)
				}
				pids = append(pids, pid)
			}
			return pids
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func gone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		for deadline := time.Now().Add(10 * time.Minute); running(pid); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("process %d is still there", pid)
				return
			}
		}
	}
}

// running ignores zombies: in a container there may be no init that reaps them.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// A program that takes too long ends with all it has started, also if they do not care for SIGTERM.
func TestTimeoutEndsTheWholeGroup(t *testing.T) {
	for _, ignore := range []string{"", "trap '' TERM;"} {
		// On a busy machine a short time is up before the program has started anything.
		pids := 0
		for timeout := 250 * time.Millisecond; pids < 2; timeout *= 2 {
			file := filepath.Join(t.TempDir(), "pids")
			_, err := script(t.Context(), t, ignore+"(echo $$ >>"+file+"; exec sh -c 'echo $$ >>"+file+"; sleep 100; true') & sleep 100; true",
				Options{Timeout: timeout, Grace: 100 * time.Millisecond})
			if err == nil || err.Error() != "/bin/sh: it took longer than "+timeout.String() {
				t.Fatalf("%q: %v", ignore, err)
			}
			all := begun(t, file, 0)
			gone(t, all)
			pids = len(all)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("got SIGTERM")
	file := filepath.Join(t.TempDir(), "pids")
	go func() {
		for {
			if info, err := os.Stat(file); err == nil && info.Size() > 0 {
				cancel(reason)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	if _, err := script(ctx, t, "echo $$ >"+file+"; sleep 100; true", Options{}); !errors.Is(err, reason) {
		t.Error(err)
	}
	gone(t, begun(t, file, 1))
	if _, err := script(ctx, t, "echo no", Options{}); !errors.Is(err, reason) || !strings.Contains(err.Error(), "could not begin") {
		t.Error(err)
	}
}

// A program may leave something running in the background that holds the pipe.
func TestBackground(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	said, err := script(t.Context(), t, "(echo in the background; : >"+file+".said; sleep 100) & echo $! >"+file+"; until [ -e "+file+".said ]; do sleep 0.01; done", Options{})
	if err != nil || said != "in the background" {
		t.Errorf("%s, %v", said, err)
	}
	pids := begun(t, file, 1)
	if !running(pids[0]) {
		t.Error("it was ended")
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

// asHook makes the test binary run a hook that takes long.
const asHook = "RSBTBACKUP_TEST_HOOK"

func TestMain(m *testing.M) {
	if file := os.Getenv(asHook); file != "" {
		err := Run(context.Background(), Options{Command: []string{"/bin/sh", "-c", "echo $$ >" + file + "; exec sleep 100"}, Say: func(string) {}})
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// When this process is killed the program dies too.
func TestDiesWithUs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	self := exec.Command(os.Args[0])
	self.Env = append(os.Environ(), asHook+"="+file)
	if err := self.Start(); err != nil {
		t.Fatal(err)
	}
	pids := begun(t, file, 1)
	if err := self.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = self.Wait() // killed, as it should be
	gone(t, pids)
}
