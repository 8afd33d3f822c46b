//go:build integration

package loopfs

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

type process struct {
	cmd *exec.Cmd
	pid string
}

// ownerProcess starts a process that does nothing and can be killed.
func ownerProcess(t *testing.T) process {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := process{cmd: cmd, pid: strconv.Itoa(cmd.Process.Pid)}
	t.Cleanup(p.kill)
	return p
}

// kill is SIGKILL; it may be called twice, the second time does nothing.
func (p process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// killUnreaped leaves a zombie, as a killed test does while its parent looks elsewhere.
func (p process) killUnreaped(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if strings.Contains(read(t, "/proc/"+p.pid+"/stat"), ") Z ") {
			return
		}
	}
	t.Fatalf("process %s did not become a zombie", p.pid)
}

// syncFS writes out one file system; sync(2) would wait for everybody else's as well.
func syncFS(t *testing.T, mount string) {
	t.Helper()
	dir, err := os.Open(mount)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		t.Fatal(err)
	}
}

func mountID(t *testing.T, path string) uint64 {
	t.Helper()
	var stat unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID_UNIQUE, &stat); err != nil {
		t.Fatal(err)
	}
	return stat.Mnt_id
}

// mountLine returns the line of /proc/self/mountinfo for a mount point without odd bytes.
func mountLine(t *testing.T, mount string) string {
	t.Helper()
	for _, line := range lines(t, "/proc/self/mountinfo") {
		if strings.Contains(line, " "+mount+" ") {
			return line
		}
	}
	t.Fatalf("%s is not mounted", mount)
	return ""
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	return strings.Split(read(t, path), "\n")
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
