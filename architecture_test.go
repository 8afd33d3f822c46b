package rsbtbackup_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// The rules that keep the house in order. A change is local only as long as they hold, and no compiler checks them.
// TestArchitecture applies them to the module as it is; TestArchitectureRulesCanFail shows for each that it finds what
// it forbids.
var rules = []rule{
	{"imports go down", importsGoDown},
	{"special imports stay home", specialImportsStayHome},
	{"help for tests stays in tests", testHelpStaysInTests},
	{"decisions are pure", decisionsArePure},
	{"rooms stay small", roomsStaySmall},
	{"comments fit", commentsFit},
	{"names on disk are in layout.go", diskNamesAreInLayout},
	{"process state belongs to main", processStateBelongsToMain},
	{"packages are introduced", packagesAreIntroduced},
	{"no mutable globals", noMutableGlobals},
}

const (
	module  = "github.com/rsbtbackup/rsbtbackup"
	command = "cmd/rsbtbackup"
	loopfs  = "internal/loopfs"
	testbin = "internal/testbin"
	dests   = "internal/testdest"
	servers = "internal/testserver"
	streams = "internal/teststream"
	boots   = "internal/testboot"
	configs = "internal/config"
	jobRuns = "internal/jobs"
	hooks   = "internal/hooks"
	tells   = "internal/tell"
	figures = "internal/metrics"
	imports = "internal/imports"
	units   = "internal/units"
	timing  = "internal/timers"
	manual  = "internal/manual"
	shares  = "internal/share"
	runsOn  = "internal/machine"
	doctors = "internal/doctor"

	layoutFile = "internal/store/layout.go"
)

// floors are the rooms of the library, from the top of the house to the ground. A package may import those of lower
// floors, as far as mayImport says; never one beside it, or above.
var floors = [][]string{
	{command},
	{doctors},
	{tells, figures},
	{jobRuns, imports, shares, timing},
	{units, manual},
	{configs, hooks, runsOn},
	{"."},
	{"internal/backup", "internal/replica"},
	{"internal/changed", "internal/twin", "internal/check", "internal/prune", "internal/browse", "internal/restore", "internal/verify", "internal/diff"},
	{"internal/space", "internal/archive"},
	{"internal/store"},
	{"internal/blocks"},
	{"internal/pending", "internal/transfer", "internal/freeze"},
	{"internal/source", "internal/reflink", "internal/receive", "internal/remote", "internal/scan", "internal/rename"},
	{"internal/subvol", "internal/readback", "internal/mounts", "internal/replay", "internal/catalog", "internal/pace"},
	{"internal/walk"},
	{"internal/at"},
	{"internal/fail"},
	{"facts"},
	{"internal/say"},
	{"btrfs", "rsyncexec", "rotate", "retention", "sendstream"},
}

// mayImport says which packages of this module the code of a package may import, tests aside: besides those named here,
// a room may import everybody's rooms. The command may name retention because a policy is plain data that the library
// takes as it is.
var mayImport = map[string][]string{
	command:             {".", "retention", configs, jobRuns, imports, tells, figures, shares, units, timing, manual, runsOn, doctors},
	timing:              {units},
	units:               {configs, hooks},
	manual:              {},
	imports:             {configs},
	shares:              {".", configs},
	jobRuns:             {".", configs, hooks},
	tells:               {configs, jobRuns},
	figures:             {configs, jobRuns},
	hooks:               {},
	runsOn:              {},
	doctors:             {".", configs, tells, figures, jobRuns},
	configs:             {".", "retention"},
	".":                 {"internal/backup", "internal/check", "internal/prune", "internal/browse", "internal/restore", "internal/verify", "internal/diff", "internal/replica", "internal/store", "internal/source"},
	"internal/backup":   {"internal/prune", "internal/pending", "internal/transfer", "internal/source", "internal/store", "internal/scan", "internal/rename", "internal/changed", "internal/freeze", "internal/blocks", "internal/catalog", "internal/mounts"},
	"internal/changed":  {"internal/store", "internal/walk"},
	"internal/check":    {"internal/space", "internal/store", "internal/mounts"},
	"internal/prune":    {"internal/space", "internal/store"},
	"internal/browse":   {"internal/space", "internal/store", "internal/mounts"},
	"internal/restore":  {"internal/reflink", "internal/pending", "internal/transfer", "internal/store", "internal/source", "internal/mounts", "internal/walk"},
	"internal/verify":   {"internal/readback", "internal/source", "internal/store", "internal/walk"},
	"internal/diff":     {"internal/replay", "internal/store", "internal/walk"},
	"internal/space":    {"internal/store"},
	"internal/archive":  {"internal/store"},
	"internal/store":    {"internal/subvol", "internal/mounts"},
	"internal/pending":  {"internal/source", "internal/mounts", "internal/readback", "internal/subvol", "internal/walk", "internal/catalog"},
	"internal/freeze":   {"internal/source", "internal/subvol"},
	"internal/source":   {"internal/mounts", "internal/walk"},
	"internal/transfer": {"internal/pace", "internal/source", "internal/walk"},
	"internal/reflink":  {"internal/mounts", "internal/walk"},
	"internal/replica":  {"internal/archive", "internal/pace", "internal/prune", "internal/receive", "internal/remote", "internal/store", "internal/twin"},
	"internal/twin":     {"internal/walk"},
	"internal/receive":  {},
	"internal/remote":   {},
	"internal/scan":     {"internal/mounts", "internal/catalog"},
	"internal/rename":   {"internal/subvol"},
	"internal/blocks":   {"internal/pending", "internal/scan", "internal/catalog"},
	"internal/subvol":   {"internal/walk"},
	"internal/readback": {},
	"internal/mounts":   {},
	"internal/replay":   {},
	"internal/catalog":  {},
	"internal/pace":     {},
	"internal/walk":     {},
	"internal/at":       {},
	"internal/fail":     {},
	"facts":             {},
	"internal/say":      {},
	"btrfs":             {},
	"rsyncexec":         {},
	"sendstream":        {},
	"rotate":            {},
	"retention":         {},
	loopfs:              {},
	testbin:             {},
	dests:               {},
	servers:             {},
	streams:             {},
	boots:               {},
}

