//go:build integration

package restore

import (
	"bytes"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// Files restored before Ctrl-C stay, and the next run continues from there.
func TestAnInterruptedRestoreIsCompletedByTheNext(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	backup := p.backup(t, goSource(t)+"/net")
	target := p.mount + "/target"
	var stderr bytes.Buffer
	cmd := exec.Command(testbin.Path(t), "restore", p.dest, "latest", "--bwlimit=300", "-t", target, "--overwrite=never")
	cmd.Stderr = &stderr
	testdest.Must(t, cmd.Start())
	for deadline := time.Now().Add(10 * time.Minute); len(names(target)) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is restored")
		}
	}
	testdest.Must(t, cmd.Process.Signal(syscall.SIGINT))
	_ = cmd.Wait() // the exit code is looked at below
	wantOneLine(t, testbin.Result{Stderr: stderr.String(), Exit: cmd.ProcessState.ExitCode()}, 130, "interrupted")
	if want := "hint: to go on: rsbtbackup restore " + p.dest + " latest --bwlimit=300 -t " + target + " --overwrite=never\n"; !strings.Contains(stderr.String(), want) {
		t.Errorf("no %q in %s", want, stderr.String())
	}
	p.restore(t, "-t", target, "--overwrite=never")
	testdest.WantSame(t, backup, target)
}
