//go:build integration

package replica

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
	"golang.org/x/sys/unix"
)

// TestCopyToAnotherHost goes through a real sshd.
func TestCopyToAnotherHost(t *testing.T) {
	t.Parallel()
	ssh := testserver.StartSSH(t)
	src, dest := source(t), testdest.New(t, "1G", "compress=zstd")
	backups(t, src, dest, 2)
	disk := loopfs.New(t, "2G")
	for _, tt := range []struct{ name, host string }{
		{"plain", "127.0.0.1"},
		{"it's a $HOME; name", "root@localhost"},
		{"ipv6", "[::1]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(disk, tt.name)
			testdest.Must(t, os.Mkdir(dir, 0o700))
			target := testdest.On(t, dir)
			args := []string{"copy", dest, tt.host + ":" + target, "-e", ssh.Shell, "--program", testbin.Path(t)}
			dry := testbin.Must(t, append(args, "-n")...)
			if n := strings.Count(dry.Stdout, "would copy "); n != 2 || len(testdest.Backups(t, target)) != 0 {
				t.Errorf("dry run:\n%s", dry.Stdout)
			}
			testbin.Must(t, args...)
			wantCopies(t, dest, target)
			wantNothingLeft(t, target)
			if out := testbin.Must(t, args...).Stdout; !strings.Contains(out, "2 backups already in the target") {
				t.Errorf("the second time:\n%s", out)
			}
		})
	}
	backups(t, src, dest, 1)
	target := filepath.Join(disk, "plain", "dest")
	out := testbin.Must(t, "copy", dest, "127.0.0.1:"+target, "-e", ssh.Shell, "--program", testbin.Path(t)).Stdout
	if !strings.Contains(out, "incremental on") {
		t.Errorf("not incremental:\n%s", out)
	}
	wantCopies(t, dest, target)
}

// TestTheOtherSideFails: one line that says why, the exit code that it would have there, and nothing left.
func TestTheOtherSideFails(t *testing.T) {
	t.Parallel()
	ssh := testserver.StartSSH(t)
	src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "1G")
	backups(t, src, dest, 1)
	small := testdest.New(t, "32M")
	shell(t, small, "head -c 24000000 /dev/urandom >ballast; sync -f .")
	fake := func(name, script string) string {
		path := filepath.Join(t.TempDir(), name)
		testdest.Must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755))
		return path
	}
	good := testbin.Path(t)
	// The program on the other host is killed in the middle of an archive.
	inTheMiddle := `
		cd "$(mktemp -d)" && mkfifo part
		` + good + ` "$@" <part & pid=$!
		exec 3>part; head -c 32 >&3; head -c 300000 >&3
		until [ -e '` + target + `/.log/incoming/incoming' ]; do sleep 0.01; done
		kill -9 $pid
		`
	for _, tt := range []struct {
		name, shell, program, path string
		exit                       int
		says                       string
	}{
		{"host not reached", ssh.With("user", testserver.FreePort(t)), good, target, 12, "Connection refused"},
		{"key not known", ssh.With("stranger", ssh.Port), good, target, 12, "Permission denied"},
		{"binary missing", ssh.Shell, "/none/rsbtbackup", target, 12, "/none/rsbtbackup"},
		{"prints something at login", ssh.Shell, fake("banner", "echo Welcome to vault; exec "+good+` "$@"`), target, 12, `the other side answered "Welcome to vault`},
		{"older", ssh.Shell, fake("older", "echo 'rsbtbackup: receive: unknown command' >&2; exit 2"), target, 12, "unknown command"},
		{"of another version", ssh.Shell, fake("newer", `echo '{"rsbtbackup":"receive","version":99}'; cat >/dev/null`), target, 12, "install the same rsbtbackup on both"},
		{"floods at login", ssh.Shell, fake("floods", "exec yes"), target, 12, `the other side answered "y`},
		{"floods without a line", ssh.Shell, fake("stream", "exec cat /dev/zero"), target, 12, "a line of more than"},
		{"floods with complaints", ssh.Shell, fake("complains", "exec yes >&2"), target, 12, "prints too much"},
		{"floods after its greeting", ssh.Shell, fake("greets", `echo '{"rsbtbackup":"receive","version":1}'; exec 3<&0; cat <&3 >/dev/null & exec yes '{"received":"x"}'`), target, 12, "prints too much"},
		{"says nothing", ssh.Shell, fake("silent", "exit 0"), target, 12, "ends too early"},
		{"not initialised", ssh.Shell, good, filepath.Dir(target), 10, "not initialised"},
		{"missing", ssh.Shell, good, target + "/none", 10, "no such file"},
		{"full", ssh.Shell, good, small, 14, "no space left"},
		{"dies in the middle", ssh.Shell, fake("dies", inTheMiddle+"echo the disk is on fire >&2; exit 9"), target, 12, "exit status 9: the disk is on fire"},
		{"is killed in the middle", ssh.Shell, fake("killed", inTheMiddle+"kill -9 $$"), target, 12, "exit status 255"},
		{"the connection breaks", ssh.Shell, fake("cut", inTheMiddle+"kill -9 $PPID"), target, 12, "exit status 255: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := testbin.Run(t, "copy", dest, "127.0.0.1:"+tt.path, "-e", tt.shell, "--program", tt.program)
			wantExit(t, r, tt.exit, tt.says)
			if got := len(testdest.Backups(t, target)) + len(testdest.Backups(t, small)); got != 0 {
				t.Errorf("%d backups are there", got)
			}
		})
	}
	testbin.Must(t, "copy", dest, "127.0.0.1:"+target, "-e", ssh.Shell, "--program", good)
	wantCopies(t, dest, target)
}

