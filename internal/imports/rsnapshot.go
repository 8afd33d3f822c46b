package imports

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// rsnapshot collects the settings of a file. The jobs are made at the end, because settings also apply to the backup
// lines before them.
type rsnapshot struct {
	draft   Draft
	root    string
	values  []Value // for every job
	exclude []string
	filter  []string
	from    []string
	backups []backupLine
}

type backupLine struct {
	line                  int
	source, dest, options string
}

// Rsnapshot reads rsnapshot.conf. Each backup line becomes a job. Its DEST is the path that rsnapshot uses:
// snapshot_root, the directory of the line, and the path of the source.
func Rsnapshot(text string) Draft {
	r := &rsnapshot{}
	levels := []level{}
	lines(text, func(n int, line string) {
		words := fields(line)
		if len(words) < 2 {
			r.draft.leave(n, "%s", line)
			return
		}
		switch words[0] {
		case "retain", "interval":
			levels = append(levels, level{n, words})
		default:
			r.take(n, words)
		}
	})
	r.values = append(r.values, r.retain(levels)...)
	for _, b := range r.backups {
		r.job(b)
	}
	return r.draft
}

// fields splits at tabs, which rsnapshot requires, or at blanks if there is no tab.
func fields(line string) []string {
	if !strings.Contains(line, "\t") {
		return strings.Fields(line)
	}
	return slices.DeleteFunc(strings.Split(line, "\t"), func(s string) bool { return strings.TrimSpace(s) == "" })
}

// needless are options that rsbtbackup does not need: it does the same anyway, or works differently.
var needless = []string{"config_version", "no_create_root", "cmd_cp", "cmd_rm", "cmd_logger", "cmd_du", "cmd_rsnapshot_diff", "verbose", "loglevel", "logfile",
	"lockfile", "stop_on_stale_lockfile", "link_dest", "sync_first", "use_lazy_deletes", "rsync_numtries", "du_args", "cmd_ssh"}

// ownArgs are options of rsync that every backup has, or that only concern how rsnapshot stores backups.
var ownArgs = []string{"-a", "--delete", "--numeric-ids", "--relative", "--delete-excluded", "-H", "--hard-links", "-A", "--acls", "-X", "--xattrs", "-v", "-q", "--archive"}

func (r *rsnapshot) take(n int, words []string) {
	value := strings.TrimSpace(words[1])
	switch words[0] {
	case "snapshot_root":
		r.root = value
	case "backup":
		b := backupLine{line: n, source: value}
		if len(words) > 2 {
			b.dest = words[2]
		}
		if len(words) > 3 {
			b.options = strings.Join(words[3:], ",")
		}
		r.backups = append(r.backups, b)
	case "exclude":
		r.exclude = append(r.exclude, value)
	case "include":
		r.filter = append(r.filter, "+ "+value)
	case "exclude_file":
		r.from = append(r.from, value)
		r.draft.leave(n, slashes, value)
	case "one_fs":
		if value == "1" {
			r.values = append(r.values, Value{"one-file-system", true})
		}
	case "ssh_args":
		r.values = append(r.values, Value{"rsh", "ssh " + value})
	case "cmd_rsync":
		r.values = append(r.values, Value{"rsync", value})
	case "rsync_short_args", "rsync_long_args":
		r.values = append(r.values, r.args(n, strings.Join(words[1:], " "))...)
	case "cmd_preexec", "cmd_postexec":
		r.draft.leave(n, "%s %s: it was run once for all backups; hooks.before and hooks.after are run for each job", words[0], value)
	case "backup_script", "backup_exec":
		r.draft.leave(n, "%s: hooks.before of a job can run it, and write to a directory that is backed up", strings.Join(words, " "))
	case "include_conf":
		r.draft.leave(n, "include_conf %s: import that file too", value)
	default:
		if !slices.Contains(needless, words[0]) {
			r.draft.leave(n, "%s", strings.Join(words, " "))
		}
	}
}

// args converts options of rsync to keys, if there are such keys.
func (r *rsnapshot) args(n int, text string) []Value {
	var values []Value
	for _, arg := range quoted(text) {
		name, value, _ := strings.Cut(arg, "=")
		switch {
		case slices.Contains(ownArgs, arg):
		case name == "--bwlimit" && config.IsRate(value):
			values = append(values, Value{"bwlimit", value})
		case arg == "-x" || arg == "--one-file-system":
			values = append(values, Value{"one-file-system", true})
		case name == "--exclude" || name == "--exclude-from" || name == "--filter":
			r.draft.leave(n, "option of rsync %s: the key %s may take it", arg, strings.TrimPrefix(name, "--"))
		default:
			r.draft.leave(n, "option of rsync %s: rsync-args may take it", arg)
		}
	}
	return values
}

// quoted splits at blanks outside of quotes, which are removed. No shell reads these options.
func quoted(text string) []string {
	var quote rune
	words := strings.FieldsFunc(text, func(r rune) bool {
		switch {
		case quote == 0 && (r == '"' || r == '\''):
			quote = r
		case r == quote:
			quote = 0
		}
		return quote == 0 && (r == ' ' || r == '\t')
	})
	for i, word := range words {
		words[i] = strings.NewReplacer(`"`, "", "'", "").Replace(word)
	}
	return words
}

