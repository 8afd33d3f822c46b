//go:build integration

package packages_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testboot"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := built(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// built is the directory with the packages, made once.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "rsbtbackup-packages-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("../../scripts/package.sh", "package")
	cmd.Env = append(os.Environ(), "OUT="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, errors.Join(err, errors.New(string(out)))
	}
	return dir, nil
})

// one is the path of the package with that suffix.
func one(t *testing.T, suffix string) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil || len(found) != 1 {
		t.Fatalf("%d %s, %v", len(found), suffix, err)
	}
	return found[0]
}

// run runs a command line of this machine.
func run(t *testing.T, line string, args ...string) string {
	t.Helper()
	out, err := exec.Command("bash", append([]string{"-euo", "pipefail", "-c", line, "bash"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// bare starts a Debian that has the deb in its root directory and a btrfs at /backup. Without a network apt must not
// know of packages that it would like to fetch.
func bare(t *testing.T) *testboot.Machine {
	t.Helper()
	deb := one(t, ".deb")
	m := testboot.Boot(t, testboot.Options{Binds: map[string]string{"/backup": loopfs.New(t, "128M")}, Absent: []string{"/var/lib/apt/lists"}})
	data, err := os.ReadFile(deb)
	if err == nil {
		err = errors.Join(os.WriteFile(m.Path("/"+filepath.Base(deb)), data, 0o644), os.WriteFile(m.Path("/usr/sbin/sendmail"), []byte(mailer), 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// mailer replaces a mail transport: it stores its input.
const mailer = "#!/bin/sh\ncat >>/var/mail/root\n"

func TestADebIsInstalledAndRemoved(t *testing.T) {
	t.Parallel()
	m := bare(t)
	m.Must(t, "dpkg -i /rsbtbackup_*.deb")
	if out, _ := m.Run(t, "ls /etc/systemd/system /etc/systemd/system/timers.target.wants 2>/dev/null | grep rsbtbackup"); out != "" {
		t.Errorf("it is started by its installation: %s", out)
	}
	if out := m.Must(t, "dpkg -s rsbtbackup"); !strings.Contains(out, "\nDepends: rsync\n") {
		t.Error(out)
	}
	m.Must(t, "rsbtbackup version && man -w rsbtbackup rsbtbackup.toml && test -r /usr/share/bash-completion/completions/rsbtbackup")
	m.Must(t, `printf '[job.a]\nsource = "/home"\ndest = "/backup/a"\n' >/etc/rsbtbackup.toml && install -d /backup/a && rsbtbackup init /backup/a`)
	m.Must(t, "rsbtbackup schedule --all --on=daily --install && systemctl start --wait rsbtbackup-all")
	if out := m.Must(t, "systemd-analyze verify /etc/systemd/system/rsbtbackup-all.* /usr/lib/systemd/system/rsbtbackup-mail@.service 2>&1"); out != "" {
		t.Error(out)
	}
	if _, exit := m.Run(t, "test -e /etc/systemd/system/rsbtbackup-mail@.service"); exit == 0 {
		t.Error("the template of the package is covered by another one")
	}
	m.Must(t, `cd /tmp && dpkg-deb -R /rsbtbackup_*.deb new && sed -i 's/^Version: .*/Version: 999/' new/DEBIAN/control && dpkg-deb -Znone -b new new.deb && dpkg -i new.deb`)
	m.Must(t, "grep -q /home /etc/rsbtbackup.toml && systemctl is-active rsbtbackup-all.timer && systemctl start --wait rsbtbackup-all")
	if out := m.Must(t, "rsbtbackup list /backup/a --json | grep -c snapshot"); out == "0" {
		t.Error("no backup")
	}
	m.Must(t, "dpkg -r rsbtbackup")
	if out, _ := m.Run(t, "systemctl is-active rsbtbackup-all.timer; ls /usr/bin/rsbtbackup 2>/dev/null"); out != "inactive\n" {
		t.Errorf("left: %s", out)
	}
	m.Must(t, "grep -q /home /etc/rsbtbackup.toml && test -e /backup/a/cur/. && dpkg --purge rsbtbackup && test -e /etc/rsbtbackup.toml")
}

func TestAnRPMHasTheSame(t *testing.T) {
	t.Parallel()
	rpm, deb := one(t, ".rpm"), one(t, ".deb")
	inDeb := run(t, `dpkg-deb -c "$1" | awk '!/^d/ { print substr($6, 2), substr($1, 2) }' | sed 's,vendor-completions/_,site-functions/_,' | sort`, deb)
	inRPM := run(t, `rpm -qp --qf '[%{FILENAMES} %{FILEMODES:perms}\n]' "$1" | awk '$2 !~ /^d/ { print $1, substr($2, 2) }' | sort`, rpm)
	if inDeb != inRPM || !strings.Contains(inRPM, "/usr/bin/rsbtbackup rwxr-xr-x\n") {
		t.Errorf("the deb:\n%s\nthe rpm:\n%s", inDeb, inRPM)
	}
	if out := run(t, `rpm -qp --requires "$1"`, rpm); !strings.Contains(out, "rsync\n") {
		t.Error(out)
	}
}

// TestPagesAreInOrder: what both readers of man pages complain of.
func TestPagesAreInOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run(t, `dpkg-deb -x "$1" "$2"`, one(t, ".deb"), dir)
	for _, page := range []string{"man8/rsbtbackup.8", "man5/rsbtbackup.toml.5"} {
		out := run(t, `gunzip "$1.gz" && mandoc -T lint -W warning "$1" && groff -man -ww -T utf8 "$1" 2>&1 >/dev/null`, filepath.Join(dir, "usr/share/man", page))
		if out != "" {
			t.Errorf("%s:\n%s", page, out)
		}
	}
}

// TestTheSameCommitMakesTheSameBytes, in another directory and at another time.
func TestTheSameCommitMakesTheSameBytes(t *testing.T) {
	t.Parallel()
	one(t, ".deb") // the tools are there
	dir := t.TempDir()
	var sums []string
	for _, checkout := range []string{"a", "deeper/b"} {
		sums = append(sums, run(t, `
			git -c safe.directory='*' clone -q --no-hardlinks ../.. "$1" && mkdir -p "$1/.work" && ln -s "$PWD/../../.work/bin" "$1/.work/bin"
			OUT=$1/dist "$1/scripts/package.sh" release amd64 >"$1.log" 2>&1 || { cat "$1.log"; exit 1; }
			cat "$1/dist/SHA256SUMS"`, filepath.Join(dir, checkout)))
	}
	if sums[0] != sums[1] || strings.Count(sums[0], "\n") != 4 {
		t.Errorf("once:\n%s\nand again:\n%s", sums[0], sums[1])
	}
}

var commandBlock = regexp.MustCompile(`(?s)\*\*Every night,\*\*.*?\n\n((?:    [^\n]*\n)+)`)

// TestReadmeEveryNight runs what README tells a new user to type.
func TestReadmeEveryNight(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := commandBlock.FindSubmatch(readme)
	if found == nil {
		t.Fatal("README has no commands below **Every night**")
	}
	commands := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(found[1]), "\n    ", "\n")), "\n")
	if len(commands) < 5 || len(commands) > 10 {
		t.Errorf("%d commands, want 10 at most", len(commands))
	}
	m := bare(t)
	// What somebody would change in the editor: one job is left.
	if err := os.WriteFile(m.Path("/usr/bin/editor"), []byte("#!/bin/sh\nexec sed -i '/^\\[job.web1\\]/,/^$/d' \"$1\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i, command := range commands {
		out, exit := m.Run(t, command)
		if last := i == len(commands)-1; (exit == 0) == last {
			t.Fatalf("%s: exit %d\n%s", command, exit, out)
		}
	}
	if out := m.Must(t, "rsbtbackup status"); !regexp.MustCompile(`(?m)^etc +failing +\S+ +1 `).MatchString(out) {
		t.Errorf("not one backup and a failure after it:\n%s", out)
	}
	m.Must(t, "systemctl start --wait rsbtbackup-mail@rsbtbackup-all.service")
	if mail := m.Must(t, "cat /var/mail/root"); !strings.Contains(mail, "rsbtbackup-all failed") || !strings.Contains(mail, "/backup/localhost/etc is locked") {
		t.Errorf("the mail:\n%s", mail)
	}
}
