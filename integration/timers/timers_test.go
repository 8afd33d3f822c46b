//go:build integration

// Package timers_test asks of package timers, and of the units of package units, that systemd takes them and that jobs
// do in their sandbox what they do outside of it.
package timers_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testboot"
)

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }

// config: what a night does, verified against the source in the same sandbox.
const config = `
[defaults]
keep-last = 1
[defaults.schedule]
io-weight = 20
[defaults.verify]
every = "always"
against = true
[defaults.check]
every = "always"
[job.data]
source = "/srv/data"
dest = "/backup/100% of $HOME"
copy.second.target = "/second/data"
copy.far.target = "far:/data/far"
copy.far.rsh = "/usr/local/bin/shell"
[job.tmp]
source = "/var/tmp/kept"
dest = "/backup/tmp"
nice = 5
ionice = "idle"
[job.frozen]
source = "/data/frozen"
dest = "/backup/frozen"
snapshot-source = true
verify.against = false
[metrics]
textfile = "/var/lib/figures/rsbtbackup.prom"
`

// source has what a sandbox may refuse to read, or to write: set-id bits, devices, attributes, owners, times.
const source = `
mkdir -p /srv/data/private /var/tmp/kept && cd /srv/data
echo one >file && chown 1234:5678 file && chmod 4711 file
echo two >caps && setcap cap_net_raw+ep caps
echo three >attr && setfattr -n trusted.x -v y attr && setfattr -n user.x -v y attr && setfacl -m u:77:rw attr
mknod null c 1 3 && mknod block b 7 99 && mkfifo pipe && ln -s nowhere link && ln file hardlink
truncate -s 1M sparse && chmod 2750 . && chown 99:99 private && chmod 700 private && echo four >private/secret
cp -a . /var/tmp/kept
`

// boot starts a machine with the command, a DEST on btrfs and the source.
func boot(t *testing.T, o testboot.Options) *testboot.Machine {
	t.Helper()
	if o.Binds == nil {
		o.Binds = map[string]string{}
	}
	o.Binds["/backup"] = loopfs.New(t, "128M")
	m := testboot.Boot(t, o)
	command, err := os.ReadFile(testbin.Path(t))
	if err != nil {
		t.Fatal(err)
	}
	put(t, m, "/usr/bin/rsbtbackup", string(command), 0o755)
	return m
}

