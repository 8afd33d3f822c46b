// Package testboot gives a test a Debian of its own, started by systemd: the root file system of this machine with a
// layer above it that takes every change, in namespaces of its own, without a network. It is for _test.go files only.
//
// It needs root, overlayfs and systemd 248 or newer; what is missing fails the test.
package testboot

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Machine is a system that has been started.
type Machine struct {
	// Root is its root directory, as seen from here.
	Root string
	pid  int
	log  string
}

// Options are those of Boot.
type Options struct {
	// Binds are directories of this machine, by where they are to be in the other one.
	Binds map[string]string
	// Absent are files and directories that are not to be there.
	Absent []string
}

// limit ends what hangs.
const limit = 5 * time.Minute

// Boot starts a system and waits until it is up. It is taken down when the test ends.
func Boot(t testing.TB, o Options) *Machine {
	t.Helper()
	dir := t.TempDir()
	m := &Machine{log: filepath.Join(dir, "log")}
	ready := listen(t, filepath.Join(dir, "notify"))
	cmd := m.start(t, dir, o)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill() // the kernel ends all processes of its namespace, then its mounts
		<-ended
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("testboot: systemd ended: %v\n%s", err, m.Log())
	case <-time.After(limit):
		t.Fatalf("testboot: not up after %v\n%s", limit, m.Log())
	}
	return m
}

func (m *Machine) start(t testing.TB, dir string, o Options) *exec.Cmd {
	t.Helper()
	log, err := os.Create(m.log)
	if err != nil {
		t.Fatalf("testboot: %v", err)
	}
	defer log.Close()
	if err := os.Mkdir(filepath.Join(dir, "machine"), 0o755); err != nil {
		t.Fatalf("testboot: %v", err)
	}
	cmd := exec.Command("/bin/bash", "-c", script, "boot", dir)
	for at, from := range o.Binds {
		cmd.Args = append(cmd.Args, "bind", from, at)
	}
	for _, path := range o.Absent {
		cmd.Args = append(cmd.Args, "absent", path, "-")
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWCGROUP | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNET,
		Setsid:     true,
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("testboot: namespaces, which need root: %v", err)
	}
	m.pid = cmd.Process.Pid
	m.Root = filepath.Join("/proc", strconv.Itoa(m.pid), "root")
	return cmd
}

// script makes the root and becomes systemd. Only what systemd asks of a container is there; see
// https://systemd.io/CONTAINER_INTERFACE. cgroup2 without controllers is enough to keep processes apart, and a machine
// that has version 1 mounted lets go of no more. A device in a new tmpfs cannot be opened in a user namespace, so they
// are bound.
const script = `
set -euo pipefail
dir=$1; shift
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$dir/machine"
mkdir "$dir"/machine/{up,work,root}
root=$dir/machine/root
mount -t overlay -o "lowerdir=/,upperdir=$dir/machine/up,workdir=$dir/machine/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mountpoint -q "$root/sys/fs/cgroup" || mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
	: >"$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for tmp in run tmp var/tmp; do
	mount -t tmpfs -o mode=1777 tmpfs "$root/$tmp"
done
chmod 755 "$root/run"
mkdir "$root/run/host"
mount --bind "$dir" "$root/run/host"
: >"$root/etc/machine-id"
while (($#)); do
	case $1 in
	bind)
		mkdir -p "$root$3"
		mount --bind "$2" "$root$3"
		;;
	absent) rm -rf "${root:?}$2" ;;
	esac
	shift 3
done
mkdir -p "$root/run/old"
cd "$root"
pivot_root . run/old
umount -l run/old
exec env -i container=rsbtbackup-test NOTIFY_SOCKET=/run/host/notify PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	/lib/systemd/systemd --unit=basic.target --log-target=console --show-status=no
`

// listen returns a channel that is closed when systemd says that all is started.
func listen(t testing.TB, path string) <-chan struct{} {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatalf("testboot: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	ready := make(chan struct{})
	go func() {
		message := make([]byte, 4096)
		for {
			n, err := conn.Read(message)
			if err != nil {
				return
			}
			lines := bufio.NewScanner(bytes.NewReader(message[:n]))
			for lines.Scan() {
				if lines.Text() == "READY=1" {
					close(ready)
					return
				}
			}
		}
	}()
	return ready
}

// Log is what systemd wrote on its console.
func (m *Machine) Log() string {
	data, err := os.ReadFile(m.log)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// Path is a path of the machine, as seen from here.
func (m *Machine) Path(path string) string { return filepath.Join(m.Root, path) }

// Run runs a command line of bash there, and returns all that it printed and its exit code.
func (m *Machine) Run(t testing.TB, line string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--target", strconv.Itoa(m.pid), "--all", "--root", "--",
		"env", "-C", "/", "-i", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb", "DEBIAN_FRONTEND=noninteractive", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"bash", "-c", line)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		t.Fatalf("testboot: %s: %v\n%s", line, err, out)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// Must is Run for what has to exit with 0. It returns what was printed, without the last line break.
func (m *Machine) Must(t testing.TB, line string) string {
	t.Helper()
	out, exit := m.Run(t, line)
	if exit != 0 {
		t.Fatalf("%s: exit %d\n%s\n%s", line, exit, out, m.tail(t))
	}
	return strings.TrimSuffix(out, "\n")
}

// tail is the end of the journal.
func (m *Machine) tail(t testing.TB) string {
	out, _ := m.Run(t, "journalctl --no-pager --lines=60")
	return fmt.Sprintf("--- journal\n%s", out)
}
