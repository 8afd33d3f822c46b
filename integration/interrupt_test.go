//go:build integration

package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

func TestAnInterruptedBackupTakesRsyncAlongAndIsResumed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		signal syscall.Signal
		exit   int
	}{{syscall.SIGINT, 130}, {syscall.SIGTERM, 143}} {
		t.Run(tt.signal.String(), func(t *testing.T) {
			t.Parallel()
			dest := testdest.New(t, "2G")
			src := t.TempDir()
			testdest.Write(t, src+"/first", "x")
			testdest.Tool(t, "dd", "if=/dev/urandom", "of="+src+"/second", "bs=1M", "count=4", "status=none")

			// At 100 KB/s it takes 40 seconds.
			var stdout, stderr bytes.Buffer
			cmd := exec.Command(testbin.Path(t), "backup", "--bwlimit=100", src, dest)
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			testdest.Must(t, cmd.Start())
			testdest.WaitFor(t, "pending", func() bool { return testdest.Exists(dest+"/pending/first") && testdest.Exists(dest+"/pending/second") })
			rsyncs := childrenOf(t, cmd.Process.Pid)
			if len(rsyncs) == 0 {
				t.Error("no child found while rsync works")
			}
			testdest.Must(t, cmd.Process.Signal(tt.signal))
			if err := cmd.Wait(); err == nil {
				t.Error("an interrupted run ended well")
			}
			for _, pid := range rsyncs {
				// The pid may be in use again, but not by an rsync of this kind.
				if line, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil && bytes.Contains(line, []byte(src)) {
					t.Errorf("rsync outlived us: %q", line)
				}
			}
			r := testbin.Result{Stdout: stdout.String(), Stderr: stderr.String(), Exit: cmd.ProcessState.ExitCode()}
			if r.Exit != tt.exit {
				t.Errorf("exit %d, want %d", r.Exit, tt.exit)
			}
			if !strings.Contains(hintsOf(r), "to resume: rsbtbackup backup") {
				t.Errorf("hints %q, want how to resume", hintsOf(r))
			}
			if len(testdest.Backups(t, dest)) != 0 || !testdest.Exists(dest+"/pending/first") {
				t.Error("published, or pending is gone")
			}
			testdest.WantSame(t, src, testdest.Backup(t, src, dest))
			if !newest(t, dest, 1).Record.Resumed {
				t.Error("the next run did not resume")
			}
			wantTidy(t, dest)
		})
	}
}

// childrenOf returns the children of all threads of a process.
func childrenOf(t testing.TB, pid int) []string {
	t.Helper()
	lists, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	testdest.Must(t, err)
	var children []string
	for _, list := range lists {
		// A thread may end at any time.
		if content, err := os.ReadFile(list); err == nil {
			children = append(children, strings.Fields(string(content))...)
		}
	}
	return children
}
