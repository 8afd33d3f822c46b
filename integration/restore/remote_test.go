//go:build integration

package restore

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

func TestARemoteTargetGetsTheSame(t *testing.T) {
	t.Parallel()
	rsh, closed := startSSH(t)
	p := newPlace(t)
	src := p.mount + "/src"
	oddities(t, src)
	backup := p.backup(t, src)
	strange := p.mount + `/a b  'quoted' "twice" $HOME $(id) ; back\slash ü`
	check(t, os.Mkdir(strange, 0o755))
	for _, target := range []string{p.mount + "/plain", strange, strange + "/new", p.mount + "/new\nline"} {
		p.restore(t, "-e", rsh, "-t", "127.0.0.1:"+target, "--overwrite=if-changed")
		if target == strange {
			check(t, os.RemoveAll(target+"/acl"))
			p.restore(t, "-e", rsh, "-t", "root@localhost:"+target+"/", "--overwrite=never")
		}
		wantSame(t, backup, target)
		check(t, os.RemoveAll(p.mount+"/new\nline"))
	}

	// A path, --delete below it, and a symlink over there.
	outside, target := p.mount+"/outside", p.mount+"/paths"
	write(t, outside+"/ssh/victim", "x")
	check(t, os.Mkdir(target, 0o755))
	write(t, target+"/top", "x")
	check(t, os.Symlink(outside, target+"/etc"))
	p.restore(t, "-e", rsh, "-t", "[::1]:"+target, "--overwrite=if-changed", "--delete", "etc/ssh")
	if !exists(outside+"/ssh/victim") || exists(outside+"/ssh/sshd_config") || !exists(target+"/etc/ssh/sshd_config") || !exists(target+"/top") {
		t.Error("a symlink was followed, or --delete went too far")
	}

	before := digest(t, p.mount)
	p.restore(t, "-e", rsh, "-t", "127.0.0.1:"+p.mount+"/plain", "-n", "--delete")
	p.refuse(t, 13, "may hold files", "-e", rsh, "-t", "127.0.0.1:"+p.mount+"/plain")
	p.refuse(t, 2, "would expand", "-e", rsh, "-t", "127.0.0.1:"+p.mount+"/pl*", "--overwrite=always")
	p.refuse(t, 12, "refused", "-e", closed, "-t", "127.0.0.1:"+p.mount+"/plain", "--overwrite=always")
	p.refuse(t, 12, "", "-e", rsh, "-t", "127.0.0.1:"+p.mount+"/missing/deep", "--overwrite=always")
	if digest(t, p.mount) != before {
		t.Error("a dry run or a refusal changed something")
	}
}

func TestInPlaceToTheHostItCameFrom(t *testing.T) {
	t.Parallel()
	rsh, _ := startSSH(t)
	p := newPlace(t)
	src := p.mount + "/src"
	oddities(t, src)
	backup := p.backup(t, "root@127.0.0.1:"+src, "-e", rsh)
	check(t, os.RemoveAll(src+"/etc"))
	p.restore(t, "-e", rsh, "--in-place", "--overwrite=if-changed")
	wantSame(t, backup, src)
}

// startSSH runs an OpenSSH server with keys of its own, and returns the remote
// shell that reaches it, and one that finds nobody.
func startSSH(t testing.TB) (rsh, closed string) {
	t.Helper()
	// sshd refuses to start without its privilege separation directory.
	check(t, os.MkdirAll("/run/sshd", 0o755))
	dir := t.TempDir()
	for _, key := range []string{"host", "user"} {
		tool(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key))
	}
	write(t, dir+"/known_hosts", "rsbtbackup-test "+read(t, dir+"/host.pub"))
	port, free := freePort(t), freePort(t)
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
`, port, dir))
	serve(t, port, "/usr/sbin/sshd", "-D", "-e", "-f", dir+"/sshd_config")
	with := func(port int) string {
		return fmt.Sprintf("ssh -F none -p %d -i %s/user -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o HostKeyAlias=rsbtbackup-test -o UserKnownHostsFile=%[2]s/known_hosts", port, dir)
	}
	return with(port), with(free)
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
