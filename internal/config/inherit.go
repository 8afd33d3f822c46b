package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// setting is the value of one key in one table.
type setting struct {
	key   Key
	name  string // the key as written, with the user's names
	wild  string // the names for each * in key.Name, joined by NUL
	raw   any
	value any
	from  Origin
}

// scope is [defaults], a group or a job.
type scope struct {
	kind, name string
	from       Origin
	settings   map[string]setting // by name
	broken     bool               // a value was refused
}

const (
	runTable      = "run"
	metricsTable  = "metrics"
	defaultsTable = "defaults"
	groupTable    = "group"
	jobTable      = "job"
)

// label is a scope as written in brackets.
func (s *scope) label() string {
	if s.name == "" {
		return s.kind
	}
	return s.kind + "." + s.name
}

// splitScope removes the table of a scope from a path.
func splitScope(path []string) (table, rest []string) {
	n := 1
	if path[0] == groupTable || path[0] == jobTable {
		n = 2
	}
	n = min(n, len(path))
	return path[:n], path[n:]
}

// keyTable finds keys. It is made once for all files, because there are many lines.
type keyTable struct {
	all    []Key
	byName map[string]int // those without a *
	wild   []int
}

func newKeyTable(keys []Key) keyTable {
	t := keyTable{all: keys, byName: map[string]int{}}
	for i, k := range keys {
		if strings.Contains(k.Name, "*") {
			t.wild = append(t.wild, i)
		} else {
			t.byName[k.Name] = i
		}
	}
	return t
}

// find returns the key for a path below a scope, and the name that its * matches.
func (t keyTable) find(path []string) (k Key, wild string, ok bool) {
	if i, ok := t.byName[strings.Join(path, ".")]; ok && !slices.ContainsFunc(path, func(s string) bool { return strings.Contains(s, ".") }) {
		return t.all[i], "", true
	}
	for _, i := range t.wild {
		key := strings.Split(t.all[i].Name, ".")
		if names, ok := matchKey(key, path); ok && len(path) == len(key) {
			return t.all[i], strings.Join(names, "\x00"), true
		}
	}
	return Key{}, "", false
}

// matchKey reports whether path is key or the beginning of it.
func matchKey(key, path []string) (wild []string, ok bool) {
	if len(path) > len(key) {
		return nil, false
	}
	for i, word := range path {
		switch {
		case key[i] == "*":
			wild = append(wild, word)
		case key[i] != word:
			return nil, false
		}
	}
	return wild, true
}

// GlobalKeys are those of [run] and [metrics].
func GlobalKeys() []Key {
	textfile := `"/var/lib/prometheus/node-exporter/rsbtbackup.prom"`
	global := func(name string, kind Kind, example, doc string, set func(c *Config, v any)) Key {
		return Key{Name: name, Kind: kind, Example: example, Doc: doc, setGlobal: set}
	}
	return []Key{
		global("run.jobs", Above0, "2", "How many jobs run at once (1).", func(c *Config, v any) { c.Run.Jobs = v.(int) }),
		global("run.jobs-per-host", Above0, "1", "How many of them may read from one host. The default is no limit. This machine counts as a host.", func(c *Config, v any) { c.Run.PerHost = v.(int) }),
		global("run.jobs-per-disk", Above0, "2", "How many of them may write to one file system.", func(c *Config, v any) { c.Run.PerDisk = v.(int) }),
		global("run.state", Text, `"/var/lib/rsbtbackup"`, "A directory for the state of each job: its last run and its last failure. If it is deleted, only these are lost.", func(c *Config, v any) { c.Run.State = v.(string) }),
		{Name: "metrics.textfile", Kind: Text, Example: textfile, Doc: "A file with figures for the textfile collector of Prometheus' node_exporter, written during a run.",
			setGlobal: func(c *Config, v any) { c.Metrics.Textfile = v.(string) }},
	}
}

// assembler makes scopes from documents, then jobs from scopes.
type assembler struct {
	config   *Config
	keys     keyTable
	scopes   []*scope // in the order of their first table
	byLabel  map[string]*scope
	globals  map[string]setting
	problems Problems
	docs     map[string]document
}

// assemble is pure.
func assemble(docs []document) (*Config, Problems) {
	a := &assembler{config: &Config{}, keys: newKeyTable(Keys()), byLabel: map[string]*scope{}, globals: map[string]setting{}, docs: map[string]document{}}
	for _, doc := range docs {
		a.config.Files = append(a.config.Files, doc.file)
		a.docs[doc.file] = doc
		a.take(doc)
	}
	for _, s := range a.scopes {
		switch s.kind {
		case groupTable:
			a.config.Groups = append(a.config.Groups, s.name)
		case jobTable:
			a.job(s)
		}
	}
	slices.Sort(a.config.Groups)
	a.checkJobs()
	return a.config, a.problems
}

