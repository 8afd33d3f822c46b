// Typecheck checks the types of all packages and their tests for each architecture named, on this machine.
//
// go build and go vet compile the standard library for each of them first, which takes ten times as long. What differs
// between architectures is in the types: the fields of the kernel's structures, and the size of a word.
package main

import (
	"fmt"
	"os"

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
	return nil
}
