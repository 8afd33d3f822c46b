// Package testserver runs the servers that tests reach: an sshd, an rsync daemon and an smbd, each on a free port of
// the loopback addresses.
package testserver

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// SSH is an OpenSSH server on the loopback addresses with keys of its own.
type SSH struct {
	Shell string // for -e: reaches this server and no other
	Port  int
	dir   string
}

// StartSSH needs root and Debian's openssh-server.
func StartSSH(t testing.TB) SSH {
	t.Helper()
	// sshd refuses to start without its privilege separation directory.
	check(t, os.MkdirAll("/run/sshd", 0o755))
	dir := t.TempDir()
	for _, key := range []string{"host", "user", "stranger"} {
		out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key)).CombinedOutput()
		if err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
	}
	public, err := os.ReadFile(dir + "/host.pub")
	check(t, err)
	write(t, dir+"/known_hosts", "rsbtbackup-test "+string(public))
	s := SSH{Port: FreePort(t), dir: dir}
	write(t, dir+"/sshd_config", fmt.Sprintf(`
Port %d
ListenAddress 127.0.0.1
ListenAddress ::1
HostKey %[2]s/host
AuthorizedKeysFile %[2]s/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
# bash reads the .bashrc of a user also before the command of an ssh client.
SetEnv HOME=%[2]s
`, s.Port, dir))
	serve(t, s.Port, "/usr/sbin/sshd", "-D", "-e", "-f", dir+"/sshd_config")
	s.Shell = s.With("user", s.Port)
	return s
}

// With returns the remote shell for a key, "user" or "stranger", and a port.
func (s SSH) With(key string, port int) string {
	return fmt.Sprintf("ssh -F none -p %d -i %s/%s -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o HostKeyAlias=rsbtbackup-test -o UserKnownHostsFile=%[2]s/known_hosts",
		port, s.dir, key)
}

// StartDaemon serves dir as the module "files" and returns the port.
func StartDaemon(t testing.TB, dir string) int {
	t.Helper()
	port := FreePort(t)
	config := filepath.Join(t.TempDir(), "rsyncd.conf")
	write(t, config, fmt.Sprintf(`
uid = 0
gid = 0
use chroot = no
numeric ids = yes
read only = yes
address = 127.0.0.1
[files]
path = %s
`, dir))
	serve(t, port, "rsync", "--daemon", "--no-detach", "--port="+strconv.Itoa(port), "--config="+config)
	return port
}

// serve runs a server until the test ends, and returns once it answers.
func serve(t testing.TB, port int, name string, args ...string) {
	t.Helper()
	serveEnv(t, port, nil, name, args...)
}

func serveEnv(t testing.TB, port int, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	check(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); err != nil {
			t.Errorf("stop %s: %v", name, err)
		}
		<-ended
	})
	for deadline := time.Now().Add(10 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			check(t, conn.Close())
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v", name, err)
		}
	}
}

// FreePort returns a port nobody listens on, until the test ends. Other test processes see that it is taken by a socket
// of this name; the kernel gives no port of this range to a client (/proc/sys/net/ipv4/ip_local_port_range).
func FreePort(t testing.TB) int {
	t.Helper()
	for port := 20_000; port < 32_000; port++ {
		claim, err := net.Listen("unix", fmt.Sprintf("@rsbtbackup-testserver-%d", port))
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(port)))
		if err != nil {
			check(t, claim.Close())
			continue
		}
		check(t, l.Close())
		t.Cleanup(func() { check(t, claim.Close()) })
		return port
	}
	t.Fatal("no free port")
	return 0
}

func write(t testing.TB, name, text string) {
	t.Helper()
	check(t, os.WriteFile(name, []byte(text), 0o600))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
