package rsbtbackup_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var updateAPI = flag.Bool("update-api", false, "write testdata/api.txt anew")

// TestExportedNames keeps the programs of others compiling: what the library shows is in testdata/api.txt, one name a
// line. A line may come; none may go. After a name has come: go test -run TestExportedNames -update-api .
func TestExportedNames(t *testing.T) {
	got := strings.Join(exportedNames(t), "\n") + "\n"
	golden := filepath.Join("testdata", "api.txt")
	if *updateAPI {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("the exported names are others (-want +got):\n%s", d)
	}
}

// TestExportedNamesAreExplained: go doc of every exported name of a public package shows a comment: every type,
// function, method and value has one of its own or of its group.
func TestExportedNamesAreExplained(t *testing.T) {
	for _, dir := range []string{".", "facts", "btrfs", "rsyncexec", "retention", "rotate", "sendstream"} {
		for name := range undocumented(t, dir) {
			t.Errorf("%s: %s has no comment", dir, name)
		}
	}
}

// TestOptionsAreExplained: every field of the options of a verb has a comment.
func TestOptionsAreExplained(t *testing.T) {
	fields := 0
	for _, f := range packageFiles(t, ".") {
		ast.Inspect(f, func(node ast.Node) bool {
			s, ok := node.(*ast.TypeSpec)
			if !ok || !strings.HasSuffix(s.Name.Name, "Options") {
				return true
			}
			for _, field := range s.Type.(*ast.StructType).Fields.List {
				fields++
				if field.Doc == nil && field.Comment == nil {
					t.Errorf("%s.%s has no comment", s.Name, field.Names[0])
				}
			}
			return false
		})
	}
	if fields < 50 {
		t.Errorf("%d fields were found", fields)
	}
}

// TestAliasesSayWhereTheirFieldsAre: go doc shows an alias without the fields of its type (golang/go#44905), so the
// comment of each alias of facts says where they are.
func TestAliasesSayWhereTheirFieldsAre(t *testing.T) {
	aliases := 0
	for _, f := range packageFiles(t, ".") {
		for _, declaration := range f.Decls {
			d, ok := declaration.(*ast.GenDecl)
			if !ok || d.Tok != token.TYPE {
				continue
			}
			for _, spec := range d.Specs {
				s := spec.(*ast.TypeSpec)
				x, ok := s.Type.(*ast.SelectorExpr)
				if !ok || !s.Assign.IsValid() || x.X.(*ast.Ident).Name != "facts" {
					continue
				}
				aliases++
				if !strings.Contains(d.Doc.Text(), "go doc rsbtbackup/facts."+x.Sel.Name) {
					t.Errorf("the comment of %s does not name facts.%s", s.Name, x.Sel.Name)
				}
			}
		}
	}
	if aliases < 20 {
		t.Errorf("%d aliases were found", aliases)
	}
}

func packageFiles(t *testing.T, dir string) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// exportedNames lists those of the root package. Of a type that has its declaration in a package below, the fields and
// methods are listed under the name it has here.
func exportedNames(t *testing.T) []string {
	t.Helper()
	members := map[string][]string{}
	for _, dir := range []string{"facts", "rsyncexec"} {
		for _, f := range packageFiles(t, dir) {
			for name, list := range membersOf(f) {
				members[dir+"."+name] = append(members[dir+"."+name], list...)
			}
		}
	}
	own := map[string][]string{}
	var names []string
	for _, f := range packageFiles(t, ".") {
		for name, list := range membersOf(f) {
			own[name] = append(own[name], list...)
		}
		for _, declaration := range f.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.IsExported() {
					names = append(names, "func "+d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.TypeSpec:
						if !s.Name.IsExported() {
							continue
						}
						names = append(names, "type "+s.Name.Name)
						list := own[s.Name.Name]
						if x, ok := s.Type.(*ast.SelectorExpr); ok && s.Assign.IsValid() {
							list = members[x.X.(*ast.Ident).Name+"."+x.Sel.Name]
						}
						for _, m := range list {
							names = append(names, "type "+s.Name.Name+": "+m)
						}
					case *ast.ValueSpec:
						for _, n := range s.Names {
							if n.IsExported() {
								names = append(names, d.Tok.String()+" "+n.Name)
							}
						}
					}
				}
			}
		}
	}
	// A method may stand in another file than its type.
	for name, list := range own {
		if token.IsExported(name) {
			for _, m := range list {
				names = append(names, "type "+name+": "+m)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// membersOf returns the exported fields and methods of the types of a file.
func membersOf(f *ast.File) map[string][]string {
	members := map[string][]string{}
	for _, declaration := range f.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			if d.Recv != nil && d.Name.IsExported() {
				recv := d.Recv.List[0].Type
				if star, ok := recv.(*ast.StarExpr); ok {
					recv = star.X
				}
				name := recv.(*ast.Ident).Name
				members[name] = append(members[name], d.Name.Name+"()")
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				s, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				fields, ok := s.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, field := range fields.Fields.List {
					for _, n := range field.Names {
						if n.IsExported() {
							members[s.Name.Name] = append(members[s.Name.Name], n.Name)
						}
					}
					if len(field.Names) == 0 {
						members[s.Name.Name] = append(members[s.Name.Name], "embedded")
					}
				}
			}
		}
	}
	return members
}

func undocumented(t *testing.T, dir string) map[string]bool {
	t.Helper()
	missing := map[string]bool{}
	for _, f := range packageFiles(t, dir) {
		for _, declaration := range f.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				// What Error and Unwrap do is known.
				if d.Name.IsExported() && isShown(d) && d.Doc == nil && d.Name.Name != "Error" && d.Name.Name != "Unwrap" {
					missing[d.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.TypeSpec:
						if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
							missing[s.Name.Name] = true
						}
					case *ast.ValueSpec:
						if s.Names[0].IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
							missing[s.Names[0].Name] = true
						}
					}
				}
			}
		}
	}
	return missing
}

// isShown: go doc shows no method of a type that is not exported.
func isShown(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	recv := d.Recv.List[0].Type
	if star, ok := recv.(*ast.StarExpr); ok {
		recv = star.X
	}
	return recv.(*ast.Ident).IsExported()
}