// everybodys rooms are open to all rooms above them: the values and words of the library, and the kernel's calls.
var everybodys = []string{"internal/at", "internal/fail", "facts", "internal/say", "btrfs", "rsyncexec", "rotate", "retention", "sendstream"}

// testHelp are the packages that only tests use.
var testHelp = []string{loopfs, testbin, dests, servers, streams, boots}

// decisions are the files that decide: from values to values, without a file, a clock or a system call of their own.
var decisions = []string{
	"internal/backup/plan.go", "internal/backup/scanplan.go", "internal/backup/guard.go", "internal/backup/judge.go", "internal/changed/why.go", "internal/blocks/pieces.go", "internal/blocks/plan.go", "internal/blocks/record.go", "internal/store/repairplan.go",
	"internal/store/order.go", "internal/prune/unusual.go", "internal/source/another.go", "internal/replay/replay.go", "retention/apply.go",
	"internal/share/stanza.go",
	manual + "/manual.go", units + "/units.go", units + "/service.go", units + "/sandbox.go", units + "/cron.go",
}

// The limits of roomsStaySmall, in lines. Those of a room and of the library are lines of code, without comments and
// empty ones.
const (
	roomLines     = 2500
	libraryLines  = 1500
	fileLines     = 350
	functionLines = 60
)

// commentColumns is how wide a comment may be, with a tab as four columns.
const commentColumns = 120

// homes says for an import path, and all below it, in which packages it may stand.
var homes = []home{
	{path: "unsafe", packages: []string{"btrfs"}, strict: true},
	{path: "C", strict: true},
	{path: "os/exec", packages: []string{"rsyncexec", "internal/remote", hooks, timing, runsOn, loopfs, testbin, dests, servers, boots}},
	{path: "github.com/alecthomas/kong", packages: []string{command}, strict: true},
	{path: "github.com/lmittmann/tint", packages: []string{command}, strict: true},
	{path: "github.com/vbauerster/mpb", packages: []string{command}, strict: true},
	{path: "github.com/coreos/go-systemd", packages: []string{command}},
	{path: "testing", packages: testHelp, forTests: true},
	{path: "github.com/klauspost/compress", packages: []string{"internal/receive"}},
	{path: "github.com/cenkalti/backoff", packages: []string{jobRuns, tells}},
	{path: "net/http", packages: []string{tells}},
	{path: "github.com/prometheus", forTests: true},
	{path: "github.com/pelletier/go-toml", packages: []string{configs}},
	{path: "github.com/google/go-cmp", forTests: true},
	{path: "github.com/hanwen/go-fuse", forTests: true},
	{path: "github.com/santhosh-tekuri/jsonschema", forTests: true},
	{path: "github.com/rogpeppe/go-internal", forTests: true},
	{path: "golang.org/x/tools", packages: []string{"scripts/typecheck"}, strict: true},
}

// diskNames are what a destination is made of; see layout.go.
var diskNames = []string{"cur", "pending", ".log"}

// processState lists functions that act on the whole process, as package path and name.
var processState = []string{
	"log/slog.SetDefault", "log/slog.SetLogLoggerLevel", "log.SetOutput", "log.SetFlags", "log.SetPrefix",
	"os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln",
	"os.Chdir", "os.Setenv", "os.Unsetenv", "os.Clearenv",
}

