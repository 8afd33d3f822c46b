//go:build integration

package integration

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { testbin.Main(m) }

// invocation is how the command is run. The zero value runs it as root, here, with the environment
// of the test.
type invocation struct {
	dir string
	env []string // the whole environment; nil is that of the test
	uid uint32   // also the group
}

func (i invocation) run(t testing.TB, args ...string) testbin.Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(testbin.Path(t), args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = i.dir, i.env, &stdout, &stderr
	if i.uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: i.uid, Gid: i.uid}}
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run rsbtbackup %q: %v", args, err)
	}
	return testbin.Result{Stdout: stdout.String(), Stderr: stderr.String(), Exit: cmd.ProcessState.ExitCode()}
}

func (i invocation) must(t testing.TB, args ...string) testbin.Result {
	t.Helper()
	r := i.run(t, args...)
	if r.Exit != 0 {
		t.Fatalf("rsbtbackup %q: exit %d\n%s%s", args, r.Exit, r.Stdout, r.Stderr)
	}
	return r
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

// newDest returns an initialised directory on a btrfs of its own.
func newDest(t testing.TB) string {
	t.Helper()
	return newDestIn(t, loopfs.New(t, "2G"), "dest")
}

// newDestIn is newDest for several on one file system.
func newDestIn(t testing.TB, disk, name string) string {
	t.Helper()
	dest := filepath.Join(disk, name)
	makeDir(t, dest)
	testbin.Must(t, "init", dest)
	return dest
}

// backup makes a backup with the command and returns its path.
func backup(t testing.TB, src, dest string, args ...string) string {
	t.Helper()
	testbin.Must(t, append([]string{"backup", src, dest}, args...)...)
	return filepath.Join(dest, current(t, dest))
}

// current returns what cur points to.
func current(t testing.TB, dest string) string {
	t.Helper()
	name, err := os.Readlink(filepath.Join(dest, "cur"))
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// backups returns what the library lists, oldest first.
func backups(t testing.TB, dest string) []rsbtbackup.Snapshot {
	t.Helper()
	listing, err := rsbtbackup.List(t.Context(), dest)
	if err != nil {
		t.Fatal(err)
	}
	return listing.Backups
}

// newest returns the last backup in dest, of which there must be n, with its record.
func newest(t testing.TB, dest string, n int) rsbtbackup.Snapshot {
	t.Helper()
	all := backups(t, dest)
	if len(all) != n {
		t.Fatalf("%d backups, want %d: %+v", len(all), n, all)
	}
	last := all[n-1]
	if last.Record == nil {
		t.Fatalf("%s has no record", last.Name)
	}
	return last
}

// wantSame lets rsync compare everything: contents by checksum, every attribute, times to the
// nanosecond. It prints what it would have to change.
func wantSame(t testing.TB, src, backup string) {
	t.Helper()
	wantSameBut(t, src, backup)
}

func wantSameBut(t testing.TB, src, backup string, options ...string) {
	t.Helper()
	args := append([]string{"-naHAXc", "--numeric-ids", "--modify-window=-1", "--delete", "--itemize-changes"}, options...)
	if diff := tool(t, "rsync", append(args, "--", src+"/", backup+"/")...); diff != "" {
		t.Errorf("%s differs from %s:\n%s", backup, src, clip(diff))
	}
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
	if got := tool(t, "btrfs", "property", "get", "-ts", backup, "ro"); got != "ro=true\n" {
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
	for _, b := range backups(t, dest) {
		known[b.Name] = true
	}
	for _, name := range names(t, dest) {
		if !known[name] {
			t.Errorf("%s is left in %s", name, dest)
		}
	}
}

// used returns how many bytes the file system of dir holds, with what was deleted really gone.
func used(t testing.TB, dir string) int64 {
	t.Helper()
	// The cleaner starts after a commit, and what it freed counts after one more.
	tool(t, "btrfs", "filesystem", "sync", dir)
	tool(t, "btrfs", "subvolume", "sync", dir)
	tool(t, "btrfs", "filesystem", "sync", dir)
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	return int64(fs.Blocks-fs.Bfree) * int64(fs.Bsize)
}

// everything describes all below dir: every inode with its times, and every subvolume.
func everything(t testing.TB, dir string) string {
	t.Helper()
	files := tool(t, "find", dir, "-printf", "%i %y %m %U:%G %n %s %T@ %C@ %p -> %l\n")
	if !strings.Contains(tool(t, "stat", "-f", "-c", "%T", dir), "btrfs") {
		return files
	}
	// A generation grows with any commit, also one of somebody else's change.
	return files + generation.ReplaceAllString(tool(t, "btrfs", "subvolume", "list", "-u", "-q", "-c", dir), "")
}

var generation = regexp.MustCompile(` gen \d+`)

func makeDir(t testing.TB, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, name, content string) {
	t.Helper()
	makeDir(t, filepath.Dir(name))
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