func put(t *testing.T, m *testboot.Machine, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.Path(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.Path(path), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// shell replaces ssh: all that it does with a network is to open a socket. The host it runs the command on is this one.
const shell = `#!/bin/bash
exec 3<>/dev/udp/127.0.0.1/9 || exit 255
shift
eval "$1"
`

// mailer replaces a mail transport: it stores its input.
const mailer = "#!/bin/sh\ncat >>/var/mail/root\n"

func TestANightInTheSandbox(t *testing.T) {
	t.Parallel()
	m := boot(t, testboot.Options{Binds: map[string]string{"/data": loopfs.New(t, "128M"), "/second": loopfs.New(t, "128M")}})
	m.Must(t, source)
	m.Must(t, "mkdir -p /var/lib/figures /data/frozen && echo five >/data/frozen/file")
	put(t, m, "/etc/rsbtbackup.toml", config, 0o600)
	put(t, m, "/usr/sbin/sendmail", mailer, 0o755)
	put(t, m, "/usr/local/bin/shell", shell, 0o755)
	m.Must(t, `install -d -m 0700 /second/data /data/far && rsbtbackup init /second/data && rsbtbackup init /data/far`)
	m.Must(t, `cd /backup && install -d -m 0700 '100% of $HOME' tmp frozen && rsbtbackup init '100% of $HOME' && rsbtbackup init tmp && rsbtbackup init frozen`)
	out := m.Must(t, "rsbtbackup schedule --all --on=daily --install")
	for _, want := range []string{"wrote /etc/systemd/system/rsbtbackup-all.service", "ran   systemctl enable --now rsbtbackup-all.timer", "next  "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if weight := m.Must(t, "systemctl show -P IOWeight rsbtbackup-all.service"); weight != "20" {
		t.Errorf("IOWeight is %s", weight)
	}
	t.Run("systemd verifies it", func(t *testing.T) {
		if out := m.Must(t, "systemd-analyze verify --man=no /etc/systemd/system/rsbtbackup-all.{service,timer} 2>&1"); out != "" {
			t.Errorf("systemd-analyze verify:\n%s", out)
		}
	})
	t.Run("it is confined", func(t *testing.T) { wantSecurity(t, m, "rsbtbackup-all.service", 4.0) })
	t.Run("twice", func(t *testing.T) {
		m.Must(t, "systemctl start --wait rsbtbackup-all.service")
		m.Must(t, "echo changed >>/srv/data/file; systemctl start --wait rsbtbackup-all.service")
		log := m.Must(t, "journalctl -u rsbtbackup-all.service --no-pager")
		for _, dest := range []string{`'/backup/100% of $HOME'`, "/backup/tmp", "/backup/frozen"} {
			if n := m.Must(t, "rsbtbackup list "+dest+" --json | grep -c '\"type\":\"snapshot\"'"); n != "1" {
				t.Errorf("%s: %s backups, want the one that prune keeps\n%s", dest, n, log)
			}
		}
		m.Must(t, `rsbtbackup verify '/backup/100% of $HOME' --against=/srv/data`)
		m.Must(t, "rsbtbackup verify /backup/tmp --against=/var/tmp/kept")
		m.Must(t, "rsbtbackup verify /backup/frozen --against=/data/frozen")
		m.Must(t, "grep -q rsbtbackup /var/lib/figures/rsbtbackup.prom")
		if n := m.Must(t, "rsbtbackup list /second/data --json | grep -c '\"type\":\"snapshot\"'"); n != "2" {
			t.Errorf("%s copies, want both backups\n%s", n, log)
		}
		if left := m.Must(t, "ls -A /data"); left != "far\nfrozen" {
			t.Errorf("left of the snapshots: %s", left)
		}
	})
	t.Run("the timer waits", func(t *testing.T) {
		m.Must(t, "systemctl is-active rsbtbackup-all.timer && systemctl is-enabled rsbtbackup-all.timer")
		m.Must(t, "rsbtbackup status | grep '^data .* daily$'")
	})
	t.Run("a failure arrives", func(t *testing.T) { wantFailureMailed(t, m) })
	t.Run("a dest that is new", func(t *testing.T) { wantHintForNewDest(t, m) })
	t.Run("taken away", func(t *testing.T) {
		m.Must(t, "rsbtbackup schedule --all --remove")
		m.Must(t, "rsbtbackup status | grep '^data .* not scheduled$'")
		if out, _ := m.Run(t, "systemctl is-active rsbtbackup-all.timer; ls /etc/systemd/system | grep rsbtbackup-all"); out != "inactive\n" {
			t.Errorf("left:\n%s", out)
		}
		if out, exit := m.Run(t, "rsbtbackup schedule --all --remove"); exit != 2 || !strings.Contains(out, "rsbtbackup-all is not scheduled here") {
			t.Errorf("exit %d\n%s", exit, out)
		}
	})
}

var exposure = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)

func wantSecurity(t *testing.T, m *testboot.Machine, unit string, most float64) {
	t.Helper()
	out := m.Must(t, "systemd-analyze security --offline=true --threshold=100 --no-pager /etc/systemd/system/"+unit)
	found := exposure.FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("no level in\n%s", out)
	}
	level, err := strconv.ParseFloat(found[1], 64)
	if err != nil || level > most {
		t.Errorf("exposure %s, want %v at most\n%s", found[1], most, out)
	}
	t.Logf("exposure level %s", found[1])
}

// wantFailureMailed: the reason is in the mail, and the other job has its backup.
func wantFailureMailed(t *testing.T, m *testboot.Machine) {
	t.Helper()
	m.Must(t, "mv /srv/data /srv/away")
	if out, exit := m.Run(t, "systemctl start --wait rsbtbackup-all.service"); exit == 0 {
		t.Fatalf("it did not fail: %s", out)
	}
	// The journal took the priorities of the lines: no warning and no result is an error, and no line shows a number.
	errors := m.Must(t, "journalctl -u rsbtbackup-all.service -p err --output=cat --no-pager SYSLOG_IDENTIFIER=rsbtbackup")
	if !strings.HasPrefix(errors, "rsbtbackup: data: backup: ") || !strings.HasSuffix(errors, "\nrsbtbackup: 1 of 3 jobs did not succeed: data") || strings.Count(errors, "\n") != 1 {
		t.Errorf("errors in the journal:\n%s", errors)
	}
	if status := m.Must(t, "systemctl show -P StatusText rsbtbackup-all.service"); status != "3 of 3 jobs ended, 1 did not succeed" {
		t.Errorf("status: %s", status)
	}
	// Started by OnFailure=, it may run still: start waits for it, and runs it again if it has ended.
	m.Must(t, "systemctl start rsbtbackup-mail@rsbtbackup-all.service; mv /srv/away /srv/data")
	mail := m.Must(t, "cat /var/mail/root")
	for _, want := range []string{"To: root\nSubject: ", ": rsbtbackup-all failed\n", "\n\n", "/srv/data: no such file or directory", "1 of 3 jobs did not succeed: data"} {
		if !strings.Contains(mail, want) {
			t.Errorf("no %q in the mail:\n%s", want, mail)
		}
	}
}

// wantHintForNewDest: the service that was written before a job was added cannot write to the job's dest.
func wantHintForNewDest(t *testing.T, m *testboot.Machine) {
	t.Helper()
	put(t, m, "/etc/rsbtbackup.toml", config+"[job.new]\nsource = \"/srv/data\"\ndest = \"/backup/new\"\n"+
		"hooks.finally = ['/bin/sh', '-c', 'test -s \"$RSBTBACKUP_LOG\"']\n", 0o600)
	m.Must(t, "install -d -m 0700 /backup/new && rsbtbackup init /backup/new")
	if _, exit := m.Run(t, "systemctl start --wait rsbtbackup-all.service"); exit == 0 {
		t.Fatal("it did not fail")
	}
	log := m.Must(t, "journalctl -u rsbtbackup-all.service --no-pager --output=cat")
	if want := "rsbtbackup schedule --all --install"; !strings.Contains(log, want) {
		t.Errorf("no %q in\n%s", want, log)
	}
	m.Must(t, "rsbtbackup schedule --all --on=daily --install && systemctl start --wait rsbtbackup-all.service")
}

// TestWhatSandboxesHide: kernel modules, temporary and home directories are in the backup as they are.
func TestWhatSandboxesHide(t *testing.T) {
	t.Parallel()
	m := boot(t, testboot.Options{})
	put(t, m, "/etc/rsbtbackup.toml", `
[job.system]
source = ["/usr/lib/modules", "/etc", "/home", "/tmp", "/var/tmp"]
dest = "/backup/system"
[job.root]
source = "/"
dest = "/backup/root"
one-file-system = true
filter = ["+ /home/", "+ /home/c", "+ /root/", "+ /root/d", "+ /etc/", "+ /etc/hosts", "- *"]
`, 0o600)
	m.Must(t, `mkdir -p /usr/lib/modules/6 && cd / && echo driver >usr/lib/modules/6/a.ko; echo a >tmp/a; echo b >var/tmp/b; echo c >home/c; echo d >root/d
cd /backup; umask 077; for dest in root system/{usr-lib-modules,etc,home,tmp,var-tmp}; do mkdir -p $dest && rsbtbackup init $dest || exit; done
rsbtbackup schedule --all --on=daily --install
systemctl start --wait rsbtbackup-all.service`)
	m.Must(t, "cd /backup/root/cur && cat home/c root/d etc/hosts && test $(ls | wc -l) = 3")
	for _, dir := range []string{"/usr/lib/modules", "/etc", "/home", "/tmp", "/var/tmp"} {
		dest := "/backup/system/" + strings.ReplaceAll(dir[1:], "/", "-")
		m.Must(t, "diff -r --no-dereference "+dir+" "+dest+"/cur/.")
		m.Must(t, "rsbtbackup verify "+dest+" --against="+dir)
	}
	// The mounts of the sandbox are no disks that a run outside of it would miss.
	if out := m.Must(t, "rsbtbackup run --all 2>&1 >/dev/null"); out != "" {
		t.Errorf("outside of the sandbox:\n%s", out)
	}
}
