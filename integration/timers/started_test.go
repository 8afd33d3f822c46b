//go:build integration

package timers_test

import (
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testboot"
)

// until waits for a command line of the machine to succeed, for half a minute at most.
func until(t *testing.T, m *testboot.Machine, line, what string) {
	t.Helper()
	if out, exit := m.Run(t, "for i in {1..600}; do if "+line+"; then exit; fi; sleep 0.05; done; exit 1"); exit != 0 {
		t.Fatalf("%s, which did not come about: %s\n%s\n%s", line, what, out, m.Must(t, "journalctl --no-pager --lines=60"))
	}
}

// TestTheMailArrives: a mail transport of Debian delivers the mail about a failed service to the mailbox of root.
func TestTheMailArrives(t *testing.T) {
	t.Parallel()
	m := boot(t, testboot.Options{})
	put(t, m, "/etc/rsbtbackup.toml", "[job.gone]\nsource = \"/srv/gone\"\ndest = \"/backup/gone\"\n", 0o600)
	m.Must(t, "mkdir -m 0700 /backup/gone && rsbtbackup init /backup/gone")
	m.Must(t, "rsbtbackup schedule --all --on=daily --install")
	if _, exit := m.Run(t, "systemctl start --wait rsbtbackup-all.service"); exit == 0 {
		t.Fatal("it did not fail")
	}
	until(t, m, "grep -qs '^Subject: .*: rsbtbackup-all failed$' /var/mail/root && grep -q '1 of 1 job did not succeed: gone' /var/mail/root", "a mail to root")
	if mail := m.Must(t, "cat /var/mail/root"); !strings.Contains(mail, "/srv/gone") || !strings.Contains(mail, "rsbtbackup doctor gone") {
		t.Errorf("the mail does not say why, or what to do:\n%s", mail)
	}
}

// TestCronStartsIt: cron runs the file that is written where systemd did not start the machine, and mails errors.
func TestCronStartsIt(t *testing.T) {
	t.Parallel()
	m := boot(t, testboot.Options{})
	put(t, m, "/etc/rsbtbackup.toml", "[job.good]\nsource = \"/srv/good\"\ndest = \"/backup/100% good\"\n[job.gone]\nsource = \"/srv/gone\"\ndest = \"/backup/gone\"\n", 0o600)
	m.Must(t, `mkdir -p /srv/good && echo one >/srv/good/file && cd /backup && mkdir -m 0700 '100% good' gone && rsbtbackup init '100% good' && rsbtbackup init gone`)
	m.Must(t, "rm -f /etc/cron.d/* && mkdir /run/systemd/away && mv /run/systemd/system /run/systemd/away/")
	if out := m.Must(t, "rsbtbackup schedule --all --on=minutely --install"); !strings.Contains(out, "wrote /etc/cron.d/rsbtbackup-all") {
		t.Error(out)
	}
	// cron starts jobs when a minute begins: the test makes it believe that one does.
	m.Must(t, `LD_PRELOAD=$(echo /usr/lib/*/faketime/libfaketime.so.1) FAKETIME="+$(((117 - 10#$(date +%S)) % 60))s" cron -f </dev/null >/dev/null 2>&1 &`)
	until(t, m, "test -e '/backup/100% good/cur/file'", "a backup started by cron")
	until(t, m, "grep -qs '1 of 2 jobs did not succeed: gone' /var/mail/root", "a mail of cron")
	if mail := m.Must(t, "cat /var/mail/root"); !strings.Contains(mail, "/srv/gone") || strings.Contains(mail, "RESULT") {
		t.Errorf("the mail does not say why, or has the table:\n%s", mail)
	}
}

// TestAUsersTimer: the service manager of a user runs jobs without a login, and a failure is mailed to the user.
func TestAUsersTimer(t *testing.T) {
	t.Parallel()
	m := boot(t, testboot.Options{})
	m.Must(t, "useradd --create-home --shell /bin/bash eve && install -d -m 0700 -o eve /backup/eve && systemctl start dbus.socket && loginctl enable-linger eve")
	until(t, m, "test -S /run/user/$(id -u eve)/systemd/private", "the manager of the user")
	const asEve = "runuser -u eve -- env -C /home/eve HOME=/home/eve XDG_RUNTIME_DIR=/run/user/$(id -u eve) "
	put(t, m, "/home/eve/.config/rsbtbackup.toml", "[defaults.schedule]\nrandom-delay = \"0s\"\n[job.home]\nsource = \"/home/eve/data\"\ndest = \"/backup/eve\"\n"+
		"hooks.before = [\"/bin/sh\", \"-c\", \"date >/home/eve/data/dump\"]\n", 0o600)
	m.Must(t, "mkdir /home/eve/data && chown -R eve: /home/eve && "+asEve+"rsbtbackup init /backup/eve")
	// systemd puts a timer off for a minute, unless it is told to be accurate.
	m.Must(t, asEve+`bash -c 'mkdir -p .config/systemd/user/rsbtbackup-all.timer.d && printf "[Timer]\nAccuracySec=1\n" >.config/systemd/user/rsbtbackup-all.timer.d/now.conf'`)
	out := m.Must(t, asEve+"rsbtbackup schedule --all --on='*:*:*' --user --install")
	if !strings.Contains(out, "ran   systemctl --user enable --now rsbtbackup-all.timer") {
		t.Error(out)
	}
	until(t, m, "test -s /backup/eve/cur/dump", "a backup started by the timer of a user")
	m.Must(t, asEve+"rsbtbackup status | grep -q '^home '")
	m.Must(t, asEve+"mv data away")
	until(t, m, "grep -qs '^Subject: .*: rsbtbackup-all failed$' /var/mail/eve", "a mail to the user")
	m.Must(t, asEve+"rsbtbackup schedule --all --user --remove")
}