// TestTheTargetIsLocked: the second run waits, or exits with 11, on this host and the other.
func TestTheTargetIsLocked(t *testing.T) {
	t.Parallel()
	ssh := testserver.StartSSH(t)
	src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "1G")
	backups(t, src, dest, 1)
	dir, err := os.Open(target)
	testdest.Must(t, err)
	testdest.Must(t, unix.Flock(int(dir.Fd()), unix.LOCK_EX))
	remote := []string{"copy", dest, "127.0.0.1:" + target, "-e", ssh.Shell, "--program", testbin.Path(t)}
	wantExit(t, testbin.Run(t, "copy", dest, target), 11, "locked by")
	wantExit(t, testbin.Run(t, remote...), 11, "locked by")
	time.AfterFunc(time.Second, func() { dir.Close() })
	testbin.Must(t, append(remote, "--lock-wait=10m")...)
	wantCopies(t, dest, target)
}

// TestABackupCanBeDeletedWhileTheOtherSideIsWaitedFor, also one of those that will most likely be sent.
func TestABackupCanBeDeletedWhileTheOtherSideIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, all := range []bool{true, false} {
		t.Run(fmt.Sprintf("the target has all: %v", all), func(t *testing.T) {
			t.Parallel()
			src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "1G")
			backups(t, src, dest, 1)
			shell(t, src, "head -c 20000000 /dev/urandom >large") // more than a pipe holds
			backups(t, src, dest, 1)
			if all {
				testbin.Must(t, "copy", dest, target)
			}
			locked, err := os.Open(target)
			testdest.Must(t, err)
			testdest.Must(t, unix.Flock(int(locked.Fd()), unix.LOCK_EX))
			dir := t.TempDir()
			ssh, connected := filepath.Join(dir, "ssh"), filepath.Join(dir, "connected")
			testdest.Must(t, os.WriteFile(ssh, fmt.Appendf(nil, "#!/bin/sh\nshift\nsleep 0.5\n: >%s\nexec sh -c \"$*\"\n", connected), 0o755))
			cmd := exec.Command(testbin.Path(t), "copy", dest, "vault:"+target, "-e", ssh, "--program", testbin.Path(t), "--lock-wait=10m")
			testdest.Must(t, cmd.Start())
			testdest.WaitFor(t, "the other side to be reached", func() bool {
				_, err := os.Stat(connected)
				return err == nil
			})
			testdest.WaitFor(t, "a backup to be deleted", func() bool {
				return testbin.Run(t, "delete", dest, testdest.Names(t, dest)[0]).Exit == 0
			})
			testdest.Must(t, locked.Close())
			testdest.Must(t, cmd.Wait())
			wantCopies(t, dest, target)
		})
	}
}

// TestAKeyThatCanOnlyReceive: with a forced command the holder of the key can send backups and list their names, and
// nothing else.
func TestAKeyThatCanOnlyReceive(t *testing.T) {
	t.Parallel()
	src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "1G")
	backups(t, src, dest, 1)
	// What sshd does with command= in authorized_keys: the command that was asked for goes into the environment.
	forced := filepath.Join(t.TempDir(), "sshd")
	testdest.Must(t, os.WriteFile(forced, fmt.Appendf(nil, "#!/bin/sh\nshift\nSSH_ORIGINAL_COMMAND=\"$*\" exec %s receive --stdio %s\n", testbin.Path(t), target), 0o755))
	testbin.Must(t, "copy", dest, "vault:/wherever/they/want", "-e", forced)
	wantCopies(t, dest, target)

	name := testdest.Backups(t, target)[0].Name
	before := testdest.Tool(t, "find", target, "-not", "-path", "*/.log*", "-printf", "%p %i %s %C@\n")
	for _, input := range []string{
		`{"delete":"` + name + `"}`,
		`{"rsbtbackup_archive":1,"name":"` + name + `","uuid":"00000000-0000-0000-0000-000000000001"}` + "\nbtrfs-stream\x00\x01\x00\x00\x00",
		`{"rsbtbackup_archive":1,"name":"../../etc","uuid":"00000000-0000-0000-0000-000000000001"}` + "\nbtrfs-stream\x00\x01\x00\x00\x00",
		`{"rsbtbackup_archive":1,"name":"cur","uuid":"00000000-0000-0000-0000-000000000001"}` + "\nbtrfs-stream\x00\x01\x00\x00\x00",
		"btrfs-stream\x00\x01\x00\x00\x00",
		"rm -rf /\n", "\x00", strings.Repeat("x", 3<<20), strings.Repeat("{", 3<<20),
	} {
		cmd := exec.Command(forced, "vault", "anything")
		cmd.Stdin = strings.NewReader(input)
		r := testbin.Finish(t, cmd)
		var hello struct {
			Backups []struct{ Name string } `json:"backups"`
		}
		line, _, _ := strings.Cut(r.Stdout, "\n")
		if err := json.Unmarshal([]byte(line), &hello); err != nil || len(hello.Backups) != 1 || hello.Backups[0].Name != name {
			t.Errorf("%.60q: greeting %q, %v", input, line, err)
		}
		if r.Exit == 0 {
			t.Errorf("%.60q: exit 0\n%s", input, r.Stdout)
		}
	}
	if after := testdest.Tool(t, "find", target, "-not", "-path", "*/.log*", "-printf", "%p %i %s %C@\n"); strings.Count(after, "\n") != strings.Count(before, "\n") {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	wantCopies(t, dest, target)
	wantNothingLeft(t, target)
}

