// Package imports converts the configuration of other programs, and crontab lines, to a config. Settings without a
// counterpart are left out and named; nothing is guessed.
//
//	draft.go      jobs as keys and values, and how they become a config
//	rsnapshot.go  rsnapshot.conf
//	btrbk.go      btrbk.conf
//	crontab.go    lines of crontab that run rsbtbackup
package imports

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// Draft is the result of reading a file: jobs, and notes about settings that were left out.
type Draft struct {
	Jobs    []Job
	LeftOut []Note // see Notes
}

// Job is one job of the new config.
type Job struct {
	Line   int // it was made from
	Name   string
	Values []Value
}

// Value is a key with a value: a string, int64, bool or []string.
type Value struct {
	Key   string
	Value any
}

// Note says what was left out, and why.
type Note struct {
	Line int
	Text string
}

func (d *Draft) leave(line int, format string, args ...any) {
	note := Note{line, fmt.Sprintf(format, args...)}
	if !slices.Contains(d.LeftOut, note) { // a setting of an outer section holds for many
		d.LeftOut = append(d.LeftOut, note)
	}
}

// add adds a job under a free name. Values that the config refuses are left out and noted, and so is a job without a
// usable source or dest.
func (d *Draft) add(j Job) {
	j.Name = d.freeName(j.Name)
	for {
		at, why := refused(j)
		if why == "" {
			break
		}
		key := ""
		if 0 <= at && at < len(j.Values) {
			key = j.Values[at].Key
		}
		if key == "" || key == "source" || key == "dest" {
			d.leave(j.Line, "%v to %v: %s", j.get("source"), j.get("dest"), why)
			return
		}
		d.leave(j.Line, "%s %v: %s", key, j.Values[at].Value, why)
		j.Values = slices.Delete(slices.Clone(j.Values), at, at+1)
	}
	for _, other := range d.Jobs {
		if filepath.Clean(other.get("dest").(string)) == filepath.Clean(j.get("dest").(string)) {
			d.leave(j.Line, "%v to %v: job %s has that dest already", j.get("source"), j.get("dest"), other.Name)
			return
		}
	}
	d.Jobs = append(d.Jobs, j)
}

// refused returns the index of the value that the config refuses, or -1 for the job as a whole.
func refused(j Job) (at int, why string) {
	for i, v := range j.Values {
		if !validText(fmt.Sprint(v.Value)) {
			return i, "it is no valid text"
		}
	}
	_, err := config.Parse("job", []byte(j.toml()))
	var problems config.Problems
	if errors.As(err, &problems) {
		return problems[0].Line - 2, problems[0].Text
	}
	return -1, ""
}

// toml is the table of the job: a line for its name, then one for each value.
func (j Job) toml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[job.%s]\n", config.TOML(j.Name))
	for _, v := range j.Values {
		fmt.Fprintf(&b, "%s = %s\n", v.Key, config.TOML(v.Value))
	}
	return b.String()
}

func (j Job) get(key string) any {
	for _, v := range j.Values {
		if v.Key == key {
			return v.Value
		}
	}
	return nil
}

var notInName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[^A-Za-z0-9_.]+`) })

// freeName makes a valid name for a job from text, with a number if it is taken.
func (d *Draft) freeName(text string) string {
	base := strings.Trim(notInName().ReplaceAllString(text, "-"), "-.")
	base = strings.TrimLeft(base[:min(len(base), 56)], "-.")
	base = cmp.Or(base, "root")
	for n, name := 1, base; ; n++ {
		if n > 1 {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		if !slices.ContainsFunc(d.Jobs, func(j Job) bool { return j.Name == name }) {
			return name
		}
	}
}

// Notes are the settings that were left out, by line.
func (d Draft) Notes() []Note {
	return slices.SortedStableFunc(slices.Values(d.LeftOut), func(a, b Note) int { return a.Line - b.Line })
}

// TOML is the config. Comments at its beginning name the settings that were left out.
func (d Draft) TOML(from string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Made of %s by rsbtbackup config import. Look at it, then: rsbtbackup config check --online\n", comment(from))
	if len(d.LeftOut) > 0 {
		b.WriteString("# Left out:\n")
	}
	for _, n := range d.Notes() {
		fmt.Fprintf(&b, "#   line %d: %s\n", n.Line, comment(n.Text))
	}
	for _, j := range d.Jobs {
		b.WriteString("\n" + j.toml())
	}
	return b.String()
}

// comment makes a text valid in a comment of TOML: one line, without control characters.
func comment(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// validText reports whether TOML can hold a text.
func validText(s string) bool { return strings.ToValidUTF8(s, "") == s && !strings.Contains(s, "\x00") }

// lines calls f for each line that is no comment, with its number from 1. A backslash at the end joins the next line.
func lines(text string, f func(n int, line string)) {
	all := strings.Split(text, "\n")
	for i := 0; i < len(all); i++ {
		n, line := i+1, all[i]
		for strings.HasSuffix(line, `\`) && i+1 < len(all) {
			i++
			line = strings.TrimSuffix(line, `\`) + " " + all[i]
		}
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			f(n, line)
		}
	}
}