func TestArchitecture(t *testing.T) {
	files := parseTree(t, ".")
	if len(files) == 0 {
		t.Fatal("no Go file found")
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, violation := range r.check(files) {
				t.Error(violation)
			}
		})
	}
}

func TestArchitectureRulesCanFail(t *testing.T) {
	proven := map[string]bool{}
	for _, tt := range []struct {
		rule   string
		name   string // the file
		source string
		want   string // in the one violation; none when empty
	}{
		{"imports go down", "btrfs/a.go", `package btrfs; import "` + module + `/rotate"`, "btrfs must not import rotate"},
		{"imports go down", "rotate/a.go", `package rotate; import "` + module + `"`, "rotate must not import ."},
		{"imports go down", "a.go", `package rsbtbackup; import "` + module + `/cmd/rsbtbackup"`, ". must not import " + command},
		{"imports go down", command + "/a.go", `package main; import "` + module + `/btrfs"`, "must not import btrfs"},
		{"imports go down", "newcomer/a.go", `package newcomer`, "newcomer is not in mayImport"},
		{"imports go down", configs + "/a.go", `package config; import "` + module + `/internal/store"`, configs + " must not import internal/store"},
		{"imports go down", "a.go", `package rsbtbackup; import "` + module + "/" + configs + `"`, ". must not import " + configs},
		{"imports go down", configs + "/a.go", `package config; import "` + module + "/" + jobRuns + `"`, configs + " must not import " + jobRuns},
		{"imports go down", imports + "/a.go", `package imports; import "` + module + `"`, imports + " must not import ."},
		{"imports go down", jobRuns + "/a.go", `package jobs; import "` + module + `/internal/store"`, jobRuns + " must not import internal/store"},
		{"imports go down", "a.go", `package rsbtbackup; import "` + module + `/btrfs"`, ""},
		{"imports go down", "a.go", `package rsbtbackup; import "` + module + `/internal/walk"`, ". must not import internal/walk"},
		{"imports go down", "internal/backup/a.go", `package backup; import "` + module + `/internal/prune"`, ""},
		{"imports go down", "internal/prune/a.go", `package prune; import "` + module + `/internal/backup"`, "which is not below it"},
		{"imports go down", "internal/prune/a.go", `package prune; import "` + module + `/internal/restore"`, "which is not below it"},
		{"imports go down", "internal/prune/a.go", `package prune; import "` + module + `/internal/walk"`, "must not import internal/walk"},
		{"imports go down", "internal/at/a.go", `package at; import "` + module + `"`, "which is not below it"},
		{"imports go down", "internal/at/a.go", `package at; import "` + module + `/internal/fail"`, ""},
		{"imports go down", "bench/cmd/a.go", `package main; import "` + module + `/btrfs"`, ""},
		{"imports go down", "btrfs/a_test.go", `package btrfs_test; import "` + module + `"`, ""},

		{"special imports stay home", "a.go", `package rsbtbackup; import "unsafe"`, "imports unsafe"},
		{"special imports stay home", "a_test.go", `package rsbtbackup; import "unsafe"`, "imports unsafe"},
		{"special imports stay home", "btrfs/a.go", `package btrfs; import "unsafe"`, ""},
		{"special imports stay home", "btrfs/a.go", `package btrfs; import "C"`, "imports C"},
		{"special imports stay home", command + "/a.go", `package main; import "os/exec"`, "imports os/exec"},
		{"special imports stay home", command + "/a_test.go", `package main; import "os/exec"`, ""},
		{"special imports stay home", "rsyncexec/a.go", `package rsyncexec; import "os/exec"`, ""},
		{"special imports stay home", "a.go", `package rsbtbackup; import "github.com/lmittmann/tint"`, "tint"},
		{"special imports stay home", "a.go", `package rsbtbackup; import x "github.com/alecthomas/kong"`, "kong"},
		{"special imports stay home", "rsyncexec/a.go", `package rsyncexec; import "github.com/vbauerster/mpb/v8"`, "mpb/v8"},
		{"special imports stay home", command + "/a.go", `package main; import "github.com/vbauerster/mpb/v8"`, ""},
		{"special imports stay home", "a.go", `package rsbtbackup; import "github.com/google/go-cmp/cmp"`, "go-cmp"},
		{"special imports stay home", "a.go", `package rsbtbackup; import "github.com/cenkalti/backoff/v5"`, "backoff"},
		{"special imports stay home", "a.go", `package rsbtbackup; import "github.com/pelletier/go-toml/v2"`, "go-toml"},
		{"special imports stay home", "a.go", `package rsbtbackup; import "github.com/santhosh-tekuri/jsonschema/v6"`, "jsonschema"},
		{"special imports stay home", "bench/a.go", `package main; import "golang.org/x/tools/go/packages"`, "x/tools"},
		{"special imports stay home", "a.go", `package rsbtbackup; import "github.com/coreos/go-systemd/v22/daemon"`, "go-systemd"},
		{"special imports stay home", jobRuns + "/a.go", `package jobs; import "net/http"`, "net/http"},
		{"special imports stay home", figures + "/a.go", `package metrics; import "github.com/prometheus/common/expfmt"`, "prometheus"},
		{"special imports stay home", "a.go", `package rsbtbackup; import "testing"`, "imports testing"},
		{"special imports stay home", "bench/a.go", `package main; import "os/exec"`, ""},
		{"special imports stay home", "bench/a.go", `package main; import "testing"`, "imports testing"},
		{"special imports stay home", "a.go", `package rsbtbackup; import _ "os/exec"; import _ "strings"`, "imports os/exec"},

		{"help for tests stays in tests", "a.go", `package rsbtbackup; import "` + module + "/" + loopfs + `"`, "loopfs"},
		{"help for tests stays in tests", dests + "/a.go", `package testdest; import "` + module + "/" + loopfs + `"`, ""},
		{"help for tests stays in tests", "a_test.go", `package rsbtbackup; import "` + module + "/" + loopfs + `"`, ""},

		{"decisions are pure", "internal/backup/plan.go", `package backup; import "os"`, "imports os"},
		{"decisions are pure", "internal/backup/judge.go", `package backup; import "golang.org/x/sys/unix"`, "imports golang.org/x/sys/unix"},
		{"decisions are pure", "internal/backup/guard.go", `package backup; import "time"; func f() { _ = time.Now() }`, "asks the clock"},
		{"decisions are pure", "internal/backup/guard.go", `package backup; import "time"; func f(now time.Time) {}`, ""},
		{"decisions are pure", "internal/backup/fill.go", `package backup; import "os"`, ""},

		{"rooms stay small", "internal/at/a.go", "package at" + strings.Repeat("\n", fileLines+1), "more than 350"},
		{"rooms stay small", "internal/at/a.go", "package at" + strings.Repeat("\n", fileLines), ""},
		{"rooms stay small", "internal/at/a.go", "package at; func f() {" + strings.Repeat("\n", functionLines) + "}", "f has 61 lines"},
		{"rooms stay small", "internal/at/a.go", "package at; func f() {" + strings.Repeat("\n", functionLines-1) + "}", ""},

		{"names on disk are in layout.go", "a.go", `package rsbtbackup; const x = "cur"`, `"cur"`},
		{"names on disk are in layout.go", "a.go", "package rsbtbackup; const x = `pending/`", "pending"},
		{"names on disk are in layout.go", "rotate/a.go", `package rotate; const x = ".log/activity.log"`, ".log"},
		{"names on disk are in layout.go", "rotate/layout.go", `package rotate; const x = ".log"`, ".log"},
		{"names on disk are in layout.go", layoutFile, `package store; const x = "cur"`, ""},
		{"names on disk are in layout.go", "a.go", `package rsbtbackup; const x = "the pending one, current, activity.log"`, ""},
		{"names on disk are in layout.go", "a_test.go", `package rsbtbackup; const x = "cur"`, ""},

		{"comments fit", "a_test.go", "package rsbtbackup\n\n// " + strings.Repeat("x", commentColumns-2), "a_test.go:3 has a comment of 121 columns"},
		{"comments fit", "a_test.go", "package rsbtbackup\n\n// " + strings.Repeat("x", commentColumns-3), ""},
		{"process state belongs to main", "a.go", `package rsbtbackup; import "os"; func f() { os.Exit(1) }`, "os.Exit"},
		{"process state belongs to main", command + "/a.go", `package main; import "os"; func f() { os.Exit(1) }`, "os.Exit"},
		{"process state belongs to main", "a.go", `package rsbtbackup; import s "log/slog"; func f() { s.SetDefault(nil) }`, "SetDefault"},
		{"process state belongs to main", "a.go", `package rsbtbackup; import "log"; var f = log.SetOutput`, "SetOutput"},
		{"process state belongs to main", command + "/main.go", `package main; import "os"; func f() { os.Exit(1) }`, ""},
		{"process state belongs to main", "a.go", `package rsbtbackup; import "os"; func f() { os.Getenv("HOME") }`, ""},
		{"process state belongs to main", "a_test.go", `package rsbtbackup; import "os"; func f() { os.Exit(1) }`, ""},

		{"packages are introduced", "btrfs/a.go", `package btrfs`, "btrfs has no package comment"},
		{"packages are introduced", "btrfs/a_test.go", `package btrfs`, ""},
		{"packages are introduced", "btrfs/a.go", "// Package btrfs is good.\npackage btrfs", ""},

		{"no mutable globals", "a.go", `package rsbtbackup; var count int`, "count"},
		{"no mutable globals", "a.go", `package rsbtbackup; import "time"; var now = time.Now`, "now"},
		{"no mutable globals", "a.go", `package rsbtbackup; var seen = map[string]bool{}; func f() { seen["a"] = true }`, "seen is changed"},
		{"no mutable globals", "a.go", `package rsbtbackup; var list = []int{1}; func f() { list = nil }`, "list is changed"},
		{"no mutable globals", "a.go", `package rsbtbackup; var n = [1]int{1}; func f() { n[0]++ }`, "n is changed"},
		{"no mutable globals", "a.go", `package rsbtbackup; var n = [1]int{1}; func f() *[1]int { return &n }`, "n is changed"},
		{"no mutable globals", "a.go", `package rsbtbackup; import "errors"; var ErrLocked = errors.New("x")`, ""},
		{"no mutable globals", "a.go", `package rsbtbackup; import "io/fs"; var ErrGone = fs.ErrNotExist`, ""},
		{"no mutable globals", "a.go", `package rsbtbackup; import "regexp"; var digits = regexp.MustCompile("[0-9]")`, ""},
		{"no mutable globals", "a.go", `package rsbtbackup; import ("regexp"; "sync"); var digits = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("[0-9]") })`, ""},
		{"no mutable globals", "a.go", `package rsbtbackup; import ("regexp"; "sync"); var digits = sync.OnceValue(func() *regexp.Regexp { return nil }); func f() { digits = nil }`, "is changed"},
		{"no mutable globals", "a.go", `package rsbtbackup; import "sync"; var answer = sync.OnceValue(func() string { return "" })`, "can change"},
		{"no mutable globals", "a.go", `package rsbtbackup; var text = map[int]string{1: "a"}; func f() string { return text[1] }`, ""},
		{"no mutable globals", "a.go", `package rsbtbackup; var text = map[int]string{}; func f() { text := text; text[1] = "" }`, ""},
		{"no mutable globals", "a.go", `package rsbtbackup; var _ error = (*E)(nil); type E struct{ error }`, ""},
		{"no mutable globals", "a_test.go", `package rsbtbackup; var update bool`, ""},
		{"no mutable globals", loopfs + "/a.go", `package loopfs; import "sync"; var once sync.Once`, ""},
	} {
		t.Run(fmt.Sprintf("%s, %s, %s", tt.rule, tt.name, tt.source), func(t *testing.T) {
			got := ruleNamed(t, tt.rule).check([]file{parseSource(t, tt.name, tt.source)})
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("violations = %q, want none", got)
			case tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)):
				t.Errorf("violations = %q, want one with %q", got, tt.want)
			}
			proven[tt.rule] = proven[tt.rule] || len(got) > 0
		})
	}
	for _, r := range rules {
		if !proven[r.name] {
			t.Errorf("no case shows that rule %q can fail", r.name)
		}
	}
}

