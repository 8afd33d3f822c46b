//go:build integration

package diff

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// TestDiffAsNobody: without root the backups are walked, and unreadable files are named.
func TestDiffAsNobody(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	testdest.Must(t, os.Chmod(l.dest+"/.log", 0o755))
	testdest.Must(t, os.Chmod(l.work, 0o755))
	testdest.Write(t, l.path("a"), "1")
	testdest.Write(t, l.path("secret"), "2")
	from := l.snap(t)
	testdest.Write(t, l.path("b"), "3")
	testdest.Must(t, os.Chmod(l.path("secret"), 0o600))
	to := l.snap(t)

	cmd := exec.Command(testbin.Path(t), "diff", l.dest, from, to, "--json")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), "1 file could not be read") || !strings.Contains(stderr.String(), "secret") {
		t.Errorf("exit %d, %s", cmd.ProcessState.ExitCode(), &stderr)
	}
	for _, want := range []string{`"change":"added","path":"b"`, `"change":"unread","path":"secret"`, `"method":"walk"`} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no %s in\n%s", want, &stdout)
		}
	}
}
