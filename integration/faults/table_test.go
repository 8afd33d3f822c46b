//go:build integration

package faults

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

const document = "../../docs/RELIABILITY.md"

// TestTableOfFaults compares docs/RELIABILITY.md with the tests there are: each one it names exists, and it names each
// one of this package.
func TestTableOfFaults(t *testing.T) {
	text := read(t, document)
	exist, here := testFunctions(t)
	named := map[string]bool{}
	for _, name := range regexp.MustCompile(`\bTest[A-Z]\w*`).FindAllString(text, -1) {
		named[name] = true
		if !exist[name] {
			t.Errorf("%s names %s, which is no test", document, name)
		}
	}
	for name := range here {
		if !named[name] {
			t.Errorf("%s says nothing of %s", document, name)
		}
	}
}

// testFunctions returns the tests of the module, and those of this package.
func testFunctions(t testing.TB) (all, here map[string]bool) {
	t.Helper()
	all, here = map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") || f.Name.Name == "TestMain" {
				continue
			}
			all[f.Name.Name] = true
			if filepath.Dir(path) == "../../integration/faults" {
				here[f.Name.Name] = true
			}
		}
		return nil
	})
	testdest.Must(t, err)
	return all, here
}
