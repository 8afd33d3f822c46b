//go:build integration

package leastprivilege

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
)

// world is what the page speaks of.
type world struct {
	t            *testing.T
	web1, backup host
	disk         string // for /backup
	key          string // the public one
	commands     []typed
}

func newWorld(t *testing.T) *world {
	t.Helper()
	disk := loopfs.New(t, "512M")
	web1 := newHost(t, disk, "etc root srv var/lib", "unshare", "--net")
	backup := newHost(t, disk, "etc root", "nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", web1.pid))
	w := &world{t: t, web1: web1, backup: backup, disk: disk, commands: page(t)}
	for _, h := range []host{web1, backup} {
		h.must("echo '127.0.0.1 localhost web1' >/etc/hosts; rm -rf /root/.ssh; install -d -m 0700 /root/.ssh")
	}
	web1.must(`mkdir -p /srv/data/closed; cd /srv/data; echo text >a; echo secret >closed/secret; chmod 0600 closed/secret; chmod 0700 closed
		setfacl -m u:1:r a; setfattr -n user.x -v y a; cp /bin/true tool; setcap cap_net_raw+ep tool; chown 1000:1000 closed; ln -s /etc out; ln a hard`)
	web1.serve()
	return w
}

// line is a command of the page with the real key and directory.
func (w *world) line(c typed) string {
	return strings.NewReplacer("ssh-ed25519 AAAA", w.key, "/backup/web1", w.dest()).Replace(c.line)
}

func (w *world) dest() string { return filepath.Join(w.disk, "web1") }

// types runs the commands below a heading, in their order.
func (w *world) types(section string) {
	w.t.Helper()
	ran := false
	for _, c := range w.commands {
		if !strings.HasPrefix(c.section, section) {
			continue
		}
		ran = true
		h := w.web1
		if c.host == "backup" {
			h = w.backup
		}
		out := h.must(w.line(c))
		if strings.HasPrefix(c.line, "cat ") {
			w.key = strings.TrimSpace(out)
		}
	}
	if !ran {
		w.t.Fatalf("docs/SSH.md has no command below %q", section)
	}
}

// TestTheCommandsOfTheSSHPage: every command of docs/SSH.md works as it stands there, each of the three accounts makes
// backups that are the source, by every option, and none of them lets anybody do anything else.
func TestTheCommandsOfTheSSHPage(t *testing.T) {
	w := newWorld(t)
	w.types("A key")
	for _, account := range []struct{ section, user string }{{"1.", "root"}, {"2.", "backup-reader"}, {"3.", "backup-sudo"}} {
		t.Run(account.user, func(t *testing.T) {
			w := *w
			w.t, w.web1.t, w.backup.t = t, t, t
			w.disk = filepath.Join(w.disk, account.user)
			must(t, os.MkdirAll(w.dest(), 0o700))
			w.types(account.section)
			for i, c := range w.commands {
				w.commands[i].line = strings.NewReplacer("root@web1", account.user+"@web1").Replace(c.line)
			}
			w.types("The backup")
			w.wantSame()
			w.options(account.user)
			w.attacks(account.user)
			for i, c := range w.commands {
				w.commands[i].line = strings.NewReplacer(account.user+"@web1", "root@web1").Replace(c.line)
			}
		})
	}
	w.takenOver()
	w.otherKeys()
}

// wantSame compares the newest backup with the source, in everything.
func (w *world) wantSame() {
	w.t.Helper()
	out, err := exec.Command("rsync", "-aHAXnic", "--numeric-ids", "--delete", w.web1.path("/srv/data/"), w.dest()+"/cur/").CombinedOutput()
	if err != nil || len(out) > 0 {
		w.t.Errorf("the backup is not its source: %v\n%s", err, out)
	}
}

const login = " --ssh-identity=/root/.ssh/backup --ssh-known-hosts=/etc/rsbtbackup.known_hosts"