// TestEveryPermissionIsUsed: mayImport is the map of the house only if it names no way that nobody goes.
func TestEveryPermissionIsUsed(t *testing.T) {
	used := map[[2]string]bool{}
	for _, f := range product(parseTree(t, ".")) {
		for _, importPath := range f.paths {
			if imported, ours := packageOfModule(importPath); ours {
				used[[2]string{f.dir(), imported}] = true
			}
		}
	}
	for room, allowed := range mayImport {
		for _, imported := range allowed {
			if !used[[2]string{room, imported}] {
				t.Errorf("%s may import %s, and does not", room, imported)
			}
		}
	}
}

// TestArchitectureNamesTestsThatExist: the table of behaviours is worth what its tests are.
func TestArchitectureNamesTestsThatExist(t *testing.T) {
	page, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	exist := map[string]bool{}
	for _, f := range parseTree(t, ".") {
		for _, declaration := range f.syntax.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok && f.isTest() {
				exist[function.Name.Name] = true
			}
		}
	}
	named := regexp.MustCompile("`(Test[A-Z][A-Za-z]+)`").FindAllStringSubmatch(string(page), -1)
	if len(named) < 20 {
		t.Errorf("%d tests are named", len(named))
	}
	for _, name := range named {
		if !exist[name[1]] {
			t.Errorf("there is no %s", name[1])
		}
	}
}

