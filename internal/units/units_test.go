package units

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

var update = flag.Bool("update", false, "rewrite testdata")

// started reads a config as the command does.
func started(t *testing.T, text string) Started {
	t.Helper()
	file := filepath.Join(t.TempDir(), "c.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	c.Files[0] = "/etc/rsbtbackup.toml"
	return Started{Name: "rsbtbackup-all", Args: []string{"--all"}, On: "daily", Program: "/usr/bin/rsbtbackup", Config: c, Jobs: c.Jobs}
}

const local = `[job.etc]
source = "/etc"
dest = "/backup/etc"
`

const remote = `[metrics]
textfile = "/var/lib/node_exporter/rsbtbackup.prom"
[run]
state = "/backup/state"
[defaults]
on-battery = false
[defaults.schedule]
random-delay = "1m30s"
io-weight = 20
[job.web]
source = ["root@web1:/etc", "root@web1:/srv"]
dest = "/backup/100% \"web\" $1"
nice = 10
ionice = "best-effort:7"
[job.usb]
source = "/home"
dest = "/media/usb/home"
removable = true
nice = 5
ionice = "best-effort:7"
[job.usb.ping]
url = "credential:ping-url"
[job.usb.http.ntfy]
url = "https://ntfy.example/x"
headers.Authorization = "credential:ntfy"
`

func TestTexts(t *testing.T) {
	user := started(t, local)
	user.User = true
	far := started(t, remote)
	far.Homes = []string{"/srv"}
	job := started(t, local)
	job.Name, job.Args, job.On = "rsbtbackup-job-a.b", []string{"a.b"}, "Mon..Fri 22:30"
	job.Program, job.Config.Files[0] = "/opt/my tools/rsbtbackup", "/etc/50%'s.toml"
	cron, err := job.Cron()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"local.service": started(t, local).Service(), "local.timer": started(t, local).Timer(),
		"remote.service": far.Service(), "remote.timer": started(t, remote).Timer(),
		"user.service": user.Service(), "cron": cron, "mail.service": Mail(false),
	} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), text); diff != "" {
			t.Errorf("%s (-want +got, -update rewrites it):\n%s", name, diff)
		}
	}
}

// TestWhatTheSandboxLeavesOpen: each of these would make a wrong backup that exits 0; see sandbox.go.
func TestWhatTheSandboxLeavesOpen(t *testing.T) {
	for _, config := range []string{local, remote} {
		text := started(t, config).Service()
		for _, closed := range []string{"ProtectHome=true", "PrivateDevices=", "RestrictSUIDSGID=", "PrivateUsers=", "ProcSubset=", "InaccessiblePaths=", "TemporaryFileSystem="} {
			if strings.Contains(text, closed) {
				t.Errorf("%s is in\n%s", closed, text)
			}
		}
		if strings.Contains(text, "DevicePolicy=") && !strings.Contains(text, "DeviceAllow=char-* m\nDeviceAllow=block-* m\n") {
			t.Errorf("mknod is refused in\n%s", text)
		}
	}
}

// TestWhatASourceHas is hidden from no job that reads it.
func TestWhatASourceHas(t *testing.T) {
	for _, tt := range []struct {
		source, dest  string
		modules, logs bool // they are hidden
		home          bool // it is read-only
	}{
		{"/etc", "/backup/a", true, true, true},
		{"/", "/backup/a", false, false, true},
		{"/usr", "/backup/a", false, true, true},
		{"/usr/lib/modules/6", "/backup/a", false, true, true},
		{"/lib", "/backup/a", false, true, true},
		{"/dev/shm", "/backup/a", true, false, true},
		{"web:/", "/backup/a", true, true, true},
		{"/etc", "/home", true, true, false},
		{"/etc", "/home/backup", true, true, true},
	} {
		text := started(t, "[job.a]\nsource = \""+tt.source+"\"\ndest = \""+tt.dest+"\"\n").Service()
		for setting, want := range map[string]bool{"ProtectKernelModules=true": tt.modules, "ProtectKernelLogs=true": tt.logs, "ProtectHome=read-only": tt.home} {
			if got := strings.Contains(text, "\n"+setting+"\n"); got != want {
				t.Errorf("%v: %s: %v", tt, setting, got)
			}
		}
	}
}

