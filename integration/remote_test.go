//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
)

func TestEveryRemoteFormIsBackedUpWhole(t *testing.T) {
	t.Parallel()
	ssh := testserver.StartSSH(t)
	disk := loopfs.New(t, "2G")
	src := t.TempDir()
	addOddities(t, src)
	strange := filepath.Join(src, `a b  'quoted' "twice" $HOME $(id) ;*? back\slash ü`)
	addOddities(t, strange)
	newline := filepath.Join(src, "new\nline")
	testdest.Write(t, newline+"/file", "x")
	daemon := testserver.StartDaemon(t, src)

	for _, tt := range []struct{ name, source, path string }{
		{"host", "127.0.0.1:" + src, src},
		{"host with a slash at the end", "127.0.0.1:" + src + "/", src},
		{"user and host", "root@localhost:" + src, src},
		{"IPv6 address", "[::1]:" + src, src},
		{"user and IPv6 address", "root@[::1]:" + src, src},
		{"shell characters", "127.0.0.1:" + strange, strange},
		{"newline", "127.0.0.1:" + newline, newline},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dest := testdest.Init(t, filepath.Join(disk, tt.name))
			testdest.WantSame(t, tt.path, testdest.Backup(t, tt.source, dest, "-e", ssh.Shell))
			if got := newest(t, dest, 1).Record.Source; got != tt.source {
				t.Errorf("recorded source %q, want %q", got, tt.source)
			}
		})
	}
	for _, tt := range []struct {
		name, source, path string
		args               []string
	}{
		{"URL", fmt.Sprintf("rsync://127.0.0.1:%d/files", daemon), src, nil},
		{"URL with a path", fmt.Sprintf("rsync://127.0.0.1:%d/files/odd/", daemon), src + "/odd", nil},
		{"module", "127.0.0.1::files", src, []string{"--", fmt.Sprint("--port=", daemon)}},
		{"module and path", "127.0.0.1::files/odd", src + "/odd", []string{"--", "--port", fmt.Sprint(daemon)}},
	} {
		t.Run("daemon "+tt.name, func(t *testing.T) {
			dest := testdest.Init(t, filepath.Join(disk, tt.name))
			testdest.WantSame(t, tt.path, testdest.Backup(t, tt.source, dest, tt.args...))
		})
	}
}

func TestTheSecondBackupOverSSHIsIncremental(t *testing.T) {
	t.Parallel()
	ssh := testserver.StartSSH(t)
	dest := testdest.New(t, "2G")
	src := t.TempDir()
	testdest.Tool(t, "cp", "-a", goSource(t)+"/net", src)
	first := testdest.Backup(t, "localhost:"+src, dest, "--rsh", ssh.Shell)
	testdest.WantSame(t, src, first)
	aside := t.TempDir()
	testdest.Tool(t, "cp", "-a", src+"/.", aside)

	overwrite(t, src+"/net/http/server.go", 1000, "EDITED")
	testdest.Must(t, os.RemoveAll(src+"/net/mail"))
	second := testdest.Backup(t, "localhost:"+src, dest, "--rsh", ssh.Shell)
	testdest.WantSame(t, src, second)
	testdest.WantSame(t, aside, first)
	record := newest(t, dest, 2).Record
	if record.Base != filepath.Base(first) || record.Stats.Transferred != 1 {
		t.Errorf("base %q and %d files transferred, want %q and 1", record.Base, record.Stats.Transferred, filepath.Base(first))
	}
}

