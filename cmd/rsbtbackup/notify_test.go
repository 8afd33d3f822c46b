package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// program is the command, run by the test binary, with a config that has one job whose DEST is missing.
func failingRun(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "c.toml")
	text := fmt.Sprintf("[run]\nstate = %q\n[job.a]\nsource = '/etc'\ndest = '/nowhere/a'\n", dir+"/state")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "run", "--all", "-v", "--config", config)
	cmd.Env = append(append(os.Environ(), asMain+"=1"), env...)
	return cmd
}

func exitCodeOf(t *testing.T, cmd *exec.Cmd, want int) {
	t.Helper()
	if cmd.ProcessState.ExitCode() != want {
		t.Errorf("exit %d, want %d", cmd.ProcessState.ExitCode(), want)
	}
}

// A unit with Type=notify: ready, how far it is, stopping.
func TestMessagesToSystemd(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	cmd := failingRun(t, "NOTIFY_SOCKET="+name)
	out, _ := cmd.CombinedOutput() // the exit code is looked at
	exitCodeOf(t, cmd, exitDest)
	want := []string{
		"STATUS=0 of 1 job ended\nREADY=1",
		"STATUS=0 of 1 job ended; running: a backup",
		"STATUS=1 of 1 job ended, 1 did not succeed",
		"STATUS=1 of 1 job ended, 1 did not succeed\nSTOPPING=1",
	}
	buffer := make([]byte, 4096)
	for _, want := range want {
		n, err := socket.Read(buffer)
		if diff := cmp.Diff(want, string(buffer[:n])); err != nil || diff != "" {
			t.Errorf("%v, %s\n%s", err, diff, out)
		}
	}
}

func TestSystemdCannotBeReached(t *testing.T) {
	cmd := failingRun(t, "NOTIFY_SOCKET=/nowhere/notify")
	out, _ := cmd.CombinedOutput()
	exitCodeOf(t, cmd, exitDest)
	if got := strings.Count(string(out), "the progress of the run could not be reported to systemd"); got != 1 {
		t.Errorf("told %d times:\n%s", got, out)
	}
}

// In the journal each line has its priority, no time and no colour. Elsewhere, although the variable is there, it has
// none.
func TestLinesInTheJournalHavePriorities(t *testing.T) {
	for _, tt := range []struct {
		name    string
		journal bool
		want    []string
	}{
		{"the journal", true, []string{"<6>begins job=a step=backup", "<3>rsbtbackup: a: backup: DEST: ", "<3>rsbtbackup: 1 of 1 job did not succeed: a"}},
		{"a file", false, []string{"rsbtbackup: a: backup: DEST: ", "rsbtbackup: 1 of 1 job did not succeed: a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stream, err := os.Create(filepath.Join(t.TempDir(), "stream"))
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			info, err := stream.Stat()
			if err != nil {
				t.Fatal(err)
			}
			st := info.Sys().(*syscall.Stat_t)
			inode := st.Ino
			if !tt.journal {
				inode++
			}
			cmd := failingRun(t, fmt.Sprintf("JOURNAL_STREAM=%d:%d", st.Dev, inode))
			cmd.Stderr = stream
			_ = cmd.Run()
			exitCodeOf(t, cmd, exitDest)
			text, err := os.ReadFile(stream.Name())
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if !bytes.Contains(append([]byte("\n"), text...), []byte("\n"+want)) {
					t.Errorf("no line begins with %q:\n%s", want, text)
				}
			}
			for line := range strings.Lines(string(text)) {
				if strings.HasPrefix(line, "<") != tt.journal {
					t.Errorf("line %q", line)
				}
			}
		})
	}
}
