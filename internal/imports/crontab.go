package imports

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// Crontab reads the lines that run "rsbtbackup backup" in a crontab of the system (with a user) or of a user. Other
// lines are ignored. Flags without a key in the config are noted.
func Crontab(text string) Draft {
	d := &Draft{}
	lines(text, func(n int, line string) {
		when, command, ok := cronLine(line)
		if !ok {
			return
		}
		words, err := split(command)
		i := slices.IndexFunc(words, func(w string) bool { return filepath.Base(w) == "rsbtbackup" })
		switch {
		case err != nil && strings.Contains(command, "rsbtbackup"):
			d.leave(n, "%s: %v", command, err)
		case err != nil, i < 0:
		case i+1 == len(words) || !slices.Contains(words[i+1:], "backup"):
			d.leave(n, "%s: only backups become jobs", command)
		default:
			d.cronJob(n, when, words[i+1:])
		}
	})
	return *d
}

// cronLine splits a line into its times and its command.
func cronLine(line string) (when, command string, ok bool) {
	words := 5
	if strings.HasPrefix(line, "@") {
		words = 1
	}
	rest := line
	var times []string
	for range words {
		word, after, found := strings.Cut(strings.TrimLeft(rest, " \t"), " ")
		if tab, afterTab, isTab := strings.Cut(strings.TrimLeft(rest, " \t"), "\t"); isTab && len(tab) < len(word) {
			word, after, found = tab, afterTab, true
		}
		if !found {
			return "", "", false
		}
		times, rest = append(times, word), after
	}
	return strings.Join(times, " "), strings.TrimSpace(rest), true
}

// split splits a command line as a shell does, with quotes and backslashes, up to a redirection. Anything that only a
// shell can expand is an error.
func split(line string) (words []string, err error) {
	var word strings.Builder
	inWord, quote := false, byte(0)
	end := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord = false
	}
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == '\'', quote == '"' && c != '\\' && c != '$' && c != '`':
			word.WriteByte(c)
		case c == '\\' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
			inWord = true
		case strings.IndexByte("$`*?[(&|;", c) >= 0 || c == '%' && quote == 0:
			return words, fmt.Errorf("%q needs a shell, or cron", c)
		case quote == 0 && (c == '>' || c == '<'):
			if text := word.String(); inWord && strings.Trim(text, "0123456789") != "" {
				end()
			}
			return words, nil
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case c == ' ' || c == '\t':
			end()
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return words, fmt.Errorf("a quote %q is not closed", quote)
	}
	end()
	return words, nil
}

// shorts are the short flags of backup that have a key. The ignored flags concern only a single call.
var (
	shorts  = map[byte]string{'i': "inplace", 'c': "checksum", 'x': "one-file-system", 'e': "rsh"}
	ignored = []string{"-q", "--quiet", "-v", "--verbose", "--json", "--prune"}
)

// cronJob makes a job of the words that follow the program.
func (d *Draft) cronJob(line int, when string, words []string) {
	places, values := d.cronFlags(line, words)
	if len(places) != 2 {
		d.leave(line, "a backup with %d places, not SRC and DEST", len(places))
		return
	}
	j := Job{Line: line, Name: strings.Trim(places[1], "/"), Values: []Value{{"source", places[0]}, {"dest", places[1]}}}
	if base := filepath.Base(places[1]); base != "/" {
		j.Name = base
	}
	j.Values = append(j.Values, values...)
	if on := calendar(when); on != "" {
		j.Values = append(j.Values, Value{"schedule.on", on})
	} else {
		d.leave(line, "the times %s: say schedule.on", when)
	}
	d.add(j)
}

