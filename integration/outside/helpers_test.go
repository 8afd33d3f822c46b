//go:build integration

// Package outside rebuilds what people reported of the world around a backup: other filesystems, strange sources, odd
// targets, limits of the machine. Each test is one such report.
package outside

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tool runs another program, which must succeed, and returns its standard output.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// through runs the command by way of another one, such as prlimit(1).
func through(t testing.TB, wrapper []string, args ...string) testbin.Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	all := append(append(wrapper[:len(wrapper):len(wrapper)], testbin.Path(t)), args...)
	cmd := exec.Command(all[0], all[1:]...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %q: %v", all, err)
	}
	return testbin.Result{Stdout: stdout.String(), Stderr: stderr.String(), Exit: cmd.ProcessState.ExitCode()}
}

// newDest returns an initialised directory on a btrfs of its own.
func newDest(t testing.TB, size string, mountOpts ...string) string {
	t.Helper()
	dest := filepath.Join(loopfs.New(t, size, mountOpts...), "dest")
	must(t, os.Mkdir(dest, 0o755))
	testbin.Must(t, "init", dest)
	return dest
}

// newSource returns an empty directory.
func newSource(t testing.TB) string {
	t.Helper()
	src := filepath.Join(t.TempDir(), "source")
	must(t, os.Mkdir(src, 0o755))
	return src
}

// backup makes a backup, which must end with exit, and says what it said.
func backup(t testing.TB, exit int, src, dest string, args ...string) testbin.Result {
	t.Helper()
	r := testbin.Run(t, append([]string{"backup", src, dest}, args...)...)
	if r.Exit != exit {
		t.Fatalf("backup %s %s %q: exit %d, want %d\n%s%s", src, dest, args, r.Exit, exit, r.Stdout, r.Stderr)
	}
	return r
}

// current is the path of what cur names.
func current(t testing.TB, dest string) string {
	t.Helper()
	name, err := os.Readlink(filepath.Join(dest, "cur"))
	must(t, err)
	return filepath.Join(dest, name)
}

// newest is the path of the last backup of any kind.
func newest(t testing.TB, dest string) string {
	t.Helper()
	entries, err := os.ReadDir(dest)
	must(t, err)
	last := ""
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), "2") {
			last = filepath.Join(dest, e.Name())
		}
	}
	if last == "" {
		t.Fatalf("no backup in %s", dest)
	}
	return last
}

func write(t testing.TB, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

// wantSame lets rsync compare everything: contents by checksum, every attribute, times to the nanosecond.
func wantSame(t testing.TB, src, backup string, options ...string) {
	t.Helper()
	args := append([]string{"-naHAXc", "--numeric-ids", "--modify-window=-1", "--delete", "--itemize-changes"}, options...)
	if diff := tool(t, "rsync", append(args, "--", src+"/", backup+"/")...); diff != "" {
		t.Errorf("%s differs from %s:\n%.2000s", backup, src, diff)
	}
}

func wantSaid(t testing.TB, r testbin.Result, text string) {
	t.Helper()
	if !strings.Contains(r.Stderr+r.Stdout, text) {
		t.Errorf("nothing said of %q:\n%s%s", text, r.Stdout, r.Stderr)
	}
}
