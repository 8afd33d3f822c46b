// Package testbin builds the rsbtbackup command for tests and runs it.
package testbin

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

var built atomic.Bool

// build is the build of this process, or the one that "make integration" has made for all.
var build = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("RSBTBACKUP_TESTBIN"); path != "" {
		return path, nil
	}
	built.Store(true)
	dir, err := os.MkdirTemp("", "rsbtbackup-testbin-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "rsbtbackup")
	cmd := exec.Command("go", "build", "-o", path, "github.com/rsbtbackup/rsbtbackup/cmd/rsbtbackup")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return path, os.Chmod(dir, 0o755)
})

// Path returns the command, built once for each test process. TestMain calls Main to delete it again.
func Path(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatalf("build rsbtbackup: %v", err)
	}
	return path
}

// Main runs the tests of a package, removes what Path built and returns the exit code.
func Main(m *testing.M) int {
	code := m.Run()
	if built.Load() {
		if path, err := build(); err == nil {
			os.RemoveAll(filepath.Dir(path))
		}
	}
	return code
}

// HearHangup is for tests that send SIGHUP. What nohup ignores, children would ignore as well: exec resets only what
// has a handler.
func HearHangup() {
	if signal.Ignored(syscall.SIGHUP) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
}

// Result is how a run of the command ended.
type Result struct {
	Stdout, Stderr string
	Exit           int // -1 when a signal ended it
}

// Run runs the command with args.
func Run(t testing.TB, args ...string) Result {
	t.Helper()
	return RunEnv(t, nil, args...)
}

// RunEnv runs the command with args and further environment variables.
func RunEnv(t testing.TB, env []string, args ...string) Result {
	t.Helper()
	cmd := exec.Command(Path(t), args...)
	cmd.Env = append(os.Environ(), env...)
	return Finish(t, cmd)
}

// As makes cmd run as an ordinary user, whose group has the same number; 0 is root.
func As(uid uint32, cmd *exec.Cmd) *exec.Cmd {
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	return cmd
}

// AsNobody runs the command with args as an ordinary user who owns nothing.
func AsNobody(t testing.TB, args ...string) Result {
	t.Helper()
	cmd := As(65534, exec.Command(Path(t), args...))
	cmd.Dir = "/"
	return Finish(t, cmd)
}

// Finish runs cmd and returns how it ended.
func Finish(t testing.TB, cmd *exec.Cmd) Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %q: %v", cmd.Args, err)
	}
	return Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// Must runs the command and fails the test unless it exits with 0.
func Must(t testing.TB, args ...string) Result {
	t.Helper()
	r := Run(t, args...)
	if r.Exit != 0 {
		t.Fatalf("rsbtbackup %q: exit %d\n%s%s", args, r.Exit, r.Stdout, r.Stderr)
	}
	return r
}
