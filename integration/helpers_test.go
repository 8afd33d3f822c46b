//go:build integration

package integration

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { testbin.Main(m) }

// invocation is how the command is run. The zero value runs it as root, here, with the environment of the test.
type invocation struct {
	dir string
	env []string // the whole environment; nil is that of the test
	uid uint32   // also the group
}

func (i invocation) run(t testing.TB, args ...string) testbin.Result {
	t.Helper()
	cmd := exec.Command(testbin.Path(t), args...)
	cmd.Dir, cmd.Env = i.dir, i.env
	return testbin.Finish(t, testbin.As(i.uid, cmd))
}

func (i invocation) must(t testing.TB, args ...string) testbin.Result {
	t.Helper()
	r := i.run(t, args...)
	if r.Exit != 0 {
		t.Fatalf("rsbtbackup %q: exit %d\n%s%s", args, r.Exit, r.Stdout, r.Stderr)
	}
	return r
}

// newest returns the last backup in dest, of which there must be n, with its record.
func newest(t testing.TB, dest string, n int) rsbtbackup.Snapshot {
	t.Helper()
	all := testdest.Backups(t, dest)
	if len(all) != n {
		t.Fatalf("%d backups, want %d: %+v", len(all), n, all)
	}
	last := all[n-1]
	if last.Record == nil {
		t.Fatalf("%s has no record", last.Name)
	}
	return last
}

func clip(s string) string {
	const most = 4000
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// wantReadOnly asks btrfs-progs and tries.
func wantReadOnly(t testing.TB, backup string) {
	t.Helper()
	if got := testdest.Tool(t, "btrfs", "property", "get", "-ts", backup, "ro"); got != "ro=true\n" {
		t.Errorf("%s: %q, want ro=true", backup, got)
	}
	if err := os.WriteFile(filepath.Join(backup, "may not be"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("writing into %s: %v, want EROFS", backup, err)
	}
}

// wantTidy: a finished run leaves backups, cur and the log, and no work of its own.
func wantTidy(t testing.TB, dest string) {
	t.Helper()
	known := map[string]bool{".log": true, "cur": true}
	for _, b := range testdest.Backups(t, dest) {
		known[b.Name] = true
	}
	for _, name := range testdest.Entries(t, dest) {
		if !known[name] {
			t.Errorf("%s is left in %s", name, dest)
		}
	}
}

// everything describes all below dir: every inode with its times, and every subvolume.
func everything(t testing.TB, dir string) string {
	t.Helper()
	files := testdest.Tool(t, "find", dir, "-printf", "%i %y %m %U:%G %n %s %T@ %C@ %p -> %l\n")
	if !strings.Contains(testdest.Tool(t, "stat", "-f", "-c", "%T", dir), "btrfs") {
		return files
	}
	// A generation grows with any commit, also one of somebody else's change.
	return files + generation.ReplaceAllString(testdest.Tool(t, "btrfs", "subvolume", "list", "-u", "-q", "-c", dir), "")
}

var generation = regexp.MustCompile(` gen \d+`)