type rule struct {
	name  string
	check func([]file) []string
}

// file is one Go source file of the module. Its name is relative to the root, with slashes.
type file struct {
	name    string
	fset    *token.FileSet
	syntax  *ast.File
	paths   []string          // what it imports
	imports map[string]string // the same by the name it has in the file; good enough for std
}

func (f file) dir() string  { return path.Dir(f.name) }
func (f file) isTest() bool { return strings.HasSuffix(f.name, "_test.go") }

// isTool: programs that help with measuring and testing are no part of the product.
func (f file) isTool() bool {
	top, _, _ := strings.Cut(f.dir(), "/")
	return top == "bench" || top == "integration" || top == "scripts"
}

// home is where an import belongs. Test files may have it anywhere, unless strict is set. Tools may too, unless it is
// for tests.
type home struct {
	path     string
	packages []string
	strict   bool
	forTests bool
}

func (h home) covers(importPath string) bool {
	return importPath == h.path || strings.HasPrefix(importPath, h.path+"/")
}

func (h home) allows(f file) bool {
	return slices.Contains(h.packages, f.dir()) || !h.strict && f.isTest() || !h.strict && !h.forTests && f.isTool()
}

func (f file) at(node ast.Node) string {
	return fmt.Sprintf("%s:%d", f.name, f.fset.Position(node.Pos()).Line)
}

