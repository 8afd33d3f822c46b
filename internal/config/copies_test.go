package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// TestCopies: what a job says of its copies, with what it inherits.
func TestCopies(t *testing.T) {
	c := load(t, `
[defaults.copy.vault]
rsh = "ssh -p 2222"
keep-daily = 30
[defaults.copy.unused]
keep-daily = 1
[job.web]
source = ["/etc", "/var/lib"]
dest = "/backup/web"
copy.vault.target = "root@vault:/backup/web/"
[job.web.copy.second]
target = "/mnt/second/web"
removable = true
keep-within = "90d"
bwlimit = "5m"
max-age = "50h"
`)
	want := []Copy{
		{Name: "second", Target: "/mnt/second/web/etc", Removable: true, MaxAge: 50 * time.Hour, Options: rsbtbackup.CopyOptions{Bwlimit: "5m", Keep: retention.Policy{Within: retention.Span{Days: 90}}}},
		{Name: "vault", Target: "root@vault:/backup/web/etc", Options: rsbtbackup.CopyOptions{SSH: []string{"ssh", "-p", "2222"}, Keep: retention.Policy{Daily: 30}}},
	}
	if d := cmp.Diff(want, c.Jobs[0].Copies); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := c.Jobs[1].Copies[0].Target; got != "/mnt/second/web/var-lib" {
		t.Errorf("the second source: %s", got)
	}
}

func TestBadCopies(t *testing.T) {
	job := func(copies string) string { return "[job.a]\nsource = \"/etc\"\ndest = \"/b/a\"\n" + copies }
	for _, tt := range []struct{ name, text, want string }{
		{"no target", job("[job.a.copy.x]\nkeep-daily = 3\n"), "[job.a.copy.x] has no target"},
		{"relative", job("copy.x.target = \"second\"\n"), "want an absolute path, or host:/path"},
		{"daemon", job("copy.x.target = \"vault::module/a\"\n"), "an rsync daemon cannot receive backups"},
		{"itself", job("copy.x.target = \"/b/a/\"\n"), "it is the dest of the job"},
		{"a dest", job("copy.x.target = \"/b/b\"\n") + "[job.b]\nsource = \"/x\"\ndest = \"/b/b\"\n", "has the dest of job b"},
		{"twice", job("copy.x.target = \"v:/x\"\ncopy.y.target = \"v:/x\"\n"), "has the same target as copy x of job a"},
		{"twice, in other words", job("copy.x.target = \"v:/x\"\ncopy.y.target = \"v:/y/..//x/\"\n"), "has the same target as copy x of job a"},
		{"not in defaults", "[defaults]\ncopy.x.target = \"/x\"\n" + job(""), "belongs into [job.NAME]"},
		{"an age without a unit", job("[job.a.copy.x]\ntarget = \"/x\"\nmax-age = 26\n"), "copy.x.max-age: 26 alone is 26 seconds: for hours write 26h"},
		{"an age in days", job("[job.a.copy.x]\ntarget = \"/x\"\nmax-age = \"2d\"\n"), `copy.x.max-age: "2d": a time has no days: for hours write 48h`},
		{"a name", job("[job.a.copy.\"../x\"]\ntarget = \"/x\"\n"), "the name of a copy has letters"},
	} {
		if got := strings.Join(problemsOf(t, "c.toml", tt.text), "\n"); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
