package config

import (
	"strings"
	"testing"
)

func TestShell(t *testing.T) {
	const pinned = " -o UserKnownHostsFile=/h -o GlobalKnownHostsFile=none -o StrictHostKeyChecking=yes"
	for _, tt := range []struct {
		s                       SSH
		rsh, source, want, says string
	}{
		{SSH{}, "any thing", "h:/s", "any thing", ""},
		{SSH{Identity: "/k"}, "", "/local", "", ""},
		{SSH{Identity: "/k"}, "", "h::module", "", ""},
		{SSH{Identity: "/k"}, "", "rsync://h/module", "", ""},
		{SSH{Identity: "/k"}, "", "h:/s", "ssh -i /k -o IdentitiesOnly=yes", ""},
		{SSH{Identity: "/k"}, "", "[::1]:/s", "ssh -i /k -o IdentitiesOnly=yes", ""},
		{SSH{User: "u"}, "/usr/bin/ssh -p 22", "h:/s", "/usr/bin/ssh -p 22 -l u", ""},
		{SSH{User: "u"}, "", "root@h:/s", "ssh", ""},
		{SSH{User: "u"}, "", "h:/a@b:c", "ssh -l u", ""},
		{SSH{KnownHosts: "/h"}, "", "h:/s", "ssh" + pinned, ""},
		{SSH{"/k", "u", "/h"}, "ssh -4", "h:/s", "ssh -4 -i /k -o IdentitiesOnly=yes -l u" + pinned, ""},
		{SSH{User: "u"}, "myssh -4", "h:/s", "", "give them in rsh"},
		{SSH{User: "-oProxyCommand=x"}, "", "h:/s", "", "no name of a user"},
		{SSH{User: "a b"}, "", "h:/s", "", "no name of a user"},
		{SSH{Identity: "k"}, "", "h:/s", "", "absolute path"},
		{SSH{Identity: "/a b"}, "", "h:/s", "", "absolute path"},
		{SSH{KnownHosts: "/${HOME}"}, "", "h:/s", "", "absolute path"},
		{SSH{KnownHosts: "/a' -o ProxyCommand=x '"}, "", "h:/s", "", "absolute path"},
	} {
		got, err := tt.s.Shell(tt.rsh, tt.source)
		if got != tt.want || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v, %q, %q: %q, %v", tt.s, tt.rsh, tt.source, got, err)
		}
	}
}

// The shell of a job has what its keys say; what runs a job need not know of them.
func TestShellOfJobs(t *testing.T) {
	c := load(t, "[defaults]\nssh-identity = '/k'\nssh-user = 'u'\n[job.a]\nsource = ['h:/s', 'root@g:/s/b', '/l']\ndest = '/b/a'\n")
	var got []string
	for _, j := range c.Jobs {
		got = append(got, j.Backup.Rsh)
	}
	const login = "ssh -i /k -o IdentitiesOnly=yes"
	if strings.Join(got, "|") != login+" -l u|"+login+"|" {
		t.Errorf("%q", got)
	}
}

// Marks in [defaults] are for sources on this machine: rsync has no such rule.
func TestMarksInDefaults(t *testing.T) {
	c := load(t, "[defaults]\nexclude-caches = true\nexclude-if-present = '.x'\n[job.a]\nsource = ['h:/s', '/l']\ndest = '/b/a'\n[job.b]\nsource = 'h:/b'\ndest = '/b/b'\nexclude-caches = false\n")
	for i, want := range []bool{false, true, false} {
		if b := c.Jobs[i].Backup; b.ExcludeCaches != want || (len(b.ExcludeIfPresent) > 0) != want {
			t.Errorf("%s: %v, %q", b.Source, b.ExcludeCaches, b.ExcludeIfPresent)
		}
	}
}
