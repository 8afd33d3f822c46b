package loopfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// script runs a verb of mkloopfs.sh and returns its standard output.
func script(t testing.TB, args ...string) string {
	t.Helper()
	out, err := runScript(t, args...)
	if err != nil {
		t.Fatalf("loopfs: %v", err)
	}
	return out
}

func runScript(t testing.TB, args ...string) (string, error) {
	t.Helper()
	path, err := scriptPath()
	if err != nil {
		return "", err
	}
	return run(path, args...)
}

// Apart returns how a command line begins whose rest runs in a mount namespace of its own. Of all file systems made
// here it has the kept one alone: a copy of another would live on in it when the test that made it has unmounted it.
func Apart(t testing.TB, kept string) []string {
	t.Helper()
	path, err := scriptPath()
	if err != nil {
		t.Fatalf("loopfs: %v", err)
	}
	return []string{path, "apart", kept}
}

func command(t testing.TB, name string, args ...string) {
	t.Helper()
	if _, err := run(name, args...); err != nil {
		t.Fatalf("loopfs: %v", err)
	}
}

func run(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// startDir is where the process began: go test sets it to the package, and a test may change its directory.
var startDir, errStartDir = os.Getwd()

func scriptPath() (string, error) {
	if errStartDir != nil {
		return "", fmt.Errorf("find mkloopfs.sh: %w", errStartDir)
	}
	dir := startDir
	for ; ; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, "scripts", "mkloopfs.sh")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("find mkloopfs.sh: no scripts/mkloopfs.sh above the package; run the test inside the checkout")
		}
	}
}

func mounted(t testing.TB, dir string) bool {
	t.Helper()
	_, err := run("mountpoint", "-q", "--", dir)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("loopfs: %v", err)
	}
	return err == nil
}

// outerSize has space for the inner image written twice, and for metadata.
func outerSize(t testing.TB, size string) string {
	t.Helper()
	bytes, err := run("numfmt", "--from=iec", "--", size)
	if err != nil {
		t.Fatalf("loopfs: size %q: %v", size, err)
	}
	var n int64
	if _, err := fmt.Sscan(bytes, &n); err != nil {
		t.Fatalf("loopfs: size %q: %v", size, err)
	}
	return fmt.Sprint(3*n + 1<<30)
}

// sweep removes images of processes that have ended. If it cannot remove one because another process uses it, this test
// does not fail.
func sweep(t testing.TB) {
	t.Helper()
	if _, err := runScript(t, "sweep"); err != nil {
		t.Logf("loopfs: %v", err)
	}
}