func (a *assembler) problem(at Origin, format string, args ...any) {
	a.problems = append(a.problems, a.docs[at.File].problem(at.Line, format, args...))
}

// scope returns the scope of a table, and adds it if it is missing.
func (a *assembler) scope(table []string, from Origin) *scope {
	kind, name := table[0], ""
	if len(table) > 1 {
		name = table[1]
	}
	if s := a.find(kind, name); s != nil {
		return s
	}
	s := &scope{kind: kind, name: name, from: from, settings: map[string]setting{}}
	a.scopes = append(a.scopes, s)
	a.byLabel[s.label()] = s
	return s
}

func (a *assembler) find(kind, name string) *scope {
	return a.byLabel[(&scope{kind: kind, name: name}).label()]
}

// job makes the jobs of a table.
func (a *assembler) job(s *scope) {
	if len(s.settings) == 0 && !s.broken {
		a.problem(s.from, "[%s] is empty: it needs source and dest", s.label())
		return
	}
	chain := a.chain(s)
	j := Job{Name: s.name, Table: s.name, Groups: groupsOf(s), Defined: s.from}
	settings := map[string]setting{}
	for _, k := range a.keys.all {
		for _, name := range namesOf(k, chain) {
			st, from, err := merged(k, name, chain)
			if err != nil {
				a.problem(st.from, "%s: %v", name, err)
				continue
			}
			settings[name] = st
			k.set(&j, st.wild, st.value)
			j.Values = append(j.Values, Value{name, st.text(), from})
		}
	}
	a.expand(j, settings)
}

func groupsOf(s *scope) []string {
	if st, ok := s.settings["group"]; ok {
		return st.value.([]string)
	}
	return nil
}

// chain has the scopes that a job's values come from, the nearest last.
func (a *assembler) chain(s *scope) []*scope {
	var chain []*scope
	if d := a.find(defaultsTable, ""); d != nil {
		chain = append(chain, d)
	}
	for _, name := range groupsOf(s) {
		g := a.find(groupTable, name)
		if g == nil {
			a.problem(s.settings["group"].from, "group: there is no [group.%s]%s", name, a.meant(name))
			continue
		}
		chain = append(chain, g)
	}
	return append(chain, s)
}

func (a *assembler) meant(name string) string {
	var groups []string
	for _, s := range a.scopes {
		if s.kind == groupTable {
			groups = append(groups, s.name)
		}
	}
	return didYouMean(name, groups)
}

func didYouMean(word string, names []string) string {
	if best := nearest(word, names); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}

// namesOf are the names with which a key is set in the chain, sorted: there can be several if it has a *.
func namesOf(k Key, chain []*scope) []string {
	var names []string
	for _, s := range chain {
		if !strings.Contains(k.Name, "*") {
			if _, ok := s.settings[k.Name]; ok {
				return []string{k.Name}
			}
			continue
		}
		for name, st := range s.settings {
			if st.key.Name == k.Name && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// merged is the effective value at the end of the chain: the nearest, or all of them if the key adds up.
func merged(k Key, name string, chain []*scope) (setting, []Origin, error) {
	var all setting
	var from []Origin
	var list []any
	for _, s := range chain {
		st, ok := s.settings[name]
		switch {
		case !ok:
		case k.Adds:
			if one, isText := st.raw.(string); isText {
				st.raw = []any{one}
			}
			list = append(list, st.raw.([]any)...)
			all, from = st, append(from, st.from)
		default:
			all, from = st, []Origin{st.from}
		}
	}
	if !k.Adds {
		return all, from, nil
	}
	all.raw = list
	value, err := k.decode(list)
	all.value = value
	return all, from, err
}

// text is the value as TOML, unless it is a secret.
func (s setting) text() string {
	if secret, ok := s.value.(Secret); ok {
		return TOML(secret.String())
	}
	return TOML(s.raw)
}

// TOML is a value in TOML: a text, a number, true or false, or a list.
func TOML(v any) string {
	switch v := v.(type) {
	case string:
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		_ = e.Encode(v) // a string always encodes, and TOML's escapes include those of JSON
		return strings.TrimSuffix(b.String(), "\n")
	case []string:
		texts := make([]string, len(v))
		for i, one := range v {
			texts[i] = TOML(one)
		}
		return "[" + strings.Join(texts, ", ") + "]"
	case []any:
		texts := make([]string, len(v))
		for i, one := range v {
			texts[i] = TOML(one)
		}
		return "[" + strings.Join(texts, ", ") + "]"
	}
	return fmt.Sprint(v)
}