func TestPrivateTmp(t *testing.T) {
	for _, tt := range []struct {
		source, dest, more string
		want               bool
	}{
		{"/etc", "/backup/a", "", true},
		{"/tmpfiles", "/backup/a", "", true},
		{"web:/tmp", "/backup/a", "", true},
		{"/", "/backup/a", "", false},
		{"/var", "/backup/a", "", false},
		{"/tmp", "/backup/a", "", false},
		{"/var/tmp/x", "/backup/a", "", false},
		{"/etc", "/tmp/a", "", false},
		{"/etc", "/backup/a", `exclude-from = "/tmp/x"`, false},
		{"/etc", "/backup/a", `rsync = "/tmp/rsync"`, false},
		{"/etc", "/backup/a", `hooks.before = ["/usr/bin/dump"]`, true},
	} {
		s := started(t, "[job.a]\nsource = \""+tt.source+"\"\ndest = \""+tt.dest+"\"\n"+tt.more)
		if got := strings.Contains(s.Service(), "PrivateTmp=true"); got != tt.want {
			t.Errorf("%v: %v", tt, got)
		}
	}
}

// TestWhatJobsAgreeOn: what stands in one unit must be right for every job in it.
func TestWhatJobsAgreeOn(t *testing.T) {
	for _, tt := range []struct {
		a, b    string
		has, no string // a line of the units
	}{
		{"nice = 5", "nice = 10", "Nice=5", ""},
		{"nice = 5", "", "", "Nice="},
		{`ionice = "idle"`, `ionice = "idle"`, "IOSchedulingClass=idle", "IOSchedulingPriority"},
		{`ionice = "idle"`, "", "", "IOSchedulingClass="},
		{"schedule.io-weight = 10", "schedule.io-weight = 20", "IOWeight=20", ""},
		{"schedule.io-weight = 10", "", "", "IOWeight="},
		{"schedule.io-weight = 200", "", "IOWeight=200", ""},
		{"on-battery = false", "on-battery = false", "ConditionACPower=true", ""},
		{"on-battery = false", "", "", "ConditionACPower="},
		{`schedule.random-delay = "0s"`, `schedule.random-delay = "0s"`, "", "RandomizedDelaySec="},
		{`schedule.random-delay = "0s"`, "", "RandomizedDelaySec=900", ""},
		{`schedule.random-delay = "1h"`, "", "RandomizedDelaySec=3600", ""},
		{"", "removable = true", "RequiresMountsFor=/backup/a", "RequiresMountsFor=/backup/a /backup/b"},
		{"", "", "RestrictAddressFamilies=AF_UNIX", "network-online"},
		{"", `ping.url = "https://hc.example/x"`, "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK", ""},
	} {
		s := started(t, "[job.a]\nsource = \"/a\"\ndest = \"/backup/a\"\n"+tt.a+"\n[job.b]\nsource = \"/b\"\ndest = \"/backup/b\"\n"+tt.b)
		text := s.Service() + s.Timer()
		if tt.has != "" && !strings.Contains(text, "\n"+tt.has+"\n") || tt.no != "" && strings.Contains(text, tt.no) {
			t.Errorf("%q and %q: want %q, not %q, in\n%s", tt.a, tt.b, tt.has, tt.no, text)
		}
	}
}

func TestCronFields(t *testing.T) {
	for on, want := range map[string]string{
		"daily": "0 0 * * *", "Weekly": "0 0 * * 1", "hourly": "0 * * * *", "yearly": "0 0 1 1 *",
		"02:30": "30 2 * * *", "2:05:00": "5 2 * * *", "*-*-* 02:30": "30 2 * * *", "Mon..Fri 22:00": "0 22 * * 1,2,3,4,5",
		"Sat,Sunday 04:00": "0 4 * * 6,0", "Fri..Mon 04:00": "0 4 * * 5,6,0,1", "Mon": "0 0 * * 1", "*-*-01 03:00": "0 3 1 * *",
		"*-01,07-01 03:00": "0 3 1 1,7 *", "*:0/15": "*/15 * * * *", "*:5/15": "5-59/15 * * * *", "8..18:00": "0 8-18 * * *",
		"8..18/2:30": "30 8-18/2 * * *", "Mon *-*-* 01:00": "0 1 * * 1",
		"": "", "xyz": "", "02:30:15": "", "2026-11-29 02:30": "", "Mon *-*-01 02:30": "", "24:00": "", "02:60": "", "02:30 UTC": "",
		"*-*-32 01:00": "", "5..2:00": "", "*:0/0": "", "Mon..Xyz 01:00": "", "*-*~01 01:00": "", "02:30\n* * * * * root x": "",
	} {
		got, err := CronFields(on)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", on, got, err, want)
		}
	}
}