// Any fault in the connection to the source: exit 12, one line, nothing published, and the next run works.
func TestARemoteSourceOutOfReachExits12(t *testing.T) {
	t.Parallel()
	ssh := testserver.StartSSH(t)
	dest := testdest.New(t, "2G")
	src := t.TempDir()
	testdest.Write(t, src+"/file", "x")
	first := testdest.Backup(t, "127.0.0.1:"+src, dest, "-e", ssh.Shell)
	daemon := testserver.StartDaemon(t, src)
	closed := testserver.FreePort(t)

	for _, tt := range []struct {
		name, want string
		args       []string
	}{
		{"wrong key", "Permission denied", []string{"127.0.0.1:" + src, dest, "-e", ssh.With("stranger", ssh.Port)}},
		{"wrong key, new host", "Permission denied", []string{"127.0.0.1:" + src, dest, "-e",
			strings.Replace(ssh.With("stranger", ssh.Port), "ssh ", "ssh -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile="+t.TempDir()+"/hosts ", 1)}},
		{"closed port", "Connection refused", []string{"127.0.0.1:" + src, dest, "-e", ssh.With("user", closed)}},
		{"unknown host", "", []string{"no-such-host.invalid:" + src, dest, "-e", ssh.Shell}},
		{"no such remote shell", "", []string{"127.0.0.1:" + src, dest, "-e", "/no/such/shell"}},
		{"remote path missing", "No such file or directory", []string{"127.0.0.1:" + src + "/missing", dest, "-e", ssh.Shell}},
		{"remote path a file", "", []string{"127.0.0.1:" + src + "/file", dest, "-e", ssh.Shell}},
		{"remote rsync missing", "", []string{"127.0.0.1:" + src, dest, "-e", ssh.Shell, "--", "--rsync-path=/no/such/rsync"}},
		{"daemon not running", "Connection refused", []string{fmt.Sprintf("rsync://127.0.0.1:%d/files", closed), dest}},
		{"no such module", "Unknown module", []string{fmt.Sprintf("rsync://127.0.0.1:%d/nothing", daemon), dest}},
		{"no such path in the module", "", []string{fmt.Sprintf("rsync://127.0.0.1:%d/files/missing", daemon), dest}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := testbin.Run(t, append([]string{"backup"}, tt.args...)...)
			if r.Exit != 12 {
				t.Errorf("exit %d, want 12", r.Exit)
			}
			wantOneErrorLine(t, r, tt.args[0], tt.want)
			if got := testdest.Backups(t, dest); len(got) != 1 || filepath.Join(dest, testdest.Current(t, dest)) != first {
				t.Errorf("%d backups and cur %s, want only %s", len(got), testdest.Current(t, dest), first)
			}
		})
	}
	testdest.Write(t, src+"/file", "edited")
	testdest.WantSame(t, src, testdest.Backup(t, "127.0.0.1:"+src, dest, "-e", ssh.Shell))
	wantTidy(t, dest)
}

// An emptied source is more often a disk that is not mounted.
func TestAnEmptiedRemoteSourceIsRefused(t *testing.T) {
	t.Parallel()
	ssh := testserver.StartSSH(t)
	dest := testdest.New(t, "2G")
	src := t.TempDir()
	testdest.Write(t, src+"/file", "x")
	testdest.Backup(t, "127.0.0.1:"+src, dest, "-e", ssh.Shell)
	testdest.Must(t, os.Remove(src+"/file"))
	r := testbin.Run(t, "backup", "127.0.0.1:"+src, dest, "-e", ssh.Shell)
	if r.Exit != 13 {
		t.Errorf("exit %d, want 13", r.Exit)
	}
	wantOneErrorLine(t, r, "127.0.0.1:"+src)
	newest(t, dest, 1)
	wantTidy(t, dest)
	testdest.WantSame(t, src, testdest.Backup(t, "127.0.0.1:"+src, dest, "-e", ssh.Shell, "--force"))
}

// wantOneErrorLine: one line says what went wrong, with all of words in it, and after it come at most hints. Nothing of
// it is on standard output.
func wantOneErrorLine(t testing.TB, r testbin.Result, words ...string) {
	t.Helper()
	var errors []string
	for line := range strings.Lines(r.Stderr) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "rsbtbackup: "):
			errors = append(errors, line)
		case strings.HasPrefix(line, "hint: "):
			if len(errors) == 0 {
				t.Errorf("a hint before the error: %q", r.Stderr)
			}
		}
	}
	if len(errors) != 1 {
		t.Errorf("%d error lines, want 1:\n%s", len(errors), r.Stderr)
		return
	}
	for _, word := range words {
		if !strings.Contains(errors[0], word) {
			t.Errorf("the error line does not say %q: %s", word, errors[0])
		}
	}
	if r.Stdout != "" {
		t.Errorf("standard output of a failed run: %q", r.Stdout)
	}
}