// options: rrsync admits what rsbtbackup asks for, with each of its options.
func (w *world) options(user string) {
	w.t.Helper()
	for _, flags := range []string{"-n", "-c -x --no-inplace --timeout=60 --exclude=hard --filter='- tool'", "--bwlimit=100m --max-delete-percent=90 --partial=refuse -- -z --fuzzy --skip-compress=gz"} {
		w.web1.must("date +%N >/srv/data/changed")
		w.backup.must("rsbtbackup backup -q " + user + "@web1:/ " + w.dest() + login + " " + flags)
	}
	w.wantSame()
	w.backup.must("rsbtbackup verify -q " + w.dest() + " latest --against " + user + "@web1:/" + login)
	if out, ok := w.backup.try("rsbtbackup backup " + user + "@web1:/closed/../../../etc " + w.dest() + login); ok {
		w.t.Errorf("a backup of another directory: %s", out)
	}
}

// attacks are tried by who has the key.
func (w *world) attacks(user string) {
	w.t.Helper()
	const all = "/srv/data /etc /root/.ssh /var/lib/backup-reader /var/lib/backup-sudo"
	loot := w.t.TempDir()
	ssh := "ssh -F none -i /root/.ssh/backup -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile=/etc/rsbtbackup.known_hosts"
	rsync := "rsync -e '" + ssh + "' "
	at := user + "@web1"
	before := w.web1.snapshot(existing(w.web1, all))
	var group sync.WaitGroup
	some := make(chan struct{}, 5)
	for _, line := range []string{
		ssh + " " + at + " id",
		ssh + " " + at + " </dev/null",
		ssh + " -tt " + at + " </dev/null",
		ssh + " " + at + " 'rsync --server . /'",
		ssh + " " + at + " 'rsync --server --daemon .'",
		ssh + " " + at + " 'rsync --server --sender -logDtpre.iLsfxCIvu . /; id >/srv/data/evil'",
		ssh + " " + at + " 'rsync --server --sender -e.iLsfxCIvu --log-file=/srv/data/evil . /'",
		ssh + " -o SetEnv=SSH_ORIGINAL_COMMAND=id " + at + " id",
		ssh + " -N -o ExitOnForwardFailure=yes -R 2222:localhost:22 " + at,
		ssh + " -W localhost:22 " + at + " </dev/null",
		rsync + "/etc/hostname " + at + ":/evil",
		rsync + "-r --delete /var/empty/ " + at + ":/",
		rsync + "--remove-source-files " + at + ":/a " + loot,
		rsync + at + ":/../../etc/shadow " + loot,
		rsync + at + ":/etc/shadow " + loot,
		rsync + at + ":/out/shadow " + loot,
		rsync + "-rL " + at + ":/out " + loot,
		rsync + "--copy-unsafe-links -r " + at + ":/out/ " + loot,
		rsync + "--files-from=:/../../etc/shadow " + at + ":/ " + loot,
		rsync + "--rsync-path='rsync --log-file=/srv/data/evil' " + at + ":/a " + loot,
		rsync + "--rsync-path='id; rsync' " + at + ":/a " + loot,
		"scp -F none -i /root/.ssh/backup -o UserKnownHostsFile=/etc/rsbtbackup.known_hosts " + at + ":/etc/shadow " + loot,
		"echo 'get /etc/shadow " + loot + "/shadow' | sftp -F none -i /root/.ssh/backup -o UserKnownHostsFile=/etc/rsbtbackup.known_hosts -b - " + at,
	} {
		group.Go(func() {
			some <- struct{}{} // sshd lets ten in that have not shown who they are
			out, ok := w.backup.try("timeout 20 " + line)
			if ok || strings.Contains(out, "uid=") {
				w.t.Errorf("it worked: %s\n%s", line, out)
			}
			<-some
		})
	}
	group.Wait()
	if got, err := exec.Command("find", loot, "-mindepth", "1").Output(); err != nil || len(got) > 0 {
		w.t.Errorf("was fetched: %v\n%s", err, got)
	}
	if after := w.web1.snapshot(existing(w.web1, all)); after != before {
		w.t.Errorf("web1 was changed: before\n%s\nafter\n%s", before, after)
	}
}