func importsGoDown(files []file) []string {
	var violations []string
	for _, f := range product(files) {
		allowed, known := mayImport[f.dir()]
		if !known {
			violations = append(violations, fmt.Sprintf("%s: package %s is not in mayImport: say what it may import", f.name, f.dir()))
			continue
		}
		for _, importPath := range f.paths {
			imported, ours := packageOfModule(importPath)
			switch {
			case !ours, isTestHelp(imported): // rule "help for tests stays in tests" looks after these
			case floorOf(imported) <= floorOf(f.dir()):
				violations = append(violations, fmt.Sprintf("%s: %s must not import %s, which is not below it", f.name, f.dir(), imported))
			case f.dir() != command && slices.Contains(everybodys, imported):
			case !slices.Contains(allowed, imported):
				violations = append(violations, fmt.Sprintf("%s: %s must not import %s", f.name, f.dir(), imported))
			}
		}
	}
	return violations
}

// floorOf counts from the top. A package without a floor is above the house.
func floorOf(dir string) int {
	return slices.IndexFunc(floors, func(floor []string) bool { return slices.Contains(floor, dir) })
}

func specialImportsStayHome(files []file) []string {
	var violations []string
	for _, f := range files {
		for _, importPath := range f.paths {
			for _, home := range homes {
				if home.covers(importPath) && !home.allows(f) {
					violations = append(violations, fmt.Sprintf("%s: imports %s, which may stand only in %v", f.name, importPath, home.packages))
				}
			}
		}
	}
	return violations
}

func isTestHelp(dir string) bool { return slices.Contains(testHelp, dir) }

func testHelpStaysInTests(files []file) []string {
	var violations []string
	for _, f := range files {
		for _, importPath := range f.paths {
			if imported, ours := packageOfModule(importPath); ours && isTestHelp(imported) && !f.isTest() && !isTestHelp(f.dir()) {
				violations = append(violations, f.name+": imports "+importPath+", which is for tests only")
			}
		}
	}
	return violations
}

func decisionsArePure(files []file) []string {
	var violations []string
	for _, f := range files {
		if !slices.Contains(decisions, f.name) {
			continue
		}
		for _, importPath := range f.paths {
			if slices.Contains([]string{"os", "io", "golang.org/x/sys/unix", "context"}, importPath) {
				violations = append(violations, fmt.Sprintf("%s: decides, and imports %s", f.name, importPath))
			}
		}
		ast.Inspect(f.syntax, func(node ast.Node) bool {
			if f.qualified(node) == "time.Now" {
				violations = append(violations, f.at(node)+": decides, and asks the clock")
			}
			return true
		})
	}
	return violations
}

// roomsStaySmall: a table is as long as it has to be, so functions that are one literal do not count.
func roomsStaySmall(files []file) []string {
	var violations []string
	rooms := map[string]int{}
	for _, f := range product(files) {
		if f.dir() == command {
			continue
		}
		rooms[f.dir()] += f.codeLines()
		if lines := f.lines(); lines > fileLines {
			violations = append(violations, fmt.Sprintf("%s has %d lines, more than %d", f.name, lines, fileLines))
		}
		for _, declaration := range f.syntax.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok || isTable(function) {
				continue
			}
			if n := f.line(function.End()) - f.line(function.Pos()) + 1; n > functionLines {
				violations = append(violations, fmt.Sprintf("%s: %s has %d lines, more than %d", f.at(function), function.Name.Name, n, functionLines))
			}
		}
	}
	for dir, lines := range rooms {
		limit := roomLines
		if dir == "." {
			limit = libraryLines
		}
		if lines > limit {
			violations = append(violations, fmt.Sprintf("package %s has %d lines of code, more than %d", dir, lines, limit))
		}
	}
	return violations
}

