//go:build integration

// Package leastprivilege does what docs/SSH.md says, on two hosts that share this kernel, and then tries to break out.
package leastprivilege

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }

// host has directories of its own above those of this machine. Both hosts have one network, without a way out.
type host struct {
	t   *testing.T
	pid int
}

// layers puts a layer that takes every change above each directory of a host.
const layers = `
mount -t tmpfs none "$1"
for d in $2; do
	mkdir -p "$1/$d/upper" "$1/$d/work"
	mount -t overlay overlay -o "lowerdir=/$d,upperdir=$1/$d/upper,workdir=$1/$d/work" "/$d"
done
# bash reads it also before the command of an ssh client. It is the one of this machine.
rm -f /root/.bashrc
ip link set lo up
echo ready
exec sleep infinity`

// newHost makes a host that has the file system disk. The command line network is what its network comes from.
func newHost(t *testing.T, disk, dirs string, network ...string) host {
	t.Helper()
	args := slices.Concat(network, loopfs.Apart(t, disk), []string{"sh", "-ec", layers, "sh", t.TempDir(), dirs})
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("a host: %q, %v", line, err)
	}
	return host{t, cmd.Process.Pid}
}

// command is what runs a line of shell on the host, as root.
func (h host) command(line string) *exec.Cmd {
	cmd := exec.Command("nsenter", "--target="+fmt.Sprint(h.pid), "--mount", "--net", "--wd=/", "bash", "-c", line)
	cmd.Env = append(os.Environ(), "HOME=/root", "PATH="+filepath.Dir(testbin.Path(h.t))+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	return cmd
}

// try returns what a command prints, and whether it ended well.
func (h host) try(line string) (string, bool) {
	h.t.Helper()
	out, err := h.command(line).CombinedOutput()
	return string(out), err == nil
}

func (h host) must(line string) string {
	h.t.Helper()
	out, ok := h.try(line)
	if !ok {
		h.t.Fatalf("%s:\n%s", line, out)
	}
	return out
}

// path is a file of the host as this process sees it.
func (h host) path(name string) string { return fmt.Sprintf("/proc/%d/root%s", h.pid, name) }

// serve starts sshd as Debian has it, and returns once it answers.
func (h host) serve() {
	h.t.Helper()
	must(h.t, os.MkdirAll("/run/sshd", 0o755))
	h.must("ssh-keygen -A")
	cmd := h.command("exec /usr/sbin/sshd -D -e -o PidFile=none")
	var log bytes.Buffer
	cmd.Stderr = &log
	must(h.t, cmd.Start())
	h.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if h.t.Failed() {
			h.t.Logf("sshd:\n%s", log.String())
		}
	})
	for deadline := time.Now().Add(10 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, ok := h.try("exec 3<>/dev/tcp/127.0.0.1/22"); ok {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("sshd does not answer:\n%s", log.String())
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// typed is a command of the page.
type typed struct{ section, host, line string }

// page reads the commands, each with the heading it stands below.
func page(t *testing.T) []typed {
	t.Helper()
	text, err := os.ReadFile("../../docs/SSH.md")
	must(t, err)
	var all []typed
	section := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if heading, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			section = heading
		}
		for _, name := range []string{"web1", "backup"} {
			if command, ok := strings.CutPrefix(line, "    "+name+"# "); ok {
				all = append(all, typed{section, name, command})
			}
		}
	}
	return all
}

// snapshot is everything below a directory of a host: names, modes, owners, sizes, times, and the contents of files.
func (h host) snapshot(dirs string) string {
	h.t.Helper()
	return h.must("find " + dirs + ` -printf '%p %M %U %G %s %T@ %l\n' | sort; find ` + dirs + " -type f -print0 | sort -z | xargs -0 sha256sum")
}