// level is a line such as "retain daily 7": so many backups of that name are kept.
type level struct {
	line  int
	words []string
}

// retain converts levels to keep rules, by their names. A single level of another name keeps this many backups. Only
// the crontab says what several of them mean: then there are no rules, because they could delete too much.
func (r *rsnapshot) retain(levels []level) []Value {
	var values []Value
	unknown := false
	for _, l := range levels {
		name := l.words[1]
		count, err := strconv.ParseInt(strings.TrimSpace(slices.Concat(l.words, []string{""})[2]), 10, 31)
		known := slices.Contains([]string{"hourly", "daily", "weekly", "monthly", "yearly"}, name)
		switch {
		case err != nil || count < 1:
			unknown = true
		case known:
			values = append(values, Value{"keep-" + name, count})
		case len(levels) == 1:
			values = append(values, Value{"keep-last", count})
		default:
			unknown = true
		}
	}
	if !unknown {
		return values
	}
	for _, l := range levels {
		r.draft.leave(l.line, "%s: how often each level is made is in the crontab; until there are rules (keep-last, keep-daily, keep-weekly ...) nothing is deleted", strings.Join(l.words, " "))
	}
	return nil
}

func (r *rsnapshot) job(b backupLine) {
	source := strings.TrimSuffix(b.source, "/")
	if source == "" {
		source = "/"
	}
	if strings.HasPrefix(source, "lvm://") {
		r.draft.leave(b.line, "backup %s: snapshots of LVM", b.source)
		return
	}
	where := source
	if host := config.Host(source); host != "" {
		where = source[strings.LastIndex(source, ":")+1:]
		if after, ok := strings.CutPrefix(source, "rsync://"); ok {
			_, where, _ = strings.Cut(after, "/")
		}
	}
	label := path.Clean("/" + b.dest)
	j := Job{Line: b.line, Name: strings.Trim(label, "/") + "-" + strings.Trim(where, "/")}
	j.Values = []Value{{"source", source}, {"dest", path.Join("/", r.root, label, where)}}
	if r.root == "" {
		j.Values[1].Value = ""
	}
	if where == "/" {
		j.Values[1].Value = path.Join("/", r.root, label, "rootfs") // or the others would lie in it
	}
	own := options(r, b)
	excludes := below(where, "", slices.Concat(r.exclude, own.exclude))
	for _, v := range []Value{{"exclude", excludes}, {"filter", below(where, "+ ", slices.Concat(r.filter, own.filter))}, {"exclude-from", slices.Concat(r.from, own.from)}} {
		if list := v.Value.([]string); len(list) > 0 {
			j.Values = append(j.Values, v)
		}
	}
	j.Values = append(j.Values, lastOfEach(slices.Concat(r.values, own.values))...)
	r.draft.add(j)
}

// below makes patterns that begin with a slash relative to the source. rsnapshot runs rsync with --relative, so its
// patterns begin at the root of the host. A pattern for a path outside of the source matches nothing.
func below(source, prefix string, patterns []string) []string {
	var kept []string
	for _, p := range patterns {
		pattern := strings.TrimPrefix(p, prefix)
		if strings.HasPrefix(pattern, "/") && source != "/" {
			rest, inside := strings.CutPrefix(pattern, strings.TrimSuffix(source, "/")+"/")
			if !inside {
				continue
			}
			pattern = "/" + rest
		}
		kept = append(kept, prefix+pattern)
	}
	return kept
}

// slashes is what is different about a file of patterns.
const slashes = "exclude_file %s: the job uses it; a pattern in it that begins with a slash begins at the source, not at / of the host"

// lineOptions are the options of one backup line.
type lineOptions struct {
	exclude, from, filter []string
	values                []Value
}

func options(r *rsnapshot, b backupLine) lineOptions {
	var o lineOptions
	for option := range strings.SplitSeq(b.options, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(option), "=")
		switch strings.TrimPrefix(name, "+") {
		case "":
		case "exclude":
			o.exclude = append(o.exclude, value)
		case "include":
			o.filter = append(o.filter, "+ "+value)
		case "exclude_file":
			o.from = append(o.from, value)
			r.draft.leave(b.line, slashes, value)
		case "one_fs":
			o.values = append(o.values, Value{"one-file-system", value == "1"})
		case "ssh_args":
			o.values = append(o.values, Value{"rsh", "ssh " + value})
		case "rsync_long_args", "rsync_short_args":
			o.values = append(o.values, r.args(b.line, value)...)
		default:
			if !slices.Contains(needless, strings.TrimPrefix(name, "+")) {
				r.draft.leave(b.line, "option %s", option)
			}
		}
	}
	return o
}

// lastOfEach keeps the last value of each key.
func lastOfEach(values []Value) []Value {
	var kept []Value
	for _, v := range values {
		if i := slices.IndexFunc(kept, func(k Value) bool { return k.Key == v.Key }); i >= 0 {
			kept[i] = v
			continue
		}
		kept = append(kept, v)
	}
	return kept
}