// isTable: nothing but a literal that is returned.
// commentsFit looks at comments that have lines of their own: what is in front of them is at most a few tabs.
func commentsFit(files []file) []string {
	var violations []string
	for _, f := range files {
		for _, group := range f.syntax.Comments {
			for _, c := range group.List {
				const tab, deepest = 4, 6
				indent := f.fset.Position(c.Pos()).Column - 1
				width := indent*tab + utf8.RuneCountInString(c.Text)
				isAligned := strings.HasPrefix(c.Text, "//\t") // as a table in a comment
				if indent <= deepest && width > commentColumns && !isAligned && !strings.HasPrefix(c.Text, "//go:") {
					violations = append(violations, fmt.Sprintf("%s has a comment of %d columns", f.at(c), width))
				}
			}
		}
	}
	return violations
}

func isTable(function *ast.FuncDecl) bool {
	if function.Body == nil || len(function.Body.List) != 1 {
		return false
	}
	switch statement := function.Body.List[0].(type) {
	case *ast.ReturnStmt:
		_, literal := statement.Results[0].(*ast.CompositeLit)
		return len(statement.Results) == 1 && literal
	case *ast.SwitchStmt: // from a value to a value, a line each
		for _, clause := range statement.Body.List {
			if len(clause.(*ast.CaseClause).Body) > 1 {
				return false
			}
		}
		return true
	}
	return false
}

func (f file) line(pos token.Pos) int { return f.fset.Position(pos).Line }

func (f file) lines() int { return f.fset.File(f.syntax.Pos()).LineCount() }

// codeLines counts the lines that have a token of the language.
func (f file) codeLines() int {
	seen := map[int]bool{}
	ast.Inspect(f.syntax, func(node ast.Node) bool {
		switch node.(type) {
		case nil, *ast.Comment, *ast.CommentGroup:
			return false
		}
		seen[f.line(node.Pos())] = true
		seen[f.line(node.End()-1)] = true
		return true
	})
	return len(seen)
}

func diskNamesAreInLayout(files []file) []string {
	var violations []string
	for _, f := range product(files) {
		if f.name == layoutFile {
			continue
		}
		ast.Inspect(f.syntax, func(node ast.Node) bool {
			if _, ok := node.(*ast.ImportSpec); ok {
				return false
			}
			literal, ok := node.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				return true
			}
			for element := range strings.SplitSeq(text, "/") {
				if slices.Contains(diskNames, element) {
					violations = append(violations, fmt.Sprintf("%s: %s is named outside layout.go", f.at(literal), literal.Value))
				}
			}
			return true
		})
	}
	return violations
}

func processStateBelongsToMain(files []file) []string {
	var violations []string
	for _, f := range product(files) {
		if f.name == command+"/main.go" {
			continue
		}
		ast.Inspect(f.syntax, func(node ast.Node) bool {
			if name := f.qualified(node); slices.Contains(processState, name) {
				violations = append(violations, fmt.Sprintf("%s: %s is for %s/main.go alone", f.at(node), name, command))
			}
			return true
		})
	}
	return violations
}

func packagesAreIntroduced(files []file) []string {
	introduced := map[string]bool{}
	for _, f := range files {
		if !f.isTest() {
			introduced[f.dir()] = introduced[f.dir()] || f.syntax.Doc.Text() != ""
		}
	}
	var violations []string
	for dir, ok := range introduced {
		if !ok {
			violations = append(violations, fmt.Sprintf("package %s has no package comment", dir))
		}
	}
	return violations
}

// noMutableGlobals allows error values, compiled patterns and tables, as long as nothing assigns to a table or takes
// its address. Constants of these types do not exist in Go.
func noMutableGlobals(files []file) []string {
	var violations []string
	tables := map[string]bool{} // directory and name
	for _, f := range product(files) {
		for _, spec := range globals(f.syntax) {
			for i, name := range spec.Names {
				switch {
				case name.Name == "_":
				case i < len(spec.Values) && f.isTable(spec.Values[i]):
					tables[f.dir()+" "+name.Name] = true
				case i < len(spec.Values) && f.isFixed(name.Name, spec.Values[i]):
				default:
					violations = append(violations, fmt.Sprintf("%s: the global %s can change", f.at(name), name.Name))
				}
			}
		}
	}
	for _, f := range product(files) {
		for _, name := range changed(f.syntax) {
			if tables[f.dir()+" "+name.Name] {
				violations = append(violations, fmt.Sprintf("%s: the global %s is changed", f.at(name), name.Name))
			}
		}
	}
	return violations
}

