package doctor

import (
	"errors"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

func jobOf(source string) config.Job {
	j := config.Job{Name: "a"}
	j.Backup.Source = source
	return j
}

// What ssh, rsync and rrsync say, as they said it to the tests over a real sshd, and which step it is about.
func TestBlame(t *testing.T) {
	const over = "root@h:/s"
	for _, tt := range []struct{ source, says, step, command string }{
		{over, "rsync: remote shell failed (exit 255): ssh: Could not resolve hostname h: Name or service not known", stepHost, "getent hosts h"},
		{over, "rsync: remote shell failed (exit 255): ssh: connect to host h port 22: Connection refused", stepHost, "ssh -v root@h"},
		{over, "root@h:/s did not answer for 30s", stepHost, "ssh -v root@h"},
		{over, "rsync: remote shell failed (exit 255): Host key verification failed.", stepHostKey, "ssh-keyscan -t ed25519 h"},
		{over, "rsync: error in rsync protocol data stream (exit 12): root@h: Permission denied (publickey).", stepLogin, "ssh -v root@h"},
		{over, "rsync: remote command not found (exit 127): bash: line 1: rsync: command not found", stepRsync, ""},
		{over, "rsync: error in rsync protocol data stream (exit 12): bash: line 1: /opt/rsync: No such file or directory", stepRsync, ""},
		{over, "rsync: protocol incompatibility (exit 2): protocol version mismatch -- is your shell clean?", stepRsync, "ssh root@h true"},
		{over, "rsync: error in rsync protocol data stream (exit 12): /usr/bin/rrsync error: post-realpath open failed (race detected): /s No such file", stepSource, ""},
		{over, "rsync: some files could not be transferred (exit 23): rsync: change_dir \"/s\" failed: No such file or directory (2)", stepSource, "rsync --list-only -e ssh root@h:/s"},
		{over, "rsync: some files could not be transferred (exit 23): rsync: opendir \"/s\" failed: Permission denied (13)", stepSource, ""},
		{"h::m/s", "rsync: error starting client-server protocol (exit 5): @ERROR: Unknown module 'm'", stepSource, "rsync h::"},
		{"h::m/s", "rsync: error in socket IO (exit 10): failed to connect to h: Connection refused", stepHost, "rsync h::"},
		{"/s", "open /s: no such file or directory", stepSource, "ls -ld /s"},
	} {
		step, _, command := blame(jobOf(tt.source), errors.New(tt.says))
		if step != tt.step || strings.Join(command, " ") != tt.command {
			t.Errorf("%s, %s: step %q, command %q; want %q, %q", tt.source, tt.says, step, command, tt.step, tt.command)
		}
	}
}

// The key is asked for at the port that the job uses.
func TestThePortOfAHost(t *testing.T) {
	for rsh, want := range map[string]string{"": "h", "ssh -i /k": "h", "ssh -p 2222 -i /k": "-p 2222 h", "ssh -4 -p2222": "-p 2222 h", "ssh -p": "h"} {
		j := jobOf("root@h:/s")
		j.Backup.Rsh = rsh
		if _, _, command := blame(j, errors.New("Host key verification failed.")); strings.Join(command, " ") != "ssh-keyscan -t ed25519 "+want {
			t.Errorf("%q: %q", rsh, command)
		}
	}
}

// Each step before the one that failed went well, each after it was not tried; and an old rsync is a warning.
func TestAlongTheWay(t *testing.T) {
	levels := func(findings []Finding) string {
		var words []string
		for _, f := range findings {
			words = append(words, f.Step+" "+string(f.Level))
		}
		return strings.Join(words, ", ")
	}
	for _, tt := range []struct {
		source   string
		protocol int
		err      error
		root     bool
		want     string
	}{
		{"h:/s", 32, nil, true, "host ok, host key ok, login ok, rsync there ok, source ok"},
		{"h:/s", 30, nil, true, "host ok, host key ok, login ok, rsync there warning, source ok"},
		{"h:/s", 0, errors.New("Permission denied (publickey)"), true, "host ok, host key ok, login failed, rsync there untried, source untried"},
		{"h::m", 31, nil, true, "host ok, source ok"},
		{"/s", 0, nil, true, "source ok"},
		{"/s", 0, nil, false, "source warning"},
	} {
		if got := levels(alongTheWay(jobOf(tt.source), Options{Root: tt.root}, tt.protocol, tt.err)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.source, got, tt.want)
		}
	}
}

// A timer of the job, of its group, or of all starts it.
func TestSchedule(t *testing.T) {
	j := jobOf("/s")
	j.Table, j.Groups = "a", []string{"g"}
	for installed, want := range map[string]Level{"rsbtbackup-job-a": OK, "rsbtbackup-group-g": OK, "rsbtbackup-all": OK, "rsbtbackup-job-b": Warning} {
		f := schedule(j, Options{Starts: func(unit string) (string, error) {
			if unit == installed {
				return unit, nil
			}
			return "", nil
		}})
		if len(f) != 1 || f[0].Level != want {
			t.Errorf("%s: %+v", installed, f)
		}
	}
}
