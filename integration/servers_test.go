//go:build integration

package integration

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

// sshServer is an OpenSSH server on the loopback addresses with keys of its own.
type sshServer struct {
	port int
	rsh  string // for -e: reaches this server and no other
	dir  string
}

func startSSH(t testing.TB) sshServer {
	t.Helper()
	// sshd refuses to start without its privilege separation directory.
	makeDir(t, "/run/sshd")
	dir := t.TempDir()
	for _, key := range []string{"host", "user", "stranger"} {
		tool(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key))
	}
	write(t, dir+"/known_hosts", "rsbtbackup-test "+read(t, dir+"/host.pub"))
	s := sshServer{port: freePort(t), dir: dir}
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
`, s.port, dir))
	serve(t, s.port, "/usr/sbin/sshd", "-D", "-e", "-f", dir+"/sshd_config")
	s.rsh = s.with("user", s.port)
	return s
}

// with returns the remote shell for a key and a port.
func (s sshServer) with(key string, port int) string {
	return fmt.Sprintf("ssh -F none -p %d -i %s/%s -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o HostKeyAlias=rsbtbackup-test -o UserKnownHostsFile=%[2]s/known_hosts",
		port, s.dir, key)
}

// startDaemon serves dir as the module "files" and returns the port.
func startDaemon(t testing.TB, dir string) int {
	t.Helper()
	port := freePort(t)
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
	cmd := exec.Command(name, args...)
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
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
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

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// fakeRsync puts a program called rsync first in a PATH, and returns the environment with it. The
// real one is at $REAL.
func fakeRsync(t testing.TB, script string) []string {
	t.Helper()
	real, err := exec.LookPath("rsync")
	check(t, err)
	dir := t.TempDir()
	name := filepath.Join(dir, "rsync")
	write(t, name, "#!/bin/sh\nREAL="+real+"\n"+script)
	check(t, os.Chmod(name, 0o755))
	return append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
}
