// Typecheck checks the types of all packages and their tests for each architecture named, on this machine, and that no
// shift is wider than its word.
//
// go build and go vet compile the standard library for each of them first, which takes ten times as long. What differs
// between architectures is in the types: the fields of the kernel's structures, and the size of a word. Shifts are the
// only other thing that go vet looks at and that depends on it.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/analysis/passes/shift"
	"golang.org/x/tools/go/packages"
)

func main() {
	dir, err := os.Getwd()
	if err != nil {
		fmt.Fprintf(os.Stderr, "typecheck: %v\n", err)
		os.Exit(1)
	}
	s := newSources(dir)
	for _, arch := range os.Args[1:] {
		if err := s.check(arch); err != nil {
			fmt.Fprintf(os.Stderr, "typecheck: %s: %v\n", arch, err)
			os.Exit(1)
		}
	}
}

// sources are the files below dir, and those of the packages they import. Each is parsed once, whatever the number of
// architectures.
type sources struct {
	dir    string
	fset   *token.FileSet
	mu     sync.Mutex
	parsed map[string]*ast.File
}

func newSources(dir string) *sources {
	return &sources{dir: dir, fset: token.NewFileSet(), parsed: map[string]*ast.File{}}
}

func (s *sources) check(arch string) error {
	loaded, err := packages.Load(&packages.Config{
		Dir:        s.dir,
		Mode:       packages.LoadAllSyntax,
		Env:        append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0"),
		BuildFlags: []string{"-tags", "integration"},
		Tests:      true,
		Fset:       s.fset,
		ParseFile:  s.parse,
	}, "./...")
	if err != nil {
		return err
	}
	s.passOver(loaded)
	if n := packages.PrintErrors(loaded); n > 0 {
		return fmt.Errorf("%d errors", n)
	}
	return shifts(loaded)
}

// parse leaves out the bodies of functions of other modules: their declarations are all that ours depend on.
func (s *sources) parse(fset *token.FileSet, name string, src []byte) (*ast.File, error) {
	s.mu.Lock()
	file := s.parsed[name]
	s.mu.Unlock()
	if file != nil {
		return file, nil
	}
	file, err := parser.ParseFile(fset, name, src, parser.AllErrors|parser.SkipObjectResolution)
	if err != nil {
		return file, err
	}
	if !s.ours(name) {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				endless := &ast.ForStmt{For: f.Body.Lbrace, Body: &ast.BlockStmt{Lbrace: f.Body.Lbrace, Rbrace: f.Body.Rbrace}}
				f.Body.List = []ast.Stmt{endless} // needs no result
			}
		}
	}
	s.mu.Lock()
	s.parsed[name] = file
	s.mu.Unlock()
	return file, nil
}

func (s *sources) ours(name string) bool {
	return strings.HasPrefix(name, s.dir+string(filepath.Separator))
}

// passOver forgets that what is not ours, the main packages of tests included, imports what no declaration there needs.
func (s *sources) passOver(loaded []*packages.Package) {
	packages.Visit(loaded, nil, func(p *packages.Package) {
		if !slices.ContainsFunc(p.CompiledGoFiles, s.ours) {
			p.Errors, p.TypeErrors = nil, nil
		}
		p.IllTyped = len(p.Errors) > 0
	})
}

func shifts(loaded []*packages.Package) error {
	graph, err := checker.Analyze([]*analysis.Analyzer{shift.Analyzer}, loaded, nil)
	if err != nil {
		return err
	}
	n := 0
	for a := range graph.All() {
		if a.Err != nil {
			return a.Err
		}
		for _, d := range a.Diagnostics {
			n++
			fmt.Fprintf(os.Stderr, "%s: %s\n", a.Package.Fset.Position(d.Pos), d.Message)
		}
	}
	if n > 0 {
		return fmt.Errorf("%d shifts that are too wide", n)
	}
	return nil
}