// existing are those of the directories that are there.
func existing(h host, dirs string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(dirs), func(dir string) bool {
		_, err := os.Lstat(h.path(dir))
		return err != nil
	}), " ")
}

// takenOver: what an intruder in an account on web1 can do.
func (w *world) takenOver() {
	w.t.Helper()
	before := w.web1.snapshot("/srv/data /etc /var/lib/backup-reader /var/lib/backup-sudo")
	for _, line := range []string{
		"su backup-reader -c '/var/lib/backup-reader/rsync /etc/hostname /srv/data/evil'",
		"su backup-reader -c '/var/lib/backup-reader/rsync /etc/hostname /etc/passwd'",
		"su backup-reader -c 'echo >>/var/lib/backup-reader/.ssh/authorized_keys'",
		"su backup-reader -c 'cp /bin/sh /var/lib/backup-reader/rsync'",
		"su backup-reader -c 'cat /srv/data/closed/secret'",
		"su nobody -s /bin/sh -c '/var/lib/backup-reader/rsync /etc/shadow /dev/shm/evil'",
		"su backup-sudo -c 'sudo -n id'",
		"su backup-sudo -c 'sudo -n rsync /etc/hostname /srv/data/evil'",
		"su backup-sudo -c 'sudo -n /usr/bin/rrsync /srv/data'",
		"su backup-sudo -c 'sudo -n /usr/bin/rrsync -ro /'",
		"su backup-sudo -c 'SSH_ORIGINAL_COMMAND=\"rsync --server . /\" sudo -n /usr/bin/rrsync -ro /srv/data'",
		"su backup-sudo -c 'PYTHONINSPECT=1 SSH_ORIGINAL_COMMAND=id sudo -n /usr/bin/rrsync -ro /srv/data </dev/null'",
		"su backup-sudo -c 'echo >>/var/lib/backup-sudo/.ssh/authorized_keys'",
		"su backup-sudo -c 'cat /srv/data/closed/secret'",
	} {
		if out, ok := w.web1.try(line); ok {
			w.t.Errorf("it worked: %s\n%s", line, out)
		}
	}
	if after := w.web1.snapshot("/srv/data /etc /var/lib/backup-reader /var/lib/backup-sudo"); after != before {
		w.t.Errorf("web1 was changed: before\n%s\nafter\n%s", before, after)
	}
}

// otherKeys: a host that shows another key is refused, and so is a stranger.
func (w *world) otherKeys() {
	w.t.Helper()
	w.backup.must("ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/stranger; echo \"web1 $(cut -d' ' -f1,2 /root/.ssh/stranger.pub)\" >/etc/other.known_hosts; : >/etc/empty.known_hosts")
	dest := filepath.Join(w.disk, "root", "web1")
	for _, tt := range []struct{ flags, says string }{
		{"--ssh-identity=/root/.ssh/stranger --ssh-known-hosts=/etc/rsbtbackup.known_hosts", "Permission denied"},
		{"--ssh-identity=/root/.ssh/backup --ssh-known-hosts=/etc/other.known_hosts", "Host key verification failed"},
		{"--ssh-identity=/root/.ssh/backup --ssh-known-hosts=/etc/empty.known_hosts", "Host key verification failed"},
		{"--ssh-identity=/root/.ssh/backup --ssh-known-hosts=/etc/rsbtbackup.known_hosts --ssh-user=nobody -e 'ssh -o BatchMode=yes'", ""},
	} {
		source := "root@web1:/ "
		out, ok := w.backup.try("rsbtbackup backup " + source + dest + " " + tt.flags)
		if ok != (tt.says == "") || !strings.Contains(out, tt.says) {
			w.t.Errorf("%s: %v\n%s", tt.flags, ok, out)
		}
	}
}
