// Typecheck checks the types of all packages and their tests for each architecture named, on this machine, and that no
// shift is wider than its word.
//
// go build and go vet compile the standard library for each of them first, which takes ten times as long. What differs
// between architectures is in the types: the fields of the kernel's structures, and the size of a word. Shifts are the
// only other thing that go vet looks at and that depends on it.
package main

import (
	"fmt"
	"os"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/analysis/passes/shift"
	"golang.org/x/tools/go/packages"
)

func main() {
	for _, arch := range os.Args[1:] {
		if err := check(".", arch); err != nil {
			fmt.Fprintf(os.Stderr, "typecheck: %s: %v\n", arch, err)
			os.Exit(1)
		}
	}
}

// check loads from source all that is needed; of other modules it reads the declarations only.
func check(dir, arch string) error {
	loaded, err := packages.Load(&packages.Config{
		Dir:        dir,
		Mode:       packages.LoadAllSyntax,
		Env:        append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0"),
		BuildFlags: []string{"-tags", "integration"},
		Tests:      true,
	}, "./...")
	if err != nil {
		return err
	}
	if n := packages.PrintErrors(loaded); n > 0 {
		return fmt.Errorf("%d errors", n)
	}
	return shifts(loaded)
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
