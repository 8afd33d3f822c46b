package testserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// Samba is an smbd on the loopback address that lets everybody in as nobody.
type Samba struct{ port int }

// StartSamba needs root and Debian's samba, samba-vfs-modules and smbclient. shares is the part of smb.conf below
// [global]; env are further variables for smbd.
func StartSamba(t testing.TB, shares string, env ...string) Samba {
	t.Helper()
	// It has sockets in there, and a path of one has 107 bytes at most.
	dir, err := os.MkdirTemp("", "smb-")
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	s := Samba{FreePort(t)}
	conf := filepath.Join(dir, "smb.conf")
	write(t, conf, fmt.Sprintf(`
[global]
	interfaces = lo
	bind interfaces only = yes
	smb ports = %d
	private dir = %[2]s
	lock directory = %[2]s
	state directory = %[2]s
	cache directory = %[2]s
	pid directory = %[2]s
	ncalrpc dir = %[2]s/ncalrpc
	log file = %[2]s/log
	map to guest = bad user
	guest account = nobody
	load printers = no
	disable spoolss = yes
%s`, s.port, dir, shares))
	out, err := exec.Command("testparm", "-s", conf).CombinedOutput()
	if err != nil {
		t.Fatalf("testparm: %v: %s", err, out)
	}
	serveEnv(t, s.port, env, "smbd", "--foreground", "--no-process-group", "--configfile="+conf)
	return s
}

// Client runs commands of smbclient in a share, and returns what it prints.
func (s Samba) Client(t testing.TB, share, commands string) string {
	t.Helper()
	c := exec.Command("smbclient", "--configfile=/dev/null", "--port="+strconv.Itoa(s.port), "--no-pass", "--user=nobody%", "//127.0.0.1/"+share, "--command="+commands)
	c.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // it exits with 1 where a command in it failed
		t.Fatalf("smbclient: %v: %s", err, out)
	}
	return string(out)
}