// FuzzCronFields: every result has five fields in one line.
func FuzzCronFields(f *testing.F) {
	for _, seed := range []string{"daily", "Mon..Fri 02:30", "*-*-01 *:0/15", "8..18/2:00:00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, on string) {
		fields, err := CronFields(on)
		if err == nil && (len(strings.Split(fields, " ")) != 5 || strings.ContainsAny(fields, "\n%\t\\'\"")) {
			t.Errorf("%q: %q", on, fields)
		}
	})
}

func TestDelayIsRoundedUp(t *testing.T) {
	s := started(t, local)
	half := 500 * time.Millisecond
	s.Jobs[0].Schedule.RandomDelay = &half
	if text := s.Timer(); !strings.Contains(text, "RandomizedDelaySec=1\n") {
		t.Error(text)
	}
}

// TestCopiesInTheSandbox: a copy is written to, or reached by the network, and must not keep the backup itself from
// being made.
func TestCopiesInTheSandbox(t *testing.T) {
	s := started(t, local+`[job.etc.copy.second]
target = "/mnt/second/etc"
[job.etc.copy.usb]
target = "/tmp/usb/etc"
removable = true
`)
	text := s.Service()
	for _, want := range []string{
		"\nReadWritePaths=-/backup/etc -/mnt/second/etc -/tmp/usb/etc\n", "\nRequiresMountsFor=/backup/etc\n", "\nRestrictAddressFamilies=AF_UNIX\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "PrivateTmp=true") {
		t.Error("a copy in /tmp is hidden")
	}
	far := started(t, local+"[job.etc.copy.vault]\ntarget = \"root@vault:/backup/etc\"\n").Service()
	for _, want := range []string{
		"\nReadWritePaths=-/backup/etc\n", "\nAfter=network-online.target\n", "\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n",
	} {
		if !strings.Contains(far, want) {
			t.Errorf("no %q in\n%s", want, far)
		}
	}
}

// TestCronHasNoLineOfAPath: a crontab has no escape for a line break, and what follows one would be a line of its own.
func TestCronHasNoLineOfAPath(t *testing.T) {
	for _, path := range []string{"/etc/a\n* * * * * root id/c.toml", "/etc/a\r/c.toml"} {
		s := started(t, local)
		s.Config.Files[0] = path
		if text, err := s.Cron(); err == nil {
			t.Errorf("%q: %s", path, text)
		}
	}
}

// TestHooksRunOutside: the service needs nothing for them but its own name. Those of a user run inside, and nothing is
// closed.
func TestHooksRunOutside(t *testing.T) {
	hooked := started(t, local+"hooks.after = [\"/usr/bin/dump\"]\n")
	without, with := started(t, local).Service(), hooked.Service()
	for _, line := range []string{
		"# Hooks run outside of the sandbox. Those that are left when all else was killed are stopped.", "Environment=RSBTBACKUP_SERVICE=%N",
		"ExecStopPost=-systemctl stop rsbtbackup-hook-%N-*.service", "Wants=network-online.target", "After=network-online.target",
	} {
		if strings.Contains(without, line+"\n") || !strings.Contains(with, line+"\n") {
			t.Errorf("%s: without hooks\n%s\nwith\n%s", line, without, with)
		}
		with = strings.Replace(with, line+"\n", "", 1)
	}
	if diff := cmp.Diff(without, with); diff != "" {
		t.Error(diff)
	}
	hooked.User = true
	if text := hooked.Service(); strings.Contains(text, "NoNewPrivileges=") || strings.Contains(text, "SystemCall") || strings.Contains(text, "RSBTBACKUP_SERVICE") {
		t.Errorf("of a user:\n%s", text)
	}
}
