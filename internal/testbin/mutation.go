package testbin

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Mutation breaks a function in File, whose path is relative to the directory of the test: it replaces Old, which
// occurs there once, by New.
type Mutation = struct{ File, Old, New string }

// mutantEnv says which mutation the binary of a test has: its number in the list, or none.
const mutantEnv = "RSBTBACKUP_MUTANT"

// WantNoticed lets a test of the package in dir that run names fail for each mutation. The functions are built once,
// with all their broken versions: building the tests anew for each mutation would take minutes.
func WantNoticed(t *testing.T, dir, run string, mutations []Mutation) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "broken.test")
	// With the tags of the other tests, what they have compiled is not compiled again.
	out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-ldflags=-w", "-tags", "integration,nethttpomithttp2",
		"-overlay", overlay(t, mutations), "-o", bin, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("build %s with all mutations: %v\n%s", dir, err, out)
	}
	tests := func(mutant string) ([]byte, error) {
		c := exec.CommandContext(t.Context(), bin, "-test.failfast", "-test.run", run)
		// Several run at once, and each takes two thirds of the time if its threads need not be woken for each other.
		c.Dir, c.Env = dir, append(os.Environ(), mutantEnv+"="+mutant, "GOMAXPROCS=1")
		return c.CombinedOutput()
	}
	if out, err := tests("none"); err != nil {
		t.Fatalf("%s, %s, without a mutation: %v\n%s", dir, run, err, out)
	}
	for i, m := range mutations {
		t.Run(m.File+": "+m.Old, func(t *testing.T) {
			t.Parallel()
			if _, err := tests(strconv.Itoa(i)); err == nil {
				t.Errorf("no test notices %q in the place of %q", m.New, m.Old)
			}
		})
	}
}

// overlay is a file for go build -overlay, with all broken versions of all functions.
func overlay(t *testing.T, mutations []Mutation) string {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	put := func(path, text string) {
		path, err := filepath.Abs(path)
		must(t, err)
		if replace[path] != "" {
			return // one for all files of a package
		}
		replace[path] = filepath.Join(dir, strconv.Itoa(len(replace))+".go")
		must(t, os.WriteFile(replace[path], []byte(text), 0o600))
	}
	files := map[string]*brokenFile{}
	for i, m := range mutations {
		if files[m.File] == nil {
			files[m.File] = readSource(t, m.File)
		}
		if err := files[m.File].add(m, i); err != nil {
			t.Fatal(err)
		}
	}
	for path, f := range files {
		put(path, f.text())
		put(filepath.Join(filepath.Dir(path), "mutant.go"),
			fmt.Sprintf("package %s\n\nimport \"os\"\n\nvar mutant = os.Getenv(%q)\n", f.parsed.Name.Name, mutantEnv))
	}
	config, err := json.Marshal(map[string]any{"Replace": replace})
	must(t, err)
	name := filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(name, config, 0o600))
	return name
}

// brokenFile is a source file, and what is to be added to it.
type brokenFile struct {
	source  string
	parsed  *ast.File
	choices map[int]string // at these offsets: the choice between versions of a function
	copies  strings.Builder
}

func readSource(t *testing.T, path string) *brokenFile {
	t.Helper()
	source, err := os.ReadFile(path)
	must(t, err)
	parsed, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
	must(t, err)
	return &brokenFile{source: string(source), parsed: parsed, choices: map[int]string{}}
}

// add appends a copy of the function that m breaks, under a name of its own, and lets the function call it if it is
// the mutant with this number.
func (f *brokenFile) add(m Mutation, number int) error {
	if strings.Count(f.source, m.Old) != 1 {
		return fmt.Errorf("%s: %q does not stand there exactly once: name what stands there", m.File, m.Old)
	}
	at := strings.Index(f.source, m.Old)
	for _, d := range f.parsed.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || at < f.offset(fn.Pos()) || at+len(m.Old) > f.offset(fn.End()) {
			continue
		}
		call, err := call(fn, number)
		if err != nil {
			return fmt.Errorf("%s: %w", m.File, err)
		}
		f.choices[f.offset(fn.Body.Lbrace)+1] += fmt.Sprintf("\n\tif mutant == %q {\n\t\t%s\n\t}\n", strconv.Itoa(number), call)
		name := f.offset(fn.Name.End())
		whole := f.source[f.offset(fn.Pos()):name] + version(number) + f.source[name:f.offset(fn.End())]
		f.copies.WriteString("\n" + strings.Replace(whole, m.Old, m.New, 1) + "\n")
		return nil
	}
	return fmt.Errorf("%s: %q stands in no function: name a place where it is used", m.File, m.Old)
}

// text is the file with all that was added.
func (f *brokenFile) text() string {
	var b strings.Builder
	done := 0
	for _, at := range slices.Sorted(maps.Keys(f.choices)) {
		b.WriteString(f.source[done:at] + f.choices[at])
		done = at
	}
	return b.String() + f.source[done:] + f.copies.String()
}

// offset is where pos lies in the source: a file set that holds one file begins at 1.
func (f *brokenFile) offset(pos token.Pos) int { return int(pos) - 1 }

func version(number int) string { return "Mutant" + strconv.Itoa(number) }

// call passes what fn gets on to one of its versions.
func call(fn *ast.FuncDecl, number int) (string, error) {
	name := fn.Name.Name + version(number)
	if fn.Recv != nil {
		names := fn.Recv.List[0].Names
		if len(names) == 0 || names[0].Name == "_" {
			return "", fmt.Errorf("%s: name its receiver", fn.Name.Name)
		}
		name = names[0].Name + "." + name
	}
	var args []string
	for _, field := range fn.Type.Params.List {
		_, variadic := field.Type.(*ast.Ellipsis)
		if len(field.Names) == 0 {
			return "", fmt.Errorf("%s: name its parameters", fn.Name.Name)
		}
		for _, n := range field.Names {
			if n.Name == "_" {
				return "", fmt.Errorf("%s: name its parameters", fn.Name.Name)
			}
			if args = append(args, n.Name); variadic {
				args[len(args)-1] += "..."
			}
		}
	}
	all := name + "(" + strings.Join(args, ", ") + ")"
	if fn.Type.Results == nil {
		return all + "\n\t\treturn", nil
	}
	return "return " + all, nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
