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

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
)

// TestCopyFromAnotherHost fetches through a real sshd: all, what is named, increments, and by the rules of the target.
func TestCopyFromAnotherHost(t *testing.T) {
	t.Parallel()
	ssh := testserver.StartSSH(t)
	src, dest := source(t), testdest.New(t, "1G", "compress=zstd")
	backups(t, src, dest, 2)
	disk := loopfs.New(t, "2G")
	target := freshDest(t, disk, "target", 0)
	args := []string{"copy", "root@127.0.0.1:" + dest, target, "-e", ssh.Shell, "--program", testbin.Path(t)}
	if n := strings.Count(testbin.Must(t, append(args, "-n")...).Stdout, "would copy "); n != 2 || len(testdest.Backups(t, target)) != 0 {
		t.Errorf("dry run: %d would be copied", n)
	}
	testbin.Must(t, append(args, "latest~1")...)
	if n := len(testdest.Backups(t, target)); n != 1 {
		t.Errorf("one was asked for, %d came", n)
	}
	backups(t, src, dest, 1)
	out := testbin.Must(t, args...).Stdout
	if strings.Count(out, "incremental on") != 2 || !strings.Contains(out, "1 backup already in the target") {
		t.Errorf("not incremental:\n%s", out)
	}
	wantCopies(t, dest, target)
	wantNothingLeft(t, target)
	few := freshDest(t, disk, "few", 0)
	args[2] = few
	if out := testbin.Must(t, append(args, "--keep-last=1", "--bwlimit=100m")...).Stdout; !strings.Contains(out, "2 backups not copied") {
		t.Errorf("rules of the target:\n%s", out)
	}
	wantExit(t, testbin.Run(t, append(args, "2001")...), 2, "no backup is called")
	wantExit(t, testbin.Run(t, "copy", "a:"+dest, "b:"+target), 2, "both on other hosts")
}

// TestTheSendingSideFails: one line that says why, and nothing under the name of a backup.
func TestTheSendingSideFails(t *testing.T) {
	t.Parallel()
	src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "1G")
	backups(t, src, dest, 2)
	good := testbin.Path(t)
	shell := func(script string) string {
		path := filepath.Join(t.TempDir(), "sshd")
		testdest.Must(t, os.WriteFile(path, fmt.Appendf(nil, "#!/bin/sh\n%s\n", strings.NewReplacer("GOOD", good, "DEST", dest).Replace(script)), 0o755))
		return path
	}
	for _, tt := range []struct {
		name, script string
		exit         int
		says         string
	}{
		{"host not reached", "echo No route to host >&2; exit 255", 12, "No route to host"},
		{"floods at login", "exec yes", 12, `the other side answered "y`},
		{"floods with complaints", "exec yes >&2", 12, "prints too much"},
		{"says nothing", "exit 0", 12, "ends too early"},
		{"prints something at login", "echo Welcome; exec GOOD send --stdio DEST", 12, `the other side answered "Welcome`},
		{"of another version", `echo '{"rsbtbackup":"send","version":99}'; cat >/dev/null`, 12, "install the same rsbtbackup on both"},
		{"only receives", "exec GOOD receive --stdio DEST", 12, "can only receive"},
		{"not initialised", "exec GOOD send --stdio /tmp", 10, "not "},
		{"the connection breaks", `GOOD send --stdio DEST | perl -e 'while (sysread(STDIN, $b, 65536)) { exit if ($n += length $b) > 300000; syswrite(STDOUT, $b) }'; echo Connection reset by peer >&2; exit 255`, 12, "exit status 255: Connection reset by peer"},
		{"the connection breaks before an archive", `GOOD send --stdio DEST </dev/null; head -n2 >/dev/null; echo Connection reset by peer >&2; exit 255`, 12, "exit status 255: Connection reset by peer"},
		{"cut off in an archive", `GOOD send --stdio DEST | perl -e 'while (sysread(STDIN, $b, 65536)) { exit if ($n += length $b) > 300000; syswrite(STDOUT, $b) }'`, 1, ""},
		{"a bit is another", `GOOD send --stdio DEST | perl -e 'while (sysread(STDIN, $b, 65536)) { $n += length $b; substr($b, -1) ^= "\1" if $n > 500000 && !$done++; syswrite(STDOUT, $b) }'`, 1, ""},
		{"sends another backup", `GOOD send --stdio DEST | sed -u 's/"rsbtbackup_archive":1,"name":"2/"rsbtbackup_archive":1,"name":"1/'`, 1, "asked for"},
		{"answers with an error", `GOOD send --stdio DEST </dev/null; head -n1 >/dev/null; echo '{"error":"no more","kind":"usage"}'; cat >/dev/null`, 2, "no more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := testbin.Run(t, "copy", "vault:"+dest, target, "-e", shell(tt.script))
			wantExit(t, r, tt.exit, tt.says)
			if n := len(testdest.Backups(t, target)); n != 0 {
				t.Fatalf("%d backups are there", n)
			}
		})
	}
	wantNothingLeft(t, target)
	testbin.Must(t, "copy", "vault:"+dest, target, "-e", shell("exec GOOD send --stdio DEST"))
	wantCopies(t, dest, target)
}

// TestAKeyThatCanOnlySend: its holder can list and read the backups, and do nothing else.
func TestAKeyThatCanOnlySend(t *testing.T) {
	t.Parallel()
	src, dest := source(t), testdest.New(t, "1G")
	backups(t, src, dest, 1)
	look := func() string {
		return testdest.Tool(t, "find", dest, "-not", "-name", "holder.json", "-printf", "%p %i %s %T@ %C@\n")
	}
	before := look()
	for _, input := range []string{
		`{"send":"../../etc"}`, `{"send":"cur"}`, `{"send":".log"}`, `{"send":""}`, `{"delete":"x"}`, `{"send":"` + testdest.Names(t, dest)[0] + `","parent":"/etc"}`,
		`{"rsbtbackup_archive":1,"name":"2026-01-01-00:00"}`, "rm -rf /", "\x00", strings.Repeat("x", 100000), strings.Repeat("{", 100000),
	} {
		cmd := exec.Command(testbin.Path(t), "send", "--stdio", dest)
		cmd.Stdin = strings.NewReader(input + "\n")
		r := testbin.Finish(t, cmd)
		lines := strings.SplitN(r.Stdout, "\n", 2)
		var hello struct {
			Backups []struct{ Name string } `json:"backups"`
		}
		if err := json.Unmarshal([]byte(lines[0]), &hello); err != nil || len(hello.Backups) != 1 {
			t.Errorf("%.60q: greeting %q, %v", input, lines[0], err)
		}
		if r.Exit == 0 || len(lines) > 1 && len(lines[1]) > 1000 {
			t.Errorf("%.60q: exit %d, %d bytes\n%.300s", input, r.Exit, len(r.Stdout), r.Stdout)
		}
	}
	if after := look(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
