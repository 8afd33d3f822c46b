//go:build integration

package timers_test

import (
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testboot"
)

// hooked: what hooks do most often, and what no sandbox lets them do.
const hooked = `
[job.data]
source = "/srv/data"
dest = "/backup/data"
[job.data.hooks]
before = [
	["/usr/sbin/runuser", "-u", "dba", "--", "/bin/sh", "-c", "id -un >/var/lib/dba/runuser"],
	["/usr/bin/sudo", "-n", "-u", "dba", "/bin/sh", "-c", "id -un >/var/lib/dba/sudo"],
	["/bin/su", "dba", "-c", "id -un >/var/lib/dba/su"],
	["/bin/sh", "-c", "cat /var/lib/dba/* >/srv/data/dump; mount -t tmpfs tmpfs /srv/data/mounted && echo in >/srv/data/mounted/file"],
	["/bin/sh", "-c", "echo $$ >/srv/data/process; pgrep -x systemd-journal >/srv/data/others; printf %s \"$0\" >/srv/data/words; umask >/srv/data/umask", "$HOME ${PATH} 100%"],
	["/bin/sh", "-c", "until systemd-inhibit --list | grep -q rsbtbackup; do sleep 0.05; done"],
	["/bin/sh", "-c", "echo \"$RSBTBACKUP_HOOK $RSBTBACKUP_JOB $RSBTBACKUP_DEST\" >/srv/data/told"],
]
finally = ["/bin/sh", "-c", "umount /srv/data/mounted; cat \"$RSBTBACKUP_LOG\" >/srv/log"]
[job.bad]
source = "/srv/data"
dest = "/backup/bad"
hooks.before = ["/bin/sh", "-c", "echo no database; exit 7"]
[job.missing]
source = "/srv/data"
dest = "/backup/missing"
hooks.before = ["/nowhere/hook"]
[job.slow]
source = "/srv/data"
dest = "/backup/slow"
[job.slow.hooks]
before = ["/usr/sbin/runuser", "-u", "dba", "--", "/bin/sh", "-c", "trap '' TERM; exec sleep 1000"]
timeout = "1s"
`

// TestHooksInTheService: they do what they do when "run" is called by hand, and are ended with the service.
func TestHooksInTheService(t *testing.T) {
	t.Parallel()
	m := boot(t, testboot.Options{})
	m.Must(t, "mount --make-rshared /") // as systemd does where it is in no container
	m.Must(t, "useradd --system --create-home --home-dir /var/lib/dba dba; mkdir -p /srv/data/mounted; systemctl start dbus.socket")
	m.Must(t, "cd /backup; umask 077; for j in data bad missing slow killed; do mkdir $j && rsbtbackup init $j || exit; done")
	put(t, m, "/etc/rsbtbackup.toml", hooked, 0o600)
	m.Must(t, "rsbtbackup schedule --all --on=daily --install")
	if _, exit := m.Run(t, "systemctl start --wait rsbtbackup-all.service"); exit == 0 {
		t.Error("no hook failed")
	}
	log := m.Must(t, "journalctl -u rsbtbackup-all.service --no-pager --output=cat")
	for _, want := range []string{
		"bad: hooks.before: /bin/sh: exit status 7: no database", "missing: hooks.before: /nowhere/hook: cannot be started: no such file or directory",
		"slow: hooks.before: /usr/sbin/runuser: it took longer than 1s", "3 of 4 jobs did not succeed",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in\n%s", want, log)
		}
	}
	for file, want := range map[string]string{
		"dump": "dba\ndba\ndba", "mounted/file": "in", "words": "$HOME ${PATH} 100%", "umask": "0077", "told": "before data /backup/data",
	} {
		if got := m.Must(t, "cat /backup/data/cur/"+file); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q\n%s", file, got, want, log)
		}
	}
	m.Must(t, "test -s /backup/data/cur/others && ! mountpoint -q /srv/data/mounted && grep -q 'step=backup status=ok' /srv/log && ! pgrep -u dba -x sleep && ! systemd-inhibit --list | grep rsbtbackup")

	put(t, m, "/etc/rsbtbackup.toml", "[job.killed]\nsource = \"/srv/data\"\ndest = \"/backup/killed\"\n"+
		"hooks.before = ['/usr/sbin/runuser', '-u', 'dba', '--', '/bin/sh', '-c', 'touch /var/lib/dba/begun; exec sleep 1000']\n", 0o600)
	m.Must(t, "systemctl start --no-block rsbtbackup-all.service; until test -e /var/lib/dba/begun; do sleep 0.05; done")
	m.Must(t, "systemctl kill --signal=KILL rsbtbackup-all.service; until systemctl is-failed rsbtbackup-all.service; do sleep 0.05; done")
	if left, _ := m.Run(t, "pgrep -u dba -x sleep; systemctl list-units --all --plain --no-legend 'rsbtbackup-hook-*'; ls /tmp/rsbtbackup* 2>/dev/null"); left != "" {
		t.Errorf("left of a service that was killed:\n%s", left)
	}
}
