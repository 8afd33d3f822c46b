//go:build integration

package faults

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// result is how a command ended.
type result struct {
	args           []string
	stdout, stderr string
	exit           int // -1 when a signal ended it
	signal         syscall.Signal
}

func (r result) String() string {
	return fmt.Sprintf("%q: exit %d %v\n%s%s", r.args, r.exit, r.signal, r.stdout, r.stderr)
}

// process is a command under way, in a process group of its own.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	ended          chan struct{}
	result         result
}

func program(t testing.TB) string {
	if path := os.Getenv("FAULTS_PROGRAM"); path != "" {
		return path
	}
	return testbin.Path(t)
}

// patience is what nothing takes, however busy the machine is: who is not done by then hangs.
const patience = 10 * time.Minute

// start runs argv with further environment variables. A run that hangs is killed, and fails its test.
func start(t testing.TB, env []string, argv ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = 30 * time.Second
	testdest.Must(t, p.cmd.Start())
	go p.reap()
	t.Cleanup(func() {
		p.signalGroup(syscall.SIGKILL)
		<-p.ended
	})
	return p
}

func (p *process) reap() {
	_ = p.cmd.Wait()
	state := p.cmd.ProcessState
	p.result = result{args: p.cmd.Args, stdout: p.stdout.String(), stderr: p.stderr.String(), exit: state.ExitCode()}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		p.result.signal = status.Signal()
	}
	close(p.ended)
}

func (p *process) wait(t testing.TB) result {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.signalGroup(syscall.SIGKILL)
		t.Fatalf("%q hangs", p.cmd.Args)
	}
	return p.result
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) signalGroup(s syscall.Signal) { _ = syscall.Kill(-p.pid(), s) }

func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(p.pid(), s) }

// children returns the processes that pid started.
func children(pid int) []int {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var pids []int
	for _, path := range tasks {
		list, _ := os.ReadFile(path)
		for word := range strings.FieldsSeq(string(list)) {
			if n, err := strconv.Atoi(word); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}

// run runs the command to its end.
func run(t testing.TB, args ...string) result {
	t.Helper()
	return runEnv(t, nil, args...)
}

func runEnv(t testing.TB, env []string, args ...string) result {
	t.Helper()
	return start(t, env, append([]string{program(t)}, args...)...).wait(t)
}

func wantExit(t testing.TB, r result, want ...int) {
	t.Helper()
	if slices.Contains(want, r.exit) {
		return
	}
	t.Fatalf("%v\nwant exit %v", r, want)
}

// wantOneError asks that a failed run says why in one line that has no raw control character.
func wantOneError(t testing.TB, r result) {
	t.Helper()
	n := 0
	for line := range strings.Lines(r.stderr) {
		if strings.HasPrefix(line, "rsbtbackup: ") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%v\nwant one line that names the error", r)
	}
	if i := strings.IndexFunc(r.stderr, func(c rune) bool { return c < ' ' && c != '\n' && c != '\t' || c == 0x7f }); i >= 0 {
		t.Errorf("stderr has a control character: %q", r.stderr)
	}
}
