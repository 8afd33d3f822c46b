// From the leaves of a document to the settings of scopes, and what is wrong with them.

package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// take adds one document. An unknown table is one problem, regardless of its content. All wrong values and unknown keys
// are reported, none hides another.
func (a *assembler) take(doc document) {
	var unknown [][]string
	for _, t := range doc.tables {
		if covered(unknown, t.path) {
			continue
		}
		if p := a.tableProblem(doc, t); p != nil {
			a.problems = append(a.problems, *p)
			unknown = append(unknown, t.path)
			continue
		}
		table, _ := splitScope(t.path)
		if isScope(table) {
			a.scope(table, Origin{doc.file, t.line, strings.Join(table, ".")})
		}
	}
	for _, l := range doc.leaves {
		if !covered(unknown, l.path) {
			a.takeLeaf(doc, l)
		}
	}
}

func covered(tables [][]string, path []string) bool {
	return slices.ContainsFunc(tables, func(t []string) bool {
		return len(t) <= len(path) && slices.Equal(t, path[:len(t)])
	})
}

func isScope(table []string) bool {
	switch table[0] {
	case defaultsTable:
		return len(table) == 1
	case groupTable, jobTable:
		return len(table) == 2
	}
	return false
}

// sections are the tables at the top.
func sections() []string {
	return []string{runTable, metricsTable, defaultsTable, groupTable, jobTable}
}

// nameOf is what the names of jobs and groups may be: they become parts of the names of units and files.
var nameOf = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`) })

func (a *assembler) tableProblem(doc document, t table) *Problem {
	say := func(format string, args ...any) *Problem {
		p := doc.problem(t.line, format, args...)
		return &p
	}
	if !slices.Contains(sections(), t.path[0]) {
		return say("unknown table [%s]%s", strings.Join(t.path, "."), didYouMean(t.path[0], sections()))
	}
	scope, rest := splitScope(t.path)
	if len(scope) == 2 && !nameOf().MatchString(scope[1]) {
		return say("[%s.%q]: a name has letters, digits, and after the first character . and -, 64 at most", scope[0], scope[1])
	}
	if scope[0] == runTable || scope[0] == metricsTable {
		if len(rest) > 0 {
			return say("unknown table [%s]", strings.Join(t.path, "."))
		}
		return nil
	}
	if len(rest) == 0 {
		return nil
	}
	for _, k := range a.keys.all {
		if _, ok := matchKey(strings.Split(k.Name, "."), rest); ok && len(rest) < len(strings.Split(k.Name, ".")) {
			return nil
		}
	}
	if k, _, ok := a.keys.find(rest); ok {
		return say("%s: want a value, not a table: %s = %s", k.Name, k.Name, k.Example)
	}
	return say("unknown table [%s]%s", strings.Join(t.path, "."), didYouMean(strings.Join(rest, "."), subtables()))
}

// subtables are the tables within a scope: verify, check and so on.
func subtables() []string {
	var names []string
	for _, k := range Keys() {
		if name, _, found := strings.Cut(k.Name, "."); found && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (a *assembler) takeLeaf(doc document, l leaf) {
	table, rest := splitScope(l.path)
	from := Origin{doc.file, l.line, strings.Join(table, ".")}
	switch {
	case len(l.path) == 1 && l.path[0] == includeKey:
	case table[0] == runTable || table[0] == metricsTable:
		a.takeGlobal(l, from)
	case isScope(table) && len(rest) > 0:
		a.takeSetting(a.scope(table, from), rest, l, from)
	case slices.Contains(sections(), l.path[0]):
		a.problem(from, "%s: want a table, not %s", strings.Join(l.path, "."), tomlType(l.value))
	default:
		a.problem(from, "unknown key %q at the top%s", l.path[0], didYouMean(l.path[0], append(sections(), includeKey)))
	}
}

func (a *assembler) takeGlobal(l leaf, from Origin) {
	name := strings.Join(l.path, ".")
	if len(l.path) == 1 {
		a.problem(from, "%s: want a table, not %s", name, tomlType(l.value))
		return
	}
	k, _, ok := newKeyTable(GlobalKeys()).find(l.path)
	if !ok {
		var names []string
		for _, k := range GlobalKeys() {
			names = append(names, k.Name)
		}
		a.problem(from, "unknown key %s%s", name, didYouMean(name, names))
		return
	}
	if was, twice := a.globals[name]; twice {
		a.problem(from, "%s: it stands in %s:%d already", name, was.from.File, was.from.Line)
		return
	}
	value, err := k.decode(l.value)
	if s, isText := value.(string); err == nil && isText && !strings.HasPrefix(s, "/") {
		err = fmt.Errorf("%q: want an absolute path", s)
	}
	if err != nil {
		a.problem(from, "%s: %v", name, err)
		return
	}
	a.globals[name] = setting{from: from}
	a.config.Values = append(a.config.Values, Value{name, TOML(l.value), []Origin{from}})
	k.setGlobal(a.config, value)
}

func (a *assembler) takeSetting(s *scope, path []string, l leaf, from Origin) {
	name := strings.Join(path, ".")
	k, wild, ok := a.keys.find(path)
	switch {
	case !ok:
		a.problem(from, "unknown key %q in [%s]%s", name, s.label(), didYouMean(name, keyNames(s.kind)))
		return
	case k.JobOnly && s.kind != jobTable:
		a.problem(from, "%s belongs into [job.NAME], not into [%s]", name, s.label())
		return
	}
	if was, twice := s.settings[name]; twice {
		a.problem(from, "%s: [%s] has it already, in %s:%d", name, s.label(), was.from.File, was.from.Line)
		return
	}
	value, err := k.decode(l.value)
	if err != nil {
		a.problem(from, "%s: %v", name, err)
		value = nil
	}
	st := setting{key: k, name: name, wild: wild, raw: l.value, value: value, from: from}
	if err != nil {
		s.broken = true
		return
	}
	s.settings[name] = st
}

// keyNames are the keys allowed in a kind of table.
func keyNames(kind string) []string {
	var names []string
	for _, k := range Keys() {
		if kind == jobTable || !k.JobOnly {
			names = append(names, k.Name)
		}
	}
	return names
}
