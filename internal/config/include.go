package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Load reads a file and the files that it includes. If anything in them is wrong, it returns all Problems; a file that
// cannot be read is one.
func Load(file string) (*Config, error) {
	r := reader{euid: os.Geteuid()}
	r.read(file, nil, Problem{File: file})
	if len(r.problems) > 0 && len(r.docs) == 0 {
		return nil, r.problems
	}
	c, problems := assemble(r.docs)
	c.Warnings = r.warnings
	problems = append(r.problems, problems...)
	if len(c.Jobs) == 0 && len(problems) == 0 {
		problems = Problems{{File: file, Text: "there is no job: a table [job.NAME] with source and dest makes one"}}
	}
	if len(problems) > 0 {
		return nil, problems.sorted(c.Files)
	}
	return c, nil
}

// Parse reads one file from its text, without the files that it includes.
func Parse(name string, text []byte) (*Config, error) {
	doc, problems := parseTOML(name, text)
	if len(problems) > 0 {
		return nil, problems
	}
	c, problems := assemble([]document{doc})
	if len(problems) > 0 {
		return nil, problems.sorted(c.Files)
	}
	return c, nil
}

// reader reads included files, depth first.
type reader struct {
	euid     int
	docs     []document
	problems Problems
	warnings []Problem
}

// read reads one file. at is the line that names it.
func (r *reader) read(file string, stack []string, at Problem) {
	if i := slices.Index(stack, file); i >= 0 {
		r.problem(at, "include: a cycle: %s", strings.Join(append(stack[i:], file), " -> "))
		return
	}
	if slices.ContainsFunc(r.docs, func(d document) bool { return d.file == file }) {
		return // two patterns match it
	}
	data, err := os.ReadFile(file)
	if err != nil {
		r.problem(at, "%v", err)
		return
	}
	doc, problems := parseTOML(file, data)
	r.problems = append(r.problems, problems...)
	r.docs = append(r.docs, doc)
	r.checkSafe(doc)
	for _, l := range doc.leaves {
		if len(l.path) == 1 && l.path[0] == includeKey {
			r.include(doc, l, append(stack, file))
		}
	}
}

func (r *reader) problem(at Problem, format string, args ...any) {
	at.Text = fmt.Sprintf(format, args...)
	r.problems = append(r.problems, at)
}

const includeKey = "include"

// include reads what a line names. Relative patterns are relative to the file they are in.
func (r *reader) include(doc document, l leaf, stack []string) {
	at := doc.problem(l.line, "")
	patterns, err := decodeEach(l.value, func(s string) (string, error) { return s, checkPattern(s) })
	if err != nil {
		r.problem(at, "include: %v", err)
		return
	}
	for _, pattern := range patterns {
		path := pattern
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(doc.file), path)
		}
		files, _ := filepath.Glob(path) // checkPattern has found the only possible error
		if len(files) == 0 && !strings.ContainsAny(pattern, `*?[\`) {
			files = []string{filepath.Clean(path)} // a named file is missing; this is reported with its name
		}
		for _, file := range files {
			r.read(file, stack, at)
		}
	}
}

func checkPattern(s string) error {
	if s == "" {
		return fmt.Errorf("a pattern is empty")
	}
	_, err := filepath.Match(s, "")
	if err != nil {
		return fmt.Errorf("%q: %w", s, err)
	}
	return nil
}

// checkSafe refuses a file that others can write if it can run programs, and warns about others.
func (r *reader) checkSafe(doc document) {
	why, fix := writableByOthers(doc.file, r.euid)
	if why == "" {
		return
	}
	if line := doc.runsAt(); line > 0 {
		p := doc.problem(line, "others can change this file, which says what programs to run: %s", why)
		p.Hint = fix
		r.problems = append(r.problems, p)
		return
	}
	r.warnings = append(r.warnings, Problem{File: doc.file, Text: "others can change this file: " + why, Hint: fix})
}

// runsAt returns the line of the first key that can run a program, or 0.
func (d document) runsAt() int {
	keys := newKeyTable(Keys())
	for _, l := range d.leaves {
		_, rest := splitScope(l.path)
		if k, _, ok := keys.find(rest); ok && k.Runs {
			return l.line
		}
	}
	return 0
}
