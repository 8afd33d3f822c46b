package imports

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// rsnapshot is what a file has said so far, for the backup lines after it; rsnapshot too reads it all before it begins,
// so the jobs are made at the end.
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

// Rsnapshot reads rsnapshot.conf. Each backup line becomes a job; its DEST is snapshot_root with the directory of the
// line and the path of the source, as rsnapshot itself puts it.
func Rsnapshot(text string) Draft {
	r := &rsnapshot{}
	levels := []Value{}
	lines(text, func(n int, line string) {
		words := fields(line)
		if len(words) < 2 {
			r.draft.leave(n, "%s", line)
			return
		}
		switch words[0] {
		case "retain", "interval":
			levels = append(levels, r.retain(n, words, len(levels) == 0)...)
		default:
			r.take(n, words)
		}
	})
	r.values = append(r.values, levels...)
	for _, b := range r.backups {
		r.job(b)
	}
	return r.draft
}

// fields splits at tabs, which rsnapshot asks for, or else at blanks.
func fields(line string) []string {
	if !strings.Contains(line, "\t") {
		return strings.Fields(line)
	}
	return slices.DeleteFunc(strings.Split(line, "\t"), func(s string) bool { return strings.TrimSpace(s) == "" })
}

// needless are options that ask for what rsbtbackup does anyway, or has no need of.
var needless = []string{"config_version", "no_create_root", "cmd_cp", "cmd_rm", "cmd_logger", "cmd_du", "cmd_rsnapshot_diff", "verbose", "loglevel", "logfile",
	"lockfile", "stop_on_stale_lockfile", "link_dest", "sync_first", "use_lazy_deletes", "rsync_numtries", "du_args", "cmd_ssh"}

// ownArgs are options of rsync that a backup always has, or that are about rsnapshot's way to store.
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
		r.draft.leave(n, "exclude_file %s: taken, but what begins with a slash in it is relative to the source now", value)
	case "one_fs":
		if value == "1" {
			r.values = append(r.values, Value{"one-file-system", true})
		}
	case "ssh_args":
		r.values = append(r.values, Value{"rsh", "ssh " + value})
	case "cmd_rsync":
		r.values = append(r.values, Value{"rsync", value})
	case "rsync_short_args", "rsync_long_args":
		r.values = append(r.values, r.args(n, strings.Fields(strings.Join(words[1:], " ")))...)
	case "cmd_preexec", "cmd_postexec":
		r.draft.leave(n, "%s %s: programs around a backup are not run yet", words[0], value)
	case "include_conf":
		r.draft.leave(n, "include_conf %s: import that file too", value)
	default:
		if !slices.Contains(needless, words[0]) {
			r.draft.leave(n, "%s", strings.Join(words, " "))
		}
	}
}

// args are options of rsync: those that there are keys for.
func (r *rsnapshot) args(n int, args []string) []Value {
	var values []Value
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		switch {
		case slices.Contains(ownArgs, arg):
		case name == "--bwlimit" && config.IsRate(value):
			values = append(values, Value{"bwlimit", value})
		case arg == "-x" || arg == "--one-file-system":
			values = append(values, Value{"one-file-system", true})
		default:
			r.draft.leave(n, "option of rsync %s: rsync-args may take it", arg)
		}
	}
	return values
}

// retain maps a level by its name. The lowest level of another name keeps this many backups; the meaning of others is
// only in the crontab.
func (r *rsnapshot) retain(n int, words []string, lowest bool) []Value {
	if len(words) < 3 {
		r.draft.leave(n, "%s", strings.Join(words, " "))
		return nil
	}
	count, err := strconv.ParseInt(strings.TrimSpace(words[2]), 10, 31)
	if err != nil || count < 1 {
		r.draft.leave(n, "%s", strings.Join(words, " "))
		return nil
	}
	switch name := words[1]; name {
	case "hourly", "daily", "weekly", "monthly", "yearly":
		return []Value{{"keep-" + name, count}}
	}
	if lowest {
		return []Value{{"keep-last", count}}
	}
	r.draft.leave(n, "%s: what it stands for is in the crontab: keep-daily, keep-weekly, keep-monthly", strings.Join(words, " "))
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
	for _, v := range []Value{{"exclude", excludes}, {"filter", below(where, "+ ", r.filter)}, {"exclude-from", r.from}} {
		if list := v.Value.([]string); len(list) > 0 {
			j.Values = append(j.Values, v)
		}
	}
	j.Values = append(j.Values, lastOfEach(slices.Concat(r.values, own.values))...)
	r.draft.add(j)
}

// below makes patterns that begin with a slash, after a prefix, relative to the source: rsnapshot runs rsync with
// --relative, so that they begin at the root of the host. One that leads elsewhere can match nothing.
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

// lineOptions are those of one backup line.
type lineOptions struct {
	exclude []string
	values  []Value
}

func options(r *rsnapshot, b backupLine) lineOptions {
	var o lineOptions
	for option := range strings.SplitSeq(b.options, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(option), "=")
		switch strings.TrimPrefix(name, "+") {
		case "":
		case "exclude":
			o.exclude = append(o.exclude, value)
		case "one_fs":
			o.values = append(o.values, Value{"one-file-system", value == "1"})
		case "ssh_args":
			o.values = append(o.values, Value{"rsh", "ssh " + value})
		case "rsync_long_args", "rsync_short_args":
			o.values = append(o.values, r.args(b.line, strings.Fields(value))...)
		default:
			r.draft.leave(b.line, "option %s", option)
		}
	}
	return o
}

// lastOfEach leaves one value of each key, the last one, and none that TOML cannot hold.
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
