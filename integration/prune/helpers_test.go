//go:build integration

package prune

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// nobody is an ordinary user.
const nobody = 65534

// command is rsbtbackup with args, not started yet; uid 0 is root.
func command(t testing.TB, uid uint32, args ...string) *exec.Cmd {
	t.Helper()
	return testbin.As(uid, exec.Command(testbin.Path(t), args...))
}

// wantRefused: one line that says why, hints aside.
func wantRefused(t testing.TB, r testbin.Result, code int, text string) {
	t.Helper()
	testdest.WantExit(t, r, code)
	said := 0
	for line := range strings.Lines(r.Stderr) {
		if !strings.HasPrefix(line, "hint: ") {
			said++
		}
	}
	if said != 1 || !strings.Contains(r.Stderr, text) {
		t.Errorf("want one line with %q:\n%s", text, r.Stderr)
	}
}

// madeUp puts read-only backups with the given names into dest, as other programs leave them: without records. They
// hold a few files.
func madeUp(t testing.TB, dest string, names ...string) {
	t.Helper()
	work := filepath.Join(filepath.Dir(dest), "work")
	if !testdest.Exists(work) {
		testdest.NewSubvolume(t, work)
		for i := range 5 {
			testdest.Write(t, fmt.Sprintf("%s/d%d/f", work, i), strings.Repeat("x", 1000*i))
		}
	}
	for _, name := range names {
		testdest.Write(t, filepath.Join(work, "last"), name)
		testdest.Snapshot(t, work, filepath.Join(dest, name), true)
	}
}

// record writes a record as a run would.
func record(t testing.TB, dest, name string, status rsbtbackup.Status) {
	t.Helper()
	data, err := json.Marshal(rsbtbackup.Record{Version: 1, Name: name, Status: status})
	testdest.Must(t, err)
	testdest.Write(t, recordPath(dest, name), string(data))
}

// trashOf is the name that a backup has while it is being deleted, or "".
func trashOf(t testing.TB, dest, name string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dest, ".deleting-"+name+".*"))
	testdest.Must(t, err)
	return strings.Join(found, " and ")
}

func recordPath(dest, name string) string {
	return filepath.Join(dest, ".log", "records", name+".json")
}

// random fills a file with bytes that do not compress.
func random(t testing.TB, name string, size int) {
	t.Helper()
	data := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(size), byte(len(name)), name[len(name)-1]})
	_, _ = r.Read(data)
	testdest.Must(t, os.WriteFile(name, data, 0o644))
}

func wantNames(t testing.TB, dest string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), testdest.Names(t, dest)); diff != "" {
		t.Errorf("backups, -want +got:\n%s", diff)
	}
}

func wantCur(t testing.TB, dest, want string) {
	t.Helper()
	if got, err := os.Readlink(filepath.Join(dest, "cur")); err != nil || got != want {
		t.Errorf("cur: %q, %v; want %q", got, err, want)
	}
}

// wantTidy: no work files, no record without its backup.
func wantTidy(t testing.TB, dest string) {
	t.Helper()
	have := testdest.Names(t, dest)
	for _, name := range readDir(t, dest) {
		if strings.HasPrefix(name, ".") && name != ".log" || name == "pending" {
			t.Errorf("%s is left", name)
		}
	}
	for _, name := range readDir(t, filepath.Join(dest, ".log", "records")) {
		if !slices.Contains(have, strings.TrimSuffix(name, ".json")) {
			t.Errorf("record %s is left", name)
		}
	}
}

func readDir(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// free is what statfs tells an ordinary user.
func free(t testing.TB, dir string) uint64 {
	t.Helper()
	var st unix.Statfs_t
	testdest.Must(t, unix.Statfs(dir, &st))
	return st.Bavail * uint64(st.Bsize)
}

type decision struct {
	Name    string
	Keep    bool
	Reasons []string
	Frees   *uint64
}

// plan returns the decisions of a dry run by name.
func plan(t testing.TB, args ...string) map[string]decision {
	t.Helper()
	return planOf(t, testbin.Must(t, append(args, "-n", "--json")...))
}

// planOf reads what a dry run has printed, also one that found fault.
func planOf(t testing.TB, r testbin.Result) map[string]decision {
	t.Helper()
	var report struct{ Decisions []decision }
	testdest.Must(t, json.NewDecoder(strings.NewReader(r.Stdout)).Decode(&report))
	byName := map[string]decision{}
	for _, d := range report.Decisions {
		byName[d.Name] = d
	}
	return byName
}
