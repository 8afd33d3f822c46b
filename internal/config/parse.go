package config

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// document is one file, parsed.
type document struct {
	file   string
	lines  []string
	tables []table
	leaves []leaf
}

// table is a header, [a.b].
type table struct {
	path []string
	line int
}

// leaf is a value that is not a table. Inline tables are split like others.
type leaf struct {
	path  []string
	line  int
	value any // string, bool, int64, []any, or other
}

// other is a TOML type that no key takes: a date, a time, or a table within a list.
type other string

// parseTOML reads a document, or reports with its place what is invalid. The first pass is that of the decoder, which
// checks all rules of TOML, such as duplicate keys; the second one finds the places, which the decoder does not report.
func parseTOML(file string, data []byte) (document, Problems) {
	doc := document{file: file, lines: strings.Split(string(data), "\n")}
	var all map[string]any
	if err := toml.Unmarshal(data, &all); err != nil {
		return doc, Problems{doc.syntaxProblem(err)}
	}
	p := unstable.Parser{}
	p.Reset(data)
	w := walker{doc: &doc, starts: lineStarts(data)}
	for p.NextExpression() {
		w.expression(p.Expression())
	}
	if err := p.Error(); err != nil {
		return doc, Problems{doc.syntaxProblem(err)}
	}
	return doc, nil
}

func (d document) syntaxProblem(err error) Problem {
	var at *toml.DecodeError
	if !errors.As(err, &at) {
		return Problem{File: d.file, Text: "no TOML: " + err.Error()}
	}
	line, _ := at.Position()
	return d.problem(line, "no TOML: %s", strings.TrimPrefix(at.Error(), "toml: "))
}

func (d document) problem(line int, format string, args ...any) Problem {
	p := Problem{File: d.file, Line: line, Text: fmt.Sprintf(format, args...)}
	if 0 < line && line <= len(d.lines) {
		p.Excerpt = strings.TrimSpace(d.lines[line-1])
		if d.secretIn(line) {
			before, _, _ := strings.Cut(p.Excerpt, "=")
			p.Excerpt = before + "= ..."
		}
	}
	return p
}

// secretWord matches the name of a key or a table whose values may be secrets, also if it is misspelt or the line is
// not TOML, and the address of a server.
var secretWord = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)ping|http|url|header`) })

// secretIn reports whether a line may contain a secret, which a message must not show.
func (d document) secretIn(line int) bool {
	table := ""
	for i := line - 1; i >= 0 && table == ""; i-- {
		if strings.HasPrefix(strings.TrimSpace(d.lines[i]), "[") {
			table = d.lines[i]
		}
	}
	return secretWord().MatchString(d.lines[line-1]+table) || slices.ContainsFunc(d.leaves, func(l leaf) bool {
		return l.line == line && secretWord().MatchString(strings.Join(l.path, "."))
	})
}

// walker visits the expressions of a document in order.
type walker struct {
	doc    *document
	starts []int    // the offset of each line
	base   []string // the table that is open
}

func (w *walker) expression(n *unstable.Node) {
	switch n.Kind {
	case unstable.Table, unstable.ArrayTable:
		path, line := w.key(n.Key())
		w.base = path
		w.doc.tables = append(w.doc.tables, table{path, line})
		if n.Kind == unstable.ArrayTable {
			w.doc.leaves = append(w.doc.leaves, leaf{path: path, line: line, value: other("a list of tables")})
		}
	case unstable.KeyValue:
		w.keyValue(w.base, n)
	}
}

func (w *walker) keyValue(base []string, n *unstable.Node) {
	path, line := w.key(n.Key())
	path = append(append([]string(nil), base...), path...)
	if n.Value().Kind != unstable.InlineTable {
		w.doc.leaves = append(w.doc.leaves, leaf{path: path, line: line, value: w.value(n.Value())})
		return
	}
	w.doc.tables = append(w.doc.tables, table{path, line})
	for children := n.Value().Children(); children.Next(); {
		if c := children.Node(); c.Kind == unstable.KeyValue {
			w.keyValue(path, c)
		}
	}
}

// line is the line number of an offset. The parser's own Shape counts from the beginning each time.
func (w *walker) line(offset int) int {
	i, found := slices.BinarySearch(w.starts, offset)
	if found {
		return i + 1
	}
	return i
}

func lineStarts(data []byte) []int {
	starts := []int{0}
	for i, c := range data {
		if c == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

func (w *walker) key(it unstable.Iterator) (path []string, line int) {
	for it.Next() {
		n := it.Node()
		path = append(path, string(n.Data))
		if line == 0 {
			line = w.line(int(n.Raw.Offset))
		}
	}
	return path, line
}

func (w *walker) value(n *unstable.Node) any {
	switch n.Kind {
	case unstable.String:
		return string(n.Data)
	case unstable.Bool:
		return string(n.Data) == "true"
	case unstable.Integer:
		if i, err := strconv.ParseInt(string(bytes.TrimPrefix(n.Data, []byte("+"))), 0, 64); err == nil {
			return i
		}
		return other("a number")
	case unstable.Float:
		return other("a number with a fraction")
	case unstable.Array:
		list := []any{}
		for children := n.Children(); children.Next(); {
			if c := children.Node(); c.Kind != unstable.Comment {
				list = append(list, w.value(c))
			}
		}
		return list
	case unstable.InlineTable:
		return other("a table")
	}
	return other("a date or time")
}
