//go:build integration

// Package doctor breaks one step of a job after the other, and asks doctor which it is.
package doctor

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
)

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }

type finding struct {
	Type, Job, Step, Level, Text, Hint, Message string
	Exit                                        int
}

// world is a job that is well, in parts that can be broken.
type world struct {
	t                                   *testing.T
	dir, source, dest, rsh, more, state string
}

func newWorld(t *testing.T, disk string, ssh testserver.SSH) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), rsh: ssh.Shell}
	w.dest = testdest.Init(t, filepath.Join(disk, strings.ReplaceAll(t.Name(), "/", "-")))
	w.state = filepath.Join(w.dir, "state")
	testdest.MakeDir(t, filepath.Join(w.dir, "src"))
	w.source = "root@127.0.0.1:" + filepath.Join(w.dir, "src")
	return w
}

// examine runs doctor with a config of the parts.
func (w *world) examine() (findings []finding, exit int) {
	w.t.Helper()
	config := filepath.Join(w.dir, "c.toml")
	text := fmt.Sprintf("[run]\nstate = %q\n[job.a]\nsource = %q\ndest = %q\n", w.state, w.source, w.dest)
	if w.rsh != "" {
		text += fmt.Sprintf("rsh = %q\n", w.rsh)
	}
	testdest.Write(w.t, config, text+w.more)
	testdest.Must(w.t, os.Chmod(config, 0o600))
	r := testbin.Run(w.t, "doctor", "a", "--config="+config, "--json")
	for line := range strings.Lines(r.Stdout) {
		var f finding
		testdest.Must(w.t, json.Unmarshal([]byte(line), &f))
		if f.Type == "finding" {
			findings = append(findings, f)
		}
	}
	if len(findings) == 0 {
		w.t.Fatalf("exit %d: %s", r.Exit, r.Stderr)
	}
	return findings, r.Exit
}