// TestAStolenSourceCannotDestroyTheCopies: it sends what it likes, under names and times of its choice; what was there
// before stays, also when the target prunes.
func TestAStolenSourceCannotDestroyTheCopies(t *testing.T) {
	t.Parallel()
	src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "1G")
	backups(t, src, dest, 2)
	testbin.Must(t, "copy", dest, target)
	good := testdest.Backups(t, target)

	// All is encrypted and deleted at the source, and the copy runs on.
	shell(t, src, "rm -r *; echo ransom >README")
	testbin.Must(t, "backup", "-q", src, dest, "--force")
	for _, b := range testdest.Backups(t, dest)[:2] {
		testbin.Must(t, "delete", dest, b.Name)
	}
	testbin.Must(t, "copy", dest, target)
	for _, b := range good {
		if _, err := os.Stat(filepath.Join(target, b.Name, "d/noise")); err != nil {
			t.Errorf("%s: %v", b.Name, err)
		}
	}

	// A name that is taken, by another backup.
	archive := filepath.Join(t.TempDir(), "archive")
	if r := pipe(t, "rsbtbackup send "+dest+" latest >"+archive); r.Exit != 0 {
		t.Fatal(r.Stderr)
	}
	wantExit(t, pipe(t, fmt.Sprintf("rsbtbackup receive %s --name %s <%s", target, good[0].Name, archive)), 2, "something has the name")
	// A time to come, which would be the newest forever.
	data, err := os.ReadFile(archive)
	testdest.Must(t, err)
	var m map[string]any
	line, rest, _ := strings.Cut(string(data), "\n")
	testdest.Must(t, json.Unmarshal([]byte(line), &m))
	m["name"] = "2099-01-01-00:00"
	m["record"].(map[string]any)["name"] = m["name"]
	m["record"].(map[string]any)["started"] = "2099-01-01T00:00:00Z"
	forged, err := json.Marshal(m)
	testdest.Must(t, err)
	testdest.Must(t, os.WriteFile(archive, []byte(string(forged)+"\n"+rest), 0o600))
	wantExit(t, pipe(t, fmt.Sprintf("rsbtbackup receive %s <%s", target, archive)), 1, "in the future")
	if n := len(testdest.Backups(t, target)); n != 3 {
		t.Errorf("%d backups, want 3", n)
	}
	wantNothingLeft(t, target)
}

// TestAnOlderOtherSide knows nothing of what came later: copies go on as they did, and a comparison is refused in one
// line.
func TestAnOlderOtherSide(t *testing.T) {
	t.Parallel()
	src, dest := source(t), testdest.New(t, "1G")
	backups(t, src, dest, 2)
	disk := loopfs.New(t, "1G")
	older := filepath.Join(t.TempDir(), "sshd")
	testdest.Must(t, os.WriteFile(older, []byte("#!/bin/sh\nshift\nsed -u 's/,\"unsummed\":true}/}/' | sh -c \"$*\" | sed -u '1s/,\"can\":.[^]]*.//'\n"), 0o755))
	over := []string{"-e", older, "--program", testbin.Path(t)}
	pushed, pulled := freshDest(t, disk, "pushed", 0), freshDest(t, disk, "pulled", 0)
	testbin.Must(t, append([]string{"copy", dest, "vault:" + pushed, "-n"}, over...)...)
	testbin.Must(t, append([]string{"copy", dest, "vault:" + pushed, "--keep-last=9"}, over...)...)
	testbin.Must(t, append([]string{"copy", "vault:" + dest, pulled}, over...)...)
	testbin.Must(t, "pin", "-q", dest, "latest")
	testbin.Must(t, append([]string{"copy", dest, "vault:" + pushed}, over...)...)
	testbin.Must(t, "unpin", "-q", dest, "latest")
	for _, target := range []string{pushed, pulled} {
		wantCopies(t, dest, target)
		wantNothingLeft(t, target)
	}
	wantExit(t, testbin.Run(t, append([]string{"verify", dest, "--against-copy", "vault:" + pushed}, over...)...), 2, "is older and cannot compare")
}
