//go:build integration

// Package replica tests copies of backups: to another disk, to another host, and through an archive.
package replica

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newDest returns an initialised directory on a btrfs of its own.
func newDest(t testing.TB, size string, options ...string) string {
	t.Helper()
	return destOn(t, loopfs.New(t, size, options...))
}

func destOn(t testing.TB, mount string) string {
	t.Helper()
	dest := filepath.Join(mount, "dest")
	check(t, os.Mkdir(dest, 0o700))
	testbin.Must(t, "init", "-q", dest)
	return dest
}

// tool runs another program, which must succeed.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func shell(t testing.TB, dir, commands string) {
	t.Helper()
	cmd := exec.Command("bash", "-ec", commands)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", commands, err, out)
	}
}

// pipe runs a shell command with the command under test in PATH.
func pipe(t testing.TB, commands string) testbin.Result {
	t.Helper()
	cmd := exec.Command("bash", "-o", "pipefail", "-c", commands)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(testbin.Path(t))+":"+os.Getenv("PATH"))
	return finish(t, cmd)
}

func finish(t testing.TB, cmd *exec.Cmd) testbin.Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	return testbin.Result{Stdout: stdout.String(), Stderr: stderr.String(), Exit: cmd.ProcessState.ExitCode()}
}

// wantExit: the code, and one line on stderr with text, hints aside.
func wantExit(t testing.TB, r testbin.Result, code int, text string) {
	t.Helper()
	if r.Exit != code || !strings.Contains(r.Stderr+r.Stdout, text) {
		t.Fatalf("exit %d, want %d and %q\n%s%s", r.Exit, code, text, r.Stdout, r.Stderr)
	}
	lines := 0
	for line := range strings.Lines(r.Stderr) {
		if strings.HasPrefix(line, "rsbtbackup: ") {
			lines++
		}
	}
	if code != 0 && lines != 1 {
		t.Errorf("%d lines on stderr, want one:\n%s", lines, r.Stderr)
	}
}

// source is a tree with something of everything, which change changes.
func source(t testing.TB) string {
	t.Helper()
	src := t.TempDir()
	shell(t, src, `
		mkdir -p d/e; echo hello >a; ln a d/b; ln -s nowhere l; mkfifo p; mknod n c 1 3; head -c 3000000 /dev/urandom >d/noise
		yes text | head -c 500000 >d/text; truncate -s 10M h; printf x | dd of=h bs=1 seek=5000000 conv=notrunc 2>/dev/null
		setfattr -n user.x -v y a; setfacl -m u:5:rwx a; setfacl -d -m g:6:r-x d/e; chown 1:2 d/text; chmod 4755 d/text; touch -d @1 d/e`)
	return src
}

func change(t testing.TB, src string, i int) {
	t.Helper()
	shell(t, src, fmt.Sprintf(`echo change %d >>a; echo %[1]d >new%[1]d; printf %[1]d | dd of=d/noise bs=1 seek=$((%[1]d * 100000)) conv=notrunc 2>/dev/null; rm -f new$((%[1]d - 2))`, i))
}

// backups makes n of them, of a source that changes.
func backups(t testing.TB, src, dest string, n int) {
	t.Helper()
	for i := range n {
		change(t, src, i)
		testbin.Must(t, "backup", "-q", src, dest)
	}
}

func list(t testing.TB, dest string) []rsbtbackup.Snapshot {
	t.Helper()
	l, err := rsbtbackup.List(t.Context(), dest)
	check(t, err)
	return l.Backups
}

// wantCopies: each backup of dest is in target, with the same name, the same content, the same metadata, and what its
// record says of it.
func wantCopies(t testing.TB, dest, target string) {
	t.Helper()
	there := map[string]rsbtbackup.Snapshot{}
	for _, b := range list(t, target) {
		there[b.Name] = b
	}
	for _, b := range list(t, dest) {
		c, ok := there[b.Name]
		if !ok {
			t.Errorf("%s is not in %s", b.Name, target)
			continue
		}
		if c.Status != b.Status || c.Pinned() != b.Pinned() || !c.ReadOnly || c.Current != b.Current || c.Record == nil || c.Record.Source != b.Record.Source || !c.Time.Equal(b.Time) {
			t.Errorf("%s: %+v\nits copy: %+v", b.Name, b, c)
		}
		wantSame(t, filepath.Join(dest, b.Name), filepath.Join(target, b.Name))
	}
	if r := testbin.Run(t, "check", target); r.Exit != 0 {
		t.Errorf("check of the target: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
}

// wantSame: rsync finds nothing to do, looking at content and all metadata.
func wantSame(t testing.TB, a, b string) {
	t.Helper()
	if out := tool(t, "rsync", "-ncaHAXi", "--numeric-ids", "--delete", "--modify-window=-1", a+"/", b+"/"); strings.TrimSpace(out) != "" {
		t.Errorf("%s and %s differ:\n%s", a, b, out)
	}
}

// wantNothingLeft: no leftover of a copy that was cut off, under any name.
func wantNothingLeft(t testing.TB, target string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(target, ".log", "incoming"))
	check(t, err)
	for _, e := range entries {
		t.Errorf("left behind: %s", e.Name())
	}
}