// isTable: also a pattern that is compiled on first use, which is a variable of a function.
func (f file) isTable(value ast.Expr) bool {
	call, ok := value.(*ast.CallExpr)
	if !ok {
		_, ok = value.(*ast.CompositeLit)
		return ok
	}
	if f.qualified(call.Fun) != "sync.OnceValue" || len(call.Args) != 1 {
		return false
	}
	compile, ok := call.Args[0].(*ast.FuncLit)
	if !ok {
		return false
	}
	result, ok := compile.Type.Results.List[0].Type.(*ast.StarExpr)
	return ok && f.qualified(result.X) == "regexp.Regexp"
}

// isFixed: an error, its other name (ErrX = btrfs.ErrX), a pattern or a replacer.
func (f file) isFixed(name string, value ast.Expr) bool {
	call, ok := value.(*ast.CallExpr)
	if !ok {
		return strings.HasPrefix(name, "Err") && f.qualified(value) != ""
	}
	makers := []string{"errors.New", "fmt.Errorf", "regexp.MustCompile", "strings.NewReplacer"}
	return slices.Contains(makers, f.qualified(call.Fun))
}

// changed returns the variables of outer scopes that a file assigns to or takes the address of, whole or in part. A
// name that the function declares itself is told apart by the parser.
func changed(syntax *ast.File) []*ast.Ident {
	var found []*ast.Ident
	add := func(expr ast.Expr) {
		name := rootOf(expr)
		if name != nil && !declaredInFunction(syntax, name) {
			found = append(found, name)
		}
	}
	ast.Inspect(syntax, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.AssignStmt:
			if node.Tok != token.DEFINE {
				for _, left := range node.Lhs {
					add(left)
				}
			}
		case *ast.IncDecStmt:
			add(node.X)
		case *ast.UnaryExpr:
			if node.Op == token.AND {
				add(node.X)
			}
		}
		return true
	})
	return found
}

// declaredInFunction relies on the parser's own resolution, which covers one file: what it resolved to something that
// is not at the top of this file is local.
func declaredInFunction(syntax *ast.File, name *ast.Ident) bool {
	return name.Obj != nil && syntax.Scope.Lookup(name.Name) != name.Obj
}

// rootOf returns x for x, x[i], x.f and so on; nil for what does not begin with a name.
func rootOf(expr ast.Expr) *ast.Ident {
	for {
		switch e := expr.(type) {
		case *ast.Ident:
			return e
		case *ast.IndexExpr:
			expr = e.X
		case *ast.SelectorExpr:
			expr = e.X
		case *ast.SliceExpr:
			expr = e.X
		case *ast.ParenExpr:
			expr = e.X
		default:
			return nil
		}
	}
}

func globals(syntax *ast.File) []*ast.ValueSpec {
	var specs []*ast.ValueSpec
	for _, declaration := range syntax.Decls {
		general, ok := declaration.(*ast.GenDecl)
		if !ok || general.Tok != token.VAR {
			continue
		}
		for _, spec := range general.Specs {
			specs = append(specs, spec.(*ast.ValueSpec))
		}
	}
	return specs
}

// qualified returns path.Name for a selector on an imported package, else nothing.
func (f file) qualified(node ast.Node) string {
	selector, ok := node.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	x, ok := selector.X.(*ast.Ident)
	if !ok {
		return ""
	}
	importPath, ok := f.imports[x.Name]
	if !ok {
		return ""
	}
	return importPath + "." + selector.Sel.Name
}

// product returns the files that end up in the binary or the library.
func product(files []file) []file {
	return slices.DeleteFunc(slices.Clone(files), func(f file) bool {
		return f.isTest() || f.isTool() || isTestHelp(f.dir())
	})
}

func packageOfModule(importPath string) (dir string, ok bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func parseTree(t *testing.T, root string) []file {
	t.Helper()
	var files []file
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		files = append(files, parseSource(t, filepath.ToSlash(name), string(source)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func parseSource(t *testing.T, name, source string) file {
	t.Helper()
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, name, source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	f := file{name: name, fset: fset, syntax: syntax, imports: map[string]string{}}
	for _, spec := range syntax.Imports {
		importPath, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		f.paths = append(f.paths, importPath)
		f.imports[importName(spec, importPath)] = importPath
	}
	return f
}

func importName(spec *ast.ImportSpec, importPath string) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	return path.Base(importPath)
}

func ruleNamed(t *testing.T, name string) rule {
	t.Helper()
	i := slices.IndexFunc(rules, func(r rule) bool { return r.name == name })
	if i < 0 {
		t.Fatalf("there is no rule %q", name)
	}
	return rules[i]
}
