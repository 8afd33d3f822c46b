//go:build integration

package outside

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }

// through runs the command by way of another one, such as prlimit(1).
func through(t testing.TB, wrapper []string, args ...string) testbin.Result {
	t.Helper()
	all := append(append(wrapper[:len(wrapper):len(wrapper)], testbin.Path(t)), args...)
	return testbin.Finish(t, exec.Command(all[0], all[1:]...))
}

// newSource returns an empty directory.
func newSource(t testing.TB) string {
	t.Helper()
	src := filepath.Join(t.TempDir(), "source")
	testdest.Must(t, os.Mkdir(src, 0o755))
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

// newest is the path of the last backup of any kind.
func newest(t testing.TB, dest string) string {
	t.Helper()
	entries, err := os.ReadDir(dest)
	testdest.Must(t, err)
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

func wantSaid(t testing.TB, r testbin.Result, text string) {
	t.Helper()
	if !strings.Contains(r.Stderr+r.Stdout, text) {
		t.Errorf("nothing said of %q:\n%s%s", text, r.Stdout, r.Stderr)
	}
}
