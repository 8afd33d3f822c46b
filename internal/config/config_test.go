package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// files writes files, named and then their text, and returns the directory.
func files(t testing.TB, pairs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(pairs); i += 2 {
		name := filepath.Join(dir, pairs[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(pairs[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// load reads a file of that text, which must be right.
func load(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Load(filepath.Join(files(t, "c.toml", text), "c.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// problemsOf reads a main file and others, and returns what is wrong, with DIR for the directory.
func problemsOf(t *testing.T, pairs ...string) []string {
	t.Helper()
	dir := files(t, pairs...)
	_, err := Load(filepath.Join(dir, pairs[0]))
	var problems Problems
	if err != nil && !errors.As(err, &problems) {
		t.Fatalf("%T: %v", err, err)
	}
	if err != nil && !errors.Is(err, ErrConfig) {
		t.Errorf("%v does not match ErrConfig", err)
	}
	texts := []string{}
	for _, p := range problems {
		texts = append(texts, strings.ReplaceAll(p.String(), dir+"/", ""))
	}
	return texts
}

const good = "[job.a]\nsource = '/etc'\ndest = '/b/a'\n"

func TestBadInput(t *testing.T) {
	for _, tt := range []struct {
		name string
		text string
		want []string
	}{
		{"all is well", good, []string{}},
		{"no TOML", "[job.a]\nsource = /etc\n", []string{"c.toml:2: no TOML: "}},
		{"a key twice", "[job.a]\nsource = '/a'\nsource = '/b'\n", []string{"c.toml:3: no TOML: "}},
		{"an empty file", "", []string{"c.toml: there is no job: a table [job.NAME] with source and dest makes one"}},
		{"an empty job", "[job.x]\n" + good, []string{"c.toml:1: [job.x] is empty: it needs source and dest"}},
		{"no dest", "[job.x]\nsource = '/etc'\n", []string{"c.toml:1: [job.x] has no dest"}},
		{"no source", "[job.x]\ndest = '/b'\n", []string{"c.toml:1: [job.x] has no source"}},
		{"an unknown key", good + "keep-dayly = 7\n", []string{`c.toml:4: unknown key "keep-dayly" in [job.a]; did you mean keep-daily?`}},
		{"an unknown key far from all others", good + "zzzzzzzzzzzz = 7\n", []string{`c.toml:4: unknown key "zzzzzzzzzzzz" in [job.a]`}},
		{"an unknown key within a table", good + "[job.a.verify]\nevry = '7d'\n", []string{`c.toml:5: unknown key "verify.evry" in [job.a]; did you mean verify.every?`}},
		{"an unknown key at the top", "incldue = 'x'\n" + good, []string{`c.toml:1: unknown key "incldue" at the top; did you mean include?`}},
		{"an unknown key of run", good + "[run]\njosb = 2\n", []string{"c.toml:5: unknown key run.josb; did you mean run.jobs?"}},
		{"an unknown table, told once", "[jobs.a]\nsource = '/etc'\ndest = '/b'\n" + good, []string{"c.toml:1: unknown table [jobs.a]; did you mean job?"}},
		{"an unknown table in a job", good + "[job.a.verfy]\nevery = '7d'\n", []string{"c.toml:4: unknown table [job.a.verfy]; did you mean verify?"}},
		{
			"a wrong type does not hide an unknown key, nor one another", good + "checksum = 'yes'\nkeep-daily = true\nkeep-dayly = 7\nexclude = [1]\ntimeout = 1.5\n",
			[]string{
				"c.toml:4: checksum: want true or false, not a text",
				"c.toml:5: keep-daily: want a number, or a text such as 7, not true or false",
				`c.toml:6: unknown key "keep-dayly" in [job.a]; did you mean keep-daily?`,
				"c.toml:7: exclude: want a list of texts, not a number",
				`c.toml:8: timeout: want a number, or a text such as "5m", not a number with a fraction`,
			},
		},
		{"a date", good + "bwlimit = 2026-11-28\n", []string{`c.toml:4: bwlimit: want a text such as "10m", not a date or time`}},
		{"a value where a table belongs", "run = 3\n" + good, []string{"c.toml:1: run: want a table, not a number"}},
		{"a table where a value belongs", good + "[job.a.timeout]\nx = 1\n", []string{`c.toml:4: timeout: want a value, not a table: timeout = "5m"`}},
		{"a list of tables", "[[job]]\nsource = '/etc'\n", []string{"c.toml:1: job: want a table, not a list of tables", "c.toml:2: job.source: want a table, not a text"}},
		{"a shell line for a hook", good + "hooks.before = 'sync; ls'\n", []string{`c.toml:4: hooks.before: want a list of words such as ["/usr/bin/program", "argument"], not a text`}},
		{"a hook to be looked up in PATH", good + "hooks.before = ['sync']\n", []string{`c.toml:4: hooks.before: "sync": want the absolute path of a program; no shell runs it, and $PATH is not searched`}},
		{"a hook of no words", good + "hooks.before = [[]]\n", []string{"c.toml:4: hooks.before: a program has no words"}},
		{"caches of another machine", "[job.a]\nsource = ['/s', 'h:/t']\ndest = '/b/a'\nexclude-caches = true\n", []string{"c.toml:4: exclude-caches: h:/t is on another machine, and rsync has no such rule: leave the directories out by exclude"}},
		{"marks of another machine", "[job.a]\nsource = 'h:/s'\ndest = '/b/a'\nexclude-if-present = '.x'\n", []string{"c.toml:4: exclude-if-present: h:/s is on another machine"}},
		{"ssh beside another shell", "[job.a]\nsource = 'h:/s'\ndest = '/b/a'\nrsh = 'rsh -x'\nssh-user = 'u'\n", []string{`c.toml:5: ssh-identity, ssh-user and ssh-known-hosts are options of ssh, and rsh is "rsh -x": give them in rsh`}},
		{"an identity that ssh reads in another way", "[job.a]\nsource = 'h:/s'\ndest = '/b/a'\nssh-identity = '/k%h'\n", []string{`c.toml:4: ssh-identity: "/k%h": want the absolute path of a file`}},
		{"no rate", good + "bwlimit = 'fast'\n", []string{`c.toml:4: bwlimit: "fast" is no rate such as 500k, 10m or 1.5m`}},
		{"no time of day", good + "bwlimit-times = ['8-18 1m']\n", []string{`c.toml:4: bwlimit-times: "8-18 1m" is no time of day and rate such as "08:00-18:00 1m"`}},
		{"none of the words", good + "partial = 'maybe'\n", []string{`c.toml:4: partial: "maybe" is none of publish, refuse`}},
		{"out of range", good + "max-delete-percent = 101\n", []string{"c.toml:4: max-delete-percent: 101: want 0 to 100"}},
		{"keep nothing", good + "keep-daily = 0\n", []string{`c.toml:4: keep-daily: "0" is neither a number from 1 to 2147483647 nor unlimited`}},
		{"prune without a rule", good + "prune = true\n", []string{"c.toml:4: prune: it needs a rule such as keep-daily = 7: without one it would delete every backup"}},
		{"an age without a unit", good + "check.max-age = \"26\"\n", []string{"c.toml:4: check.max-age: 26 alone is 26 seconds: for hours write 26h"}},
		{"an age of three days without a unit", good + "check.max-age = 72\n", []string{"c.toml:4: check.max-age: 72 alone is 72 seconds: for hours write 72h"}},
		{"an amount without a unit", good + "min-free = \"10\"\n", []string{`c.toml:4: min-free: "10" is no amount such as 50G, 512MiB or 10%: 10 alone is 10 bytes: a unit is missing, as in 10G or 10%`}},
		{"keep-min alone", good + "keep-min = 2\n", []string{"c.toml:4: keep-min: it needs min-free"}},
		{"a relative source", "[job.a]\nsource = 'etc'\ndest = '/b'\n", []string{"c.toml:2: source: etc: want an absolute path, or host:/path"}},
		{"a relative dest", "[job.a]\nsource = '/etc'\ndest = 'b'\n", []string{"c.toml:3: dest: b: want an absolute path; a dest is on this machine"}},
		{"an empty text", good + "rsh = ''\n", []string{"c.toml:4: rsh: it is empty"}},
		{"an unknown group", good + "group = 'servres'\n[group.servers]\nchecksum = true\n", []string{"c.toml:4: group: there is no [group.servres]; did you mean servers?"}},
		{"a source for everybody", "[defaults]\nsource = '/etc'\n" + good, []string{"c.toml:2: source belongs into [job.NAME], not into [defaults]"}},
		{"an odd name", "[job.'a/b']\nsource = '/etc'\ndest = '/b'\n", []string{`c.toml:1: [job."a/b"]: a name has letters, digits, and after the first character . and -, 64 at most`}},
		{
			"two jobs on one dest", good + "[job.b]\nsource = '/home'\ndest = '/b/./a/'\n",
			[]string{"c.toml:4: job b has the same dest as job a in DIR/c.toml:1, /b/a: each needs a directory of its own, or the one would be compared with, and pruned among, the backups of the other"},
		},
		{
			"two jobs of one name", "[job.a]\nsource = ['/x', '/y']\ndest = '/b/a'\n[job.'a.x']\nsource = '/z'\ndest = '/b/z'\n",
			[]string{"c.toml:4: two jobs are called a.x: the other is in DIR/c.toml:1"},
		},
		{
			"two sources for one directory", "[job.a]\nsource = ['x:/etc', 'y:/etc']\ndest = '/b/a'\n",
			[]string{"c.toml:2: source: x:/etc and y:/etc would both have the directory /b/a/etc: make them two jobs", "c.toml:1: two jobs are called a.etc", "c.toml:1: job a.etc has the same dest"},
		},
		{"a server without url", good + "http.ntfy.method = 'PUT'\n", []string{"c.toml:1: http.ntfy: it has no url"}},
		{"a ping that is no URL", good + "ping.url = 'hc-ping.com/topsecret'\n", []string{"c.toml:4: ping.url: want a URL that begins with https:// or http://"}},
		{"a ping of a file", good + "ping.url = 'ftp://x/topsecret'\n", []string{"c.toml:4: ping.url: want a URL that begins with https:// or http://"}},
		{"a URL that is none", good + "ping.url = 'https://[topsecret'\n", []string{"c.toml:4: ping.url: it is no URL"}},
		{"a server without a host", good + "http.n.url = 'https:///topsecret'\n", []string{"c.toml:4: http.n.url: the URL has no host"}},
		{"no template", good + "http.n.url = 'https://x.y'\nhttp.n.body = '{{.Job'\n", []string{"c.toml:5: http.n.body: line 1: unclosed action"}},
		{"a template of what there is not", good + "http.n.url = 'https://x.y'\nhttp.n.body = '{{.Jobs}}'\n", []string{"can't evaluate field Jobs"}},
		{"a header that cannot be", good + "http.n.url = 'https://x.y'\nhttp.n.headers.'a b' = 'x'\n", []string{"c.toml:5: http.n.headers.a b: it cannot be a header"}},
		{"a header of two lines", good + "http.n.url = 'https://x.y'\nhttp.n.headers.a = \"x\\ny\"\n", []string{"c.toml:5: http.n.headers.a: it cannot be a header"}},
		{"a hook for a moment that does not come", good + "hooks.after-snapshot = ['/bin/true']\n", []string{"c.toml:4: hooks.after-snapshot: it needs snapshot-source = true: without a snapshot of the source there is no such moment"}},
		{"an option that rsync must not get", good + "rsync-args = ['--fuzzy', '--log-file=/x']\n", []string{`c.toml:4: rsync-args: rsync option "--log-file" cannot be passed on`}},
		{"a relative secret", good + "ping.url = 'file:secret'\n", []string{"c.toml:4: ping.url: want file: and an absolute path"}},
		{"a relative state directory", "[run]\nstate = 'x'\n" + good, []string{`c.toml:2: run.state: "x": want an absolute path`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := problemsOf(t, "c.toml", tt.text)
			if len(got) != len(tt.want) {
				t.Fatalf("got %q\nwant %q", got, tt.want)
			}
			for _, want := range tt.want {
				want = strings.TrimPrefix(want, "c.toml")
				found := false
				for _, g := range got {
					_, beside, _ := strings.Cut(want, "DIR/")
					head, _, _ := strings.Cut(want, "DIR/")
					found = found || strings.Contains(g, head) && strings.Contains(g, beside)
				}
				if !found {
					t.Errorf("got %q\nwant %q", got, want)
				}
			}
		})
	}
}

// TestOneDestOfTwoNames: a symlink does not make a second directory.
func TestOneDestOfTwoNames(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(dir+"/b", 0o700), os.Symlink("b", dir+"/other")); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("[job.a]\nsource = '/a'\ndest = '%s/b'\ncopy.c.target = '%[1]s/other'\n[job.b]\nsource = '/b'\ndest = '%[1]s/other'\n", dir)
	got := problemsOf(t, "c.toml", text)
	if all := strings.Join(got, "\n"); len(got) != 2 || !strings.Contains(all, "job b has the same dest as job a") || !strings.Contains(all, "copy c of job a has the dest of job b") {
		t.Errorf("%q", got)
	}
}

func TestProblemShowsItsLine(t *testing.T) {
	dir := files(t, "c.toml", good+"  keep-dayly = 7\n")
	_, err := Load(dir + "/c.toml")
	var problems Problems
	if !errors.As(err, &problems) || problems[0].Excerpt != "keep-dayly = 7" {
		t.Errorf("got %#v", err)
	}
}

// A line with a secret is shown without it.
func TestProblemHidesSecrets(t *testing.T) {
	for line, want := range map[string]string{
		"ping.url = 'hc-ping.com/topsecret'":                                 "ping.url = ...",
		"ping = { url = 'topsecret' }":                                       "ping = ...",
		"ping.urll = 'topsecret'":                                            "ping.urll = ...",
		"ping.ulr = 'topsecret'":                                             "ping.ulr = ...",
		"http.n.ulr = 'topsecret'":                                           "http.n.ulr = ...",
		"pign.to = 'https://x/topsecret'":                                    "pign.to = ...",
		"[job.a.http.n.headers]\nA = 'topsecret":                             "A = ...",
		"[job.a.ping]\nto = 'topsecret'":                                     "to = ...",
		"ping.url = topsecret":                                               "ping.url = ...",
		"http.n.headers.'a b' = 'topsecret'\nhttp.n.url = 'http://x'":        "http.n.headers.'a b' = ...",
		"http.n.url = 'http://x'\n[job.a.http.n.headers]\nX = 7 # topsecret": "X = ...",
	} {
		dir := files(t, "c.toml", good+line+"\n")
		_, err := Load(dir + "/c.toml")
		var problems Problems
		if !errors.As(err, &problems) || problems[0].Excerpt != want || strings.Contains(fmt.Sprint(problems), "topsecret") {
			t.Errorf("%s: %+v", line, err)
		}
	}
}

func TestIncludes(t *testing.T) {
	dir := files(t,
		"c.toml", "include = ['conf.d/*.toml', 'none.d/*.toml']\n[defaults]\nkeep-daily = 3\n",
		"conf.d/a.toml", good,
		"conf.d/b.toml", "include = 'sub/c.toml'\n",
		"conf.d/sub/c.toml", "[job.c]\nsource = '/c'\ndest = '/b/c'\n")
	c, err := Load(dir + "/c.toml")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Jobs) != 2 || c.Jobs[0].Prune.Policy.Daily != 3 || c.Jobs[1].Prune.Policy.Daily != 3 {
		t.Errorf("jobs: %+v", c.Jobs)
	}
	if want := []string{dir + "/c.toml", dir + "/conf.d/a.toml", dir + "/conf.d/b.toml", dir + "/conf.d/sub/c.toml"}; cmp.Diff(want, c.Files) != "" {
		t.Error(cmp.Diff(want, c.Files))
	}
}

func TestBadIncludes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files []string
		want  string
	}{
		{"itself", []string{"c.toml", "include = 'c.toml'\n" + good}, "c.toml:1: include: a cycle: c.toml -> c.toml"},
		{"a cycle of three", []string{"c.toml", "include = 'd.toml'\n" + good, "d.toml", "\ninclude = 'e.toml'", "e.toml", "include = '*.toml'"}, "e.toml:1: include: a cycle: c.toml -> d.toml -> e.toml -> c.toml"},
		{"a file that is missing", []string{"c.toml", "include = 'd.toml'\n" + good}, "c.toml:1: open d.toml: no such file or directory"},
		{"no pattern", []string{"c.toml", "include = '['\n" + good}, `c.toml:1: include: "[": syntax error in pattern`},
		{"no text", []string{"c.toml", "include = 7\n" + good}, "c.toml:1: include: want a text or a list of texts, not a number"},
		{"a directory", []string{"c.toml", "include = 'd'\n" + good, "d/x.toml", ""}, "c.toml:1: read d: is a directory"},
		{"a value twice", []string{"c.toml", "include = 'd.toml'\n[defaults]\nchecksum = true\n" + good, "d.toml", "[defaults]\nchecksum = false\n"}, "d.toml:2: checksum: [defaults] has it already, in c.toml:3"},
		{"run twice", []string{"c.toml", "include = 'd.toml'\n[run]\njobs = 1\n" + good, "d.toml", "[run]\njobs = 2\n"}, "d.toml:2: run.jobs: it stands in c.toml:3 already"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := problemsOf(t, tt.files...)
			if len(got) == 0 || got[0] != tt.want {
				t.Errorf("got %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestMissingAndUnreadable(t *testing.T) {
	if got := problemsOf(t, "c.toml/x", ""); len(got) != 1 {
		t.Errorf("a file below: %q", got)
	}
	_, err := Load("/nowhere/c.toml")
	if err == nil || !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "/nowhere/c.toml: no such file") {
		t.Errorf("got %v", err)
	}
}

func TestInheritance(t *testing.T) {
	c := load(t, `
[defaults]
keep-daily = 1
exclude = "d"
checksum = true
hooks.before = ["/bin/d"]
[group.g]
keep-daily = 2
exclude = ["g1", "g2"]
[group.h]
keep-weekly = 3
[job.a]
source = "/a"
dest = "/b/a"
group = ["g", "h"]
exclude = "j"
hooks.before = [["/bin/j", ""], ["/bin/k"]]
[job.b]
source = "host:/b"
dest = "/b/b"
checksum = false
keep-daily = "unlimited"
`)
	a, b := c.Jobs[0], c.Jobs[1]
	if want := []string{"d", "g1", "g2", "j"}; cmp.Diff(want, a.Backup.Exclude) != "" {
		t.Error(cmp.Diff(want, a.Backup.Exclude))
	}
	if want := (retention.Policy{Daily: 2, Weekly: 3}); a.Prune.Policy != want {
		t.Errorf("policy of a: %+v", a.Prune.Policy)
	}
	if want := []Command{{"/bin/j", ""}, {"/bin/k"}}; cmp.Diff(want, a.Hooks.Before) != "" {
		t.Error(cmp.Diff(want, a.Hooks.Before))
	}
	if !a.Backup.Checksum || b.Backup.Checksum || b.Prune.Policy.Daily != retention.Unlimited || b.Prune.Policy.Weekly != 0 {
		t.Errorf("b: %+v", b)
	}
	if want := []Command{{"/bin/d"}}; cmp.Diff(want, b.Hooks.Before) != "" {
		t.Error(cmp.Diff(want, b.Hooks.Before))
	}
	for _, v := range a.Values {
		if v.Key != "exclude" {
			continue
		}
		if v.Text != `["d", "g1", "g2", "j"]` || len(v.From) != 3 || v.From[0].Line != 4 || v.From[0].Table != "defaults" || v.From[2].Line != 16 || v.From[2].Table != "job.a" {
			t.Errorf("exclude: %+v", v)
		}
	}
	if got, err := c.SelectGroup("g"); err != nil || len(got) != 1 || got[0].Name != "a" {
		t.Errorf("group g: %v, %v", got, err)
	}
}

func TestPrunes(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "keep-last = 3": true, "min-free = '5%'": true, "keep-last = 3\nprune = false": false, "keep-last = 3\nprune = true": true,
	} {
		if got := load(t, good+text).Jobs[0].Prunes(); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestSeveralSources(t *testing.T) {
	c := load(t, "[job.w]\nsource = ['u@web:/etc', 'web:/var/lib/x y', '/', 'h::mod/p', 'rsync://h:873/m/q/', '/.config']\ndest = '/b/w/'\n")
	var got []string
	for _, j := range c.Jobs {
		got = append(got, j.Name+" "+j.Backup.Source+" "+j.Backup.Dest)
	}
	want := []string{
		"w.etc u@web:/etc /b/w/etc", "w.var-lib-x-y web:/var/lib/x y /b/w/var-lib-x-y", "w.root / /b/w/root",
		"w.mod-p h::mod/p /b/w/mod-p", "w.m-q rsync://h:873/m/q/ /b/w/m-q", "w..config /.config /b/w/.config",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, names := range [][]string{{"w"}, {"w.etc"}, {"w.etc", "w"}} {
		jobs, err := c.Select(names)
		if err != nil || len(jobs) != map[bool]int{true: 1, false: 6}[len(names) == 1 && names[0] == "w.etc"] {
			t.Errorf("Select(%q): %d, %v", names, len(jobs), err)
		}
	}
	_, err := c.Select([]string{"w.ect"})
	var unknown *UnknownError
	if !errors.As(err, &unknown) || unknown.Nearest != "w.etc" {
		t.Errorf("got %v", err)
	}
}

func TestHost(t *testing.T) {
	for source, want := range map[string]string{
		"/etc": "", "/a:b/c": "", "web:/etc": "web", "root@web:": "web", "[fe80::1]:/x": "[fe80::1]", "u@[fe80::1]:/x": "[fe80::1]",
		"web::mod/x": "web", "rsync://web/mod": "web", "rsync://u@web:8873/mod": "web", "./a:b": "",
	} {
		if got := Host(source); got != want {
			t.Errorf("Host(%q) = %q, want %q", source, got, want)
		}
	}
}

func TestWritableByOthers(t *testing.T) {
	dir := files(t, "c.toml", good+"hooks.before = ['/bin/true']\n", "plain.toml", good)
	if _, err := Load(dir + "/c.toml"); err != nil {
		t.Fatal(err)
	}
	chmod := func(name string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	chmod("c.toml", 0o620)
	chmod("plain.toml", 0o602)
	_, err := Load(dir + "/c.toml")
	var problems Problems
	if !errors.As(err, &problems) || problems[0].Line != 4 || problems[0].Hint != "chmod go-w "+dir+"/c.toml" {
		t.Errorf("writable by the group: %v", err)
	}
	c, err := Load(dir + "/plain.toml")
	if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].Text, "0602") {
		t.Errorf("a file that runs nothing: %v, %+v", err, c)
	}
	chmod("c.toml", 0o644)
	chmod(".", 0o777)
	if _, err := Load(dir + "/c.toml"); err == nil || !strings.Contains(err.Error(), "the mode of "+dir+" is 0777") {
		t.Errorf("a directory that all can write: %v", err)
	}
	chmod(".", 0o777|os.ModeSticky)
	if _, err := Load(dir + "/c.toml"); err != nil {
		t.Errorf("with the sticky bit: %v", err)
	}
	if why, _ := writableByOthers(dir+"/c.toml", os.Geteuid()+1); os.Geteuid() != 0 && why == "" {
		t.Error("a file of another user is trusted")
	}
}

func TestSecrets(t *testing.T) {
	dir := files(t, "s", "from a file\n", "empty", "\n")
	t.Setenv("RSBT_SECRET", "from the environment")
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	for _, tt := range []struct{ said, shown, revealed string }{
		{"https://u:pw@hc-ping.com/uuid?x=y", "https://hc-ping.com/...", "https://u:pw@hc-ping.com/uuid?x=y"},
		{"Bearer token", "...", "Bearer token"},
		{"file:" + dir + "/s", "file:" + dir + "/s", "from a file"},
		{"file:" + dir + "/missing", "file:" + dir + "/missing", ""},
		{"file:" + dir + "/empty", "file:" + dir + "/empty", ""},
		{"credential:s", "credential:s", "from a file"},
		{"env:RSBT_SECRET", "env:RSBT_SECRET", "from the environment"},
		{"env:RSBT_NONE", "env:RSBT_NONE", ""},
	} {
		s, err := parseSecret(tt.said)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Reveal()
		if s.String() != tt.shown || got != tt.revealed || (err == nil) == (tt.revealed == "") {
			t.Errorf("%s: shown %q, revealed %q, %v", tt.said, s, got, err)
		}
	}
	c := load(t, good+"ping.url = 'https://hc-ping.com/topsecret'\nhttp.n.url='https://x.y/topsecret'\nhttp.n.headers.A = 'topsecret'\n")
	for _, v := range c.Jobs[0].Values {
		if strings.Contains(v.Text, "topsecret") {
			t.Errorf("%s = %s", v.Key, v.Text)
		}
	}
	if c.Jobs[0].HTTP[0].Headers["A"].said != "topsecret" {
		t.Errorf("headers: %+v", c.Jobs[0].HTTP)
	}
}

func TestValues(t *testing.T) {
	j := load(t, good+`
bwlimit = "1m"
bwlimit-times = ["22:00-06:00 0", "08:00-18:00 100k"]
timeout = 90
min-free = "10%"
check.min-metadata = "1GiB"
inplace = false
partial = "refuse"
`).Jobs[0]
	for clock, want := range map[string]string{"23:00": "0", "05:59": "0", "06:00": "1m", "08:00": "100k", "17:59": "100k", "18:00": "1m"} {
		at, err := time.Parse("15:04", clock)
		if got := j.BwlimitAt(at); err != nil || got != want {
			t.Errorf("at %s: %q, want %q", clock, got, want)
		}
	}
	if j.Backup.Timeout != 90*time.Second || j.Prune.MinFree != (rsbtbackup.MinFree{Percent: 10}) || j.Check.Options.MinMetadata != 1<<30 || !j.Backup.WholeFiles || !j.Backup.RefusePartial {
		t.Errorf("%+v", j)
	}
}

func TestEvery(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	week, err := parseEvery("7d")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		e    Every
		last time.Time
		want bool
	}{
		{"never asked for", Every{}, time.Time{}, false},
		{"always", Every{Always: true}, now, true},
		{"never done", week, time.Time{}, true},
		{"a week ago", week, now.AddDate(0, 0, -7), true},
		{"six days ago", week, now.AddDate(0, 0, -6), false},
		{"by a wrong clock", week, now.AddDate(1, 0, 0), false},
	} {
		if got := tt.e.Due(tt.last, now); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestPlaces(t *testing.T) {
	env := func(vars ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(vars); i += 2 {
				if vars[i] == name {
					return vars[i+1]
				}
			}
			return ""
		}
	}
	for _, tt := range []struct {
		env  func(string) string
		want []string
	}{
		{env(), []string{"/etc/rsbtbackup.toml"}},
		{env("HOME", "/h"), []string{"/h/.config/rsbtbackup.toml", "/etc/rsbtbackup.toml"}},
		{env("HOME", "/h", "XDG_CONFIG_HOME", "/x"), []string{"/x/rsbtbackup.toml", "/etc/rsbtbackup.toml"}},
		{env("XDG_CONFIG_HOME", "relative"), []string{"/etc/rsbtbackup.toml"}},
	} {
		if diff := cmp.Diff(tt.want, Places(tt.env)); diff != "" {
			t.Error(diff)
		}
	}
}

// A body is made from what is known about the job; one for JSON is valid JSON for any text.
func TestBody(t *testing.T) {
	m := Message{Job: "etc", Text: "a \"b\" <c>\nd", Exit: 14, Took: 90 * time.Second}
	for body, want := range map[string]string{
		"":                                   m.Text,
		"{{.Job}} {{.Exit}} {{.Took}}":       "etc 14 1m30s",
		`{"t":{{json .Text}}}`:               `{"t":"a \"b\" <c>\nd"}`,
		"{{if eq .Exit 0}}y{{else}}n{{end}}": "n",
	} {
		if got, err := Body(body, m); err != nil || got != want {
			t.Errorf("%q: %q, %v", body, got, err)
		}
	}
	if _, err := Body(`{{range .Text}}{{end}}{{define "x"}}{{printf "%1000s" ""}}{{template "x" .}}{{end}}{{template "x" .}}`, m); err == nil {
		t.Error("a body without end")
	}
}
