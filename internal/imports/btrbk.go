package imports

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// section is one level of btrbk.conf: the file, a volume, a subvolume or a target. It inherits the options of the
// sections around it.
type section struct {
	kind, arg string
	line      int
	options   map[string]string
	inside    []*section
}

func newSection(kind, arg string, line int) *section {
	return &section{kind: kind, arg: arg, line: line, options: map[string]string{}}
}

// Btrbk reads btrbk.conf. Each subvolume becomes a job for each of its targets.
func Btrbk(text string) Draft {
	d := &Draft{}
	root := btrbkTree(d, text)
	targets := slices.DeleteFunc(slices.Clone(root.inside), func(s *section) bool { return s.kind != "target" })
	for _, v := range root.inside {
		volume := v
		if v.kind == "subvolume" { // without a volume, with its whole path
			volume = newSection("volume", "", v.line)
			volume.inside = []*section{v}
		}
		if volume.kind == "volume" {
			d.volume(root, volume, targets)
		}
	}
	return *d
}

// btrbkTree reads sections by their kind: a volume ends the one before it, and so on.
func btrbkTree(d *Draft, text string) *section {
	root := newSection("", "", 0)
	open := []*section{root} // from the outermost to the innermost
	rank := map[string]int{"volume": 1, "subvolume": 2, "target": 3}
	lines(text, func(n int, line string) {
		key, arg, _ := strings.Cut(line, " ")
		if before, after, found := strings.Cut(line, "\t"); found && len(before) < len(key) {
			key, arg = before, after
		}
		arg, _, _ = strings.Cut(arg, " #")
		arg = strings.Trim(strings.TrimSpace(arg), `"'`)
		level, isSection := rank[key]
		if !isSection {
			open[len(open)-1].options[key] = arg
			switch {
			case known(key), arg == "no":
			case key == "noauto":
				d.leave(n, "noauto %s: the job runs with --all; leave it out, or start it by its name", arg)
			case key == "include":
				d.leave(n, "include %s: import that file too", arg)
			default:
				d.leave(n, "%s %s", key, arg)
			}
			return
		}
		for len(open) > 1 && rank[open[len(open)-1].kind] >= level {
			open = open[:len(open)-1]
		}
		s := newSection(key, arg, n)
		outer := open[len(open)-1]
		outer.inside = append(outer.inside, s)
		open = append(open, s)
	})
	return root
}