// cronFlags separates paths from flags, and converts the flags to keys. Flags that may be repeated become lists, which
// are last.
func (d *Draft) cronFlags(line int, words []string) (places []string, values []Value) {
	kinds := map[string]config.Kind{}
	for _, k := range config.Keys() {
		kinds[k.Name] = k.Kind
	}
	lists := map[string][]string{}
	for i := 0; i < len(words); i++ {
		word := words[i]
		switch {
		case word == "--":
			lists["rsync-args"] = words[i+1:]
			i = len(words)
			continue
		case word == "backup" && len(places) == 0, slices.Contains(ignored, word):
			continue
		case !strings.HasPrefix(word, "-"):
			places = append(places, word)
			continue
		}
		f := cronFlag(word, kinds)
		if f.kind == "" {
			d.leave(line, "flag %s", word)
			continue
		}
		if f.kind != config.Bool && !f.valued {
			if i++; i == len(words) {
				d.leave(line, "flag %s: its value is missing", word)
				break
			}
			f.value = words[i]
		}
		switch f.kind {
		case config.Bool:
			values = append(values, Value{f.key, !f.off})
		case config.Texts:
			lists[f.key] = append(lists[f.key], f.value)
		default:
			values = append(values, Value{f.key, number(f.kind, f.value)})
		}
	}
	values = lastOfEach(values)
	for _, name := range []string{"exclude", "exclude-from", "filter", "rsync-args"} {
		if len(lists[name]) > 0 {
			values = append(values, Value{name, lists[name]})
		}
	}
	return places, values
}

// keyFlag is one word of a command line. Its kind is empty if it has no key.
type keyFlag struct {
	key, value  string
	kind        config.Kind
	valued, off bool // --key=value; --no-key
}

func cronFlag(word string, kinds map[string]config.Kind) keyFlag {
	f := keyFlag{}
	f.key, f.value, f.valued = strings.Cut(strings.TrimPrefix(word, "--"), "=")
	if len(word) == 2 && shorts[word[1]] != "" {
		f.key, f.valued = shorts[word[1]], false
	}
	if key, off := strings.CutPrefix(f.key, "no-"); off && kinds[key] == config.Bool {
		f.key, f.off = key, true
	}
	if !slices.Contains([]string{"source", "dest", "group"}, f.key) {
		f.kind = kinds[f.key]
	}
	return f
}

// number converts a value for a key that takes a number.
func number(kind config.Kind, value string) any {
	if n, err := strconv.ParseInt(value, 10, 31); err == nil && (kind == config.Number || kind == config.Above0 || kind == config.Count) {
		return n
	}
	return value
}

var cronField = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(\*|[0-9]{1,2}(,[0-9]{1,2})*|\*/[0-9]{1,2})$`) })

// calendar converts the times of a line of a crontab to a calendar expression of systemd; "" if systemd cannot express
// them. If a day of the month and one of the week are given, cron starts on either, systemd only if both match.
func calendar(when string) string {
	switch when {
	case "@hourly", "@daily", "@weekly", "@monthly", "@yearly":
		return strings.TrimPrefix(when, "@")
	case "@midnight":
		return "daily"
	case "@annually":
		return "yearly"
	}
	f := strings.Fields(when)
	if len(f) != 5 || slices.ContainsFunc(f, func(s string) bool { return !cronField().MatchString(s) }) || f[2] != "*" && f[4] != "*" {
		return ""
	}
	days := ""
	if f[4] != "*" {
		for day := range strings.SplitSeq(f[4], ",") {
			n, err := strconv.Atoi(day)
			if err != nil || n > 7 {
				return ""
			}
			days += "," + []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}[n]
		}
		days = strings.TrimPrefix(days, ",") + " "
	}
	return fmt.Sprintf("%s*-%s-%s %s:%s:00", days, calendarField(f[3], 1), calendarField(f[2], 1), calendarField(f[1], 0), calendarField(f[0], 0))
}

// calendarField converts one field. */15 begins at 0 for minutes, and at 1 for days.
func calendarField(s string, first int) string {
	if step, ok := strings.CutPrefix(s, "*/"); ok {
		return fmt.Sprintf("%d/%s", first, step)
	}
	parts := strings.Split(s, ",")
	for i, p := range parts {
		if len(p) == 1 && p != "*" {
			parts[i] = "0" + p
		}
	}
	return strings.Join(parts, ",")
}
