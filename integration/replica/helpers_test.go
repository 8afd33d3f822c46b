//go:build integration

// Package replica tests copies of backups: to another disk, to another host, and through an archive.
package replica

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }

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
	return testbin.Finish(t, cmd)
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

// wantCopies: each backup of dest is in target, with the same name, the same content, the same metadata, and what its
// record says of it.
func wantCopies(t testing.TB, dest, target string) {
	t.Helper()
	there := map[string]rsbtbackup.Snapshot{}
	for _, b := range testdest.Backups(t, target) {
		there[b.Name] = b
	}
	for _, b := range testdest.Backups(t, dest) {
		c, ok := there[b.Name]
		if !ok {
			t.Errorf("%s is not in %s", b.Name, target)
			continue
		}
		if c.Status != b.Status || c.Pinned() != b.Pinned() || !c.ReadOnly || c.Current != b.Current || c.Record == nil || c.Record.Source != b.Record.Source || !c.Time.Equal(b.Time) {
			t.Errorf("%s: %+v\nits copy: %+v", b.Name, b, c)
		}
		testdest.WantSame(t, filepath.Join(dest, b.Name), filepath.Join(target, b.Name))
	}
	if r := testbin.Run(t, "check", target); r.Exit != 0 {
		t.Errorf("check of the target: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
}

// wantNothingLeft: no leftover of a copy that was cut off, under any name.
func wantNothingLeft(t testing.TB, target string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(target, ".log", "incoming"))
	testdest.Must(t, err)
	for _, e := range entries {
		t.Errorf("left behind: %s", e.Name())
	}
}