// TestEachStepThatFailsIsNamed: a job over a real sshd, with one thing wrong at a time.
func TestEachStepThatFailsIsNamed(t *testing.T) {
	ssh := testserver.StartSSH(t)
	disk := testdest.New(t, "256M")
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	down := testserver.FreePort(t)
	for _, tt := range []struct {
		name               string
		breaks             func(w *world)
		exit               int
		step, text, hint   string // of what failed
		untried, unmention string // steps
	}{
		{name: "all is well", breaks: func(w *world) { w.more = fmt.Sprintf("[job.a.ping]\nurl = '%s/x'\n", server.URL) }},
		{name: "nobody listens", breaks: func(w *world) { w.rsh = ssh.With("user", testserver.FreePort(w.t)) },
			exit: 12, step: "host", text: "Connection refused", hint: "to try the way alone: ssh ", untried: "host key login rsync there source"},
		{name: "no such host", breaks: func(w *world) { w.source = "root@nowhere.invalid:/src" },
			exit: 12, step: "host", text: "nowhere.invalid", hint: "getent hosts nowhere.invalid", untried: "host key login rsync there source"},
		{name: "the host is not known", breaks: func(w *world) { w.rsh = strings.Replace(ssh.Shell, "ssh ", "ssh -o UserKnownHostsFile=/dev/null ", 1) },
			exit: 12, step: "host key", text: "Host key verification failed", hint: fmt.Sprintf("ssh-keyscan -t ed25519 -p %d 127.0.0.1", ssh.Port), untried: "login rsync there source"},
		{name: "not let in", breaks: func(w *world) { w.rsh = ssh.With("stranger", ssh.Port) },
			exit: 12, step: "login", text: "Permission denied", hint: "authorized_keys", untried: "rsync there source"},
		{name: "no rsync there", breaks: func(w *world) { w.more = "rsync-args = '--rsync-path=/nonexistent/rsync'\n" },
			exit: 12, step: "rsync there", text: "rsync", hint: "install rsync on that host", untried: "source"},
		{name: "no such directory there", breaks: func(w *world) { w.source += "/gone" },
			exit: 12, step: "source", text: "No such file", hint: "rsync --list-only"},
		{name: "no such directory here", breaks: func(w *world) { w.source, w.rsh = w.dir+"/gone", "" },
			exit: 12, step: "source", text: "no such file", hint: "ls -ld ", unmention: "login"},
		{name: "a key that others may read", breaks: func(w *world) {
			testdest.Write(w.t, w.dir+"/key", "x")
			testdest.Must(w.t, os.Chmod(w.dir+"/key", 0o644))
			w.more = "ssh-identity = '" + w.dir + "/key'\n"
		}, exit: 1, step: "identity", text: "0644", hint: "chmod 0600 ", untried: "host host key login rsync there source"},
		{name: "no such rsync here", breaks: func(w *world) { w.more = "rsync = '/nonexistent/rsync'\n" },
			exit: 1, step: "rsync here", text: "/nonexistent/rsync", hint: "apt-get install rsync", untried: "host host key login rsync there source"},
		{name: "dest is not prepared", breaks: func(w *world) { w.dest += ".new"; testdest.MakeDir(w.t, w.dest) },
			exit: 10, step: "dest", text: "not initialised", hint: "rsbtbackup init "},
		{name: "dest is missing", breaks: func(w *world) { w.dest += ".gone" }, exit: 10, step: "dest", text: "no such file", hint: "install -d -m 0700 "},
		{name: "dest is missing, and no btrfs is near", breaks: func(w *world) { w.dest = "/proc/gone" }, exit: 10, step: "dest", text: "no such file", hint: "findmnt -t btrfs"},
		{name: "dest is not on btrfs", breaks: func(w *world) { w.dest = "/proc" }, exit: 10, step: "dest", text: "not on a btrfs", hint: "findmnt -t btrfs"},
		{name: "the disk is full", breaks: func(w *world) { w.more = "[job.a.check]\nmin-free = '99%'\n" }, exit: 1, step: "space", text: "free", hint: "rsbtbackup check -v "},
		{name: "no such hook", breaks: func(w *world) { w.more = "[job.a.hooks]\nbefore = ['/nonexistent/hook']\n" }, exit: 1, step: "hooks", text: "/nonexistent/hook"},
		{name: "a hook that cannot be run", breaks: func(w *world) { w.more = "[job.a.hooks]\nafter = ['/etc/passwd']\n" }, exit: 1, step: "hooks", text: "/etc/passwd", hint: "chmod u+x /etc/passwd"},
		{name: "nobody is told", breaks: func(w *world) { w.more = fmt.Sprintf("[job.a.ping]\nurl = 'http://127.0.0.1:%d/secret'\n", down) }, exit: 1, step: "ping", text: "refused"},
		{name: "no rules", breaks: func(w *world) { w.more = "exclude-from = '/nonexistent/rules'\n" }, exit: 1, step: "exclude-from", text: "/nonexistent/rules"},
		{name: "no place to remember", breaks: func(w *world) { w.state = "/proc/1/state" }, exit: 1, step: "state", text: "/proc/1", hint: "state in [run]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, disk, ssh)
			tt.breaks(w)
			findings, exit := w.examine()
			if exit != tt.exit {
				t.Errorf("exit %d, want %d", exit, tt.exit)
			}
			var failed, untried []string
			for _, f := range findings {
				switch f.Level {
				case "failed":
					failed = append(failed, f.Step)
					if !strings.Contains(f.Text, tt.text) || !strings.Contains(f.Hint, tt.hint) || f.Exit != tt.exit {
						t.Errorf("%+v, want exit %d, %q, and the hint %q", f, tt.exit, tt.text, tt.hint)
					}
				case "untried":
					untried = append(untried, f.Step)
				}
				if f.Step == tt.unmention || strings.Contains(f.Text+f.Hint, "secret") {
					t.Errorf("%+v", f)
				}
			}
			if strings.Join(failed, " ") != tt.step || strings.Join(untried, " ") != tt.untried {
				t.Errorf("failed: %q, not tried: %q; want %q and %q", failed, untried, tt.step, tt.untried)
			}
			if entries := testdest.Entries(t, w.dir); slices.Contains(entries, "state") {
				t.Error("it made the directory for what is remembered")
			}
		})
	}
}
