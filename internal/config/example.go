package config

import (
	"fmt"
	"strings"
)

// Example is a file to start from, which Load accepts: two jobs, and every key as a comment with its description.
func Example() string {
	var b strings.Builder
	b.WriteString(ExampleJobs)
	b.WriteString("\n# Every other key. Keys in [defaults] apply to all jobs, in [group.NAME] to those that name the group,\n" +
		"# in [job.NAME] for that job. The nearest value holds, unless values are said to add up. A key with a dot can\n" +
		"# stand as verify.every in [defaults], or as every in [defaults.verify].\n")
	b.WriteString("\n[defaults]\n")
	for _, k := range Keys() {
		if !k.JobOnly {
			b.WriteString(k.commented(example(k.Name)))
		}
	}
	last := ""
	for _, k := range GlobalKeys() {
		table, name, _ := strings.Cut(k.Name, ".")
		if table != last {
			fmt.Fprintf(&b, "\n[%s]\n", table)
		}
		last = table
		b.WriteString(k.commented(name))
	}
	return b.String()
}

// ExampleJobs are two jobs and a group, with which Example begins.
const ExampleJobs = `# rsbtbackup.toml: what "rsbtbackup run" backs up.
# To look at it: rsbtbackup config check, rsbtbackup config show.

# Further files, relative to this one.
# include = ["conf.d/*.toml"]

[job.etc]
source = "/etc"
dest = "/backup/localhost/etc"      # prepared by: rsbtbackup init /backup/localhost/etc
keep-daily = 14
keep-monthly = 12

# A second copy, filled after each backup; its directory is prepared by "rsbtbackup init", too.
# [job.etc.copy.vault]
# target = "root@vault:/backup/etc"
# keep-within = "90d"               # what the target keeps

[job.web1]
source = ["root@web1:/etc", "root@web1:/var/www"]   # the jobs web1.etc and web1.var-www
dest = "/backup/web1"               # in /backup/web1/etc and /backup/web1/var-www
group = "servers"
keep-daily = 30
exclude = ".cache"

[group.servers]
retry-for = "2h"
rsh = "ssh -i /root/.ssh/backup -o BatchMode=yes"
`

// example replaces each * by a name.
func example(key string) string {
	return strings.NewReplacer("http.*", "http.ntfy", "headers.*", "headers.Authorization", "copy.*", "copy.vault").Replace(key)
}

// commented is a key with its description, as comments.
func (k Key) commented(name string) string {
	var b strings.Builder
	b.WriteString("\n")
	for _, line := range wrap(k.Doc, 116) {
		b.WriteString("# " + line + "\n")
	}
	if len(k.Enum) > 0 && len(k.Enum) < 6 {
		b.WriteString("# One of: " + strings.Join(k.Enum, ", ") + ".\n")
	}
	fmt.Fprintf(&b, "#%s = %s\n", name, k.Example)
	return b.String()
}

func wrap(text string, width int) []string {
	lines := []string{""}
	for word := range strings.FieldsSeq(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case len(*last)+1+len(word) <= width:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}