// known are options that are read, or that have no counterpart because rsbtbackup works differently: snapshots of the
// source, their transfer, the log and the lock of btrbk.
func known(key string) bool {
	for _, prefix := range []string{"snapshot_", "target_preserve", "ssh_identity", "ssh_user", "ssh_port", "incremental", "timestamp_format", "lockfile", "transaction_", "stream_", "btrfs_", "backend", "cache_dir", "warn_unknown_targets"} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

func (d *Draft) volume(root, volume *section, shared []*section) {
	outer := slices.DeleteFunc(slices.Clone(volume.inside), func(s *section) bool { return s.kind != "target" })
	for _, sub := range volume.inside {
		if sub.kind != "subvolume" {
			continue
		}
		targets := slices.Concat(shared, outer, sub.inside)
		if len(targets) == 0 {
			d.leave(sub.line, "subvolume %s: it has no target", sub.arg)
		}
		for _, target := range targets {
			d.subvolume(root, volume, sub, target)
		}
	}
}

func (d *Draft) subvolume(root, volume, sub, target *section) {
	get := func(key string) string {
		for _, s := range []*section{target, sub, volume, root} {
			if v, ok := s.options[key]; ok {
				return v
			}
		}
		return ""
	}
	place := target.arg
	if kind, rest, found := strings.Cut(place, " "); found {
		place = strings.TrimSpace(rest)
		if kind != "send-receive" {
			d.leave(target.line, "target %s %s: only plain directories can be written to", kind, place)
			return
		}
	}
	place = strings.Trim(place, `"'`)
	if !strings.HasPrefix(place, "/") {
		d.leave(target.line, "target %s: it is on another host; run rsbtbackup there, or make a copy there: copy.NAME.target", place)
		return
	}
	if strings.Contains(sub.arg, "*") {
		d.leave(sub.line, "subvolume %s: a pattern; name each source", sub.arg)
		return
	}
	source, port, remote := btrbkSource(volume.arg, sub.arg, get("ssh_user"))
	if p := get("ssh_port"); port == "" && p != "default" { // of older versions
		port = p
	}
	name := path.Base(path.Clean("/" + sub.arg))
	if name == "/" {
		name = "root"
	}
	j := Job{Line: sub.line, Name: name, Values: []Value{{"source", source}, {"dest", path.Join(place, name)}}}
	j.Values = append(j.Values, Value{"one-file-system", true}) // as a snapshot has no subvolumes in it
	if remote && port != "" {
		j.Values = append(j.Values, Value{"rsh", "ssh -p " + port})
	}
	if identity := get("ssh_identity"); remote && identity != "" && identity != "no" {
		j.Values = append(j.Values, Value{"ssh-identity", identity})
	}
	if !remote {
		j.Values = append(j.Values, Value{"snapshot-source", true}) // as btrbk's backups are of one instant
	}
	d.kept(sub, get)
	j.Values = append(j.Values, d.preserve(target.line, get("target_preserve"), get("target_preserve_min"))...)
	d.add(j)
}

// kept notes that btrbk keeps snapshots beside the source, and rsbtbackup does not.
func (d *Draft) kept(sub *section, get func(string) string) {
	for _, key := range []string{"snapshot_preserve", "snapshot_preserve_min"} {
		if rules := get(key); rules != "" && rules != "no" && rules != "latest" {
			note := Note{sub.line, fmt.Sprintf("%s %s: no snapshots are kept beside the source; keep-... are rules for DEST", key, rules)}
			if !slices.ContainsFunc(d.LeftOut, func(n Note) bool { return n.Text == note.Text }) { // which stands above many
				d.LeftOut = append(d.LeftOut, note)
			}
		}
	}
}

// btrbkSource converts the place of a subvolume to a SRC for rsync, and returns the port of its host if it names one.
// The place is ssh://host:port/directory, host:directory, or a local directory. An IPv6 address is in brackets.
func btrbkSource(volume, sub, user string) (source, port string, remote bool) {
	rest, isURL := strings.CutPrefix(volume, "ssh://")
	m := btrbkHost().FindStringSubmatch(rest)
	if isURL {
		m = btrbkURL().FindStringSubmatch(rest)
	}
	if m == nil {
		return path.Join("/", volume, sub), "", false
	}
	host, dir := m[1], m[len(m)-1]
	if isURL {
		port = m[2]
	}
	if user == "" {
		user = "root" // btrbk's own default
	}
	if !strings.Contains(host, "@") && user != "no" {
		host = user + "@" + host
	}
	return host + ":" + path.Join("/", dir, sub), port, true
}

var (
	btrbkURL = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^((?:[^/@]*@)?(?:\[[^]]*\]|[^/:]*))(?::([0-9]+))?(/.*)?$`)
	})
	btrbkHost = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^((?:[^/@]*@)?(?:\[[^]]*\]|[^/:]+)):(.*)$`) })
)

var preserved = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([0-9]+|\*)([hdwmy])$`) })

// preserve converts target_preserve and target_preserve_min to keep rules. Without target_preserve_min btrbk keeps
// everything, regardless of target_preserve.
func (d *Draft) preserve(line int, rules, least string) []Value {
	var values []Value
	if least == "" || least == "all" {
		if rules != "" && rules != "no" {
			d.leave(line, "target_preserve %s: btrbk keeps everything, because target_preserve_min is \"all\", its default", rules)
		}
		return nil
	}
	names := map[string]string{"h": "hourly", "d": "daily", "w": "weekly", "m": "monthly", "y": "yearly"}
	for word := range strings.FieldsSeq(rules) {
		m := preserved().FindStringSubmatch(word)
		switch n, _ := strconv.ParseInt(strings.TrimRight(word, "hdwmy"), 10, 31); {
		case word == "no":
		case m != nil && m[1] == "*":
			values = append(values, Value{"keep-" + names[m[2]], "unlimited"})
		case m != nil && n > 0:
			values = append(values, Value{"keep-" + names[m[2]], n})
		default:
			d.leave(line, "target_preserve %s", word)
		}
	}
	switch m := preserved().FindStringSubmatch(least); {
	case least == "latest", least == "no": // the newest one is always kept
	case m != nil && m[1] != "*" && strings.Trim(m[1], "0") != "" && len(m[1]) < 4:
		values = append(values, Value{"keep-within", least})
	default:
		d.leave(line, "target_preserve_min %s", least)
	}
	return lastOfEach(values)
}
