//go:build integration

package prune

import (
	"bytes"
	"crypto/sha256"
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
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"golang.org/x/sys/unix"
)

// nobody is an ordinary user.
const nobody = 65534

// newDest returns an initialised directory on a btrfs of its own.
func newDest(t testing.TB, size string) string {
	t.Helper()
	dest := filepath.Join(loopfs.New(t, size), "dest")
	check(t, os.Mkdir(dest, 0o755))
	testbin.Must(t, "init", dest)
	return dest
}

// command is rsbtbackup with args, not started yet; uid 0 is root.
func command(t testing.TB, uid uint32, args ...string) *exec.Cmd {
	t.Helper()
	return asUser(uid, exec.Command(testbin.Path(t), args...))
}

func asUser(uid uint32, cmd *exec.Cmd) *exec.Cmd {
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	return cmd
}

func finish(t testing.TB, cmd *exec.Cmd) testbin.Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	return testbin.Result{Stdout: stdout.String(), Stderr: stderr.String(), Exit: cmd.ProcessState.ExitCode()}
}

func wantExit(t testing.TB, r testbin.Result, code int) {
	t.Helper()
	if r.Exit != code {
		t.Fatalf("exit %d, want %d\n%s%s", r.Exit, code, r.Stdout, r.Stderr)
	}
}

// wantRefused: one line that says why, hints aside.
func wantRefused(t testing.TB, r testbin.Result, code int, text string) {
	t.Helper()
	wantExit(t, r, code)
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

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// snapshot makes a snapshot of from beside nothing of ours: no record, no cur.
func snapshot(t testing.TB, from, to string, readOnly bool) {
	t.Helper()
	src, err := btrfs.OpenDir(from)
	check(t, err)
	defer src.Close()
	parent, err := btrfs.OpenDir(filepath.Dir(to))
	check(t, err)
	defer parent.Close()
	check(t, btrfs.CreateSnapshot(parent, filepath.Base(to), src, btrfs.SnapshotOptions{ReadOnly: readOnly}))
}

func newSubvolume(t testing.TB, path string) {
	t.Helper()
	parent, err := btrfs.OpenDir(filepath.Dir(path))
	check(t, err)
	defer parent.Close()
	check(t, btrfs.CreateSubvolume(parent, filepath.Base(path)))
}

// madeUp puts read-only backups with the given names into dest, as other
// programs leave them: without records. They hold a few files.
func madeUp(t testing.TB, dest string, names ...string) {
	t.Helper()
	work := filepath.Join(filepath.Dir(dest), "work")
	if !exists(work) {
		newSubvolume(t, work)
		for i := range 5 {
			write(t, fmt.Sprintf("%s/d%d/f", work, i), strings.Repeat("x", 1000*i))
		}
	}
	for _, name := range names {
		write(t, filepath.Join(work, "last"), name)
		snapshot(t, work, filepath.Join(dest, name), true)
	}
}

// record writes a record as a run would.
func record(t testing.TB, dest, name string, status rsbtbackup.Status) {
	t.Helper()
	data, err := json.Marshal(rsbtbackup.Record{Version: 1, Name: name, Status: status})
	check(t, err)
	write(t, recordPath(dest, name), string(data))
}

func recordPath(dest, name string) string {
	return filepath.Join(dest, ".log", "records", name+".json")
}

func write(t testing.TB, name, content string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(name), 0o755))
	check(t, os.WriteFile(name, []byte(content), 0o644))
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// random fills a file with bytes that do not compress.
func random(t testing.TB, name string, size int) {
	t.Helper()
	data := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(size), byte(len(name)), name[len(name)-1]})
	_, _ = r.Read(data)
	check(t, os.WriteFile(name, data, 0o644))
}

// names lists the backups, oldest first.
func names(t testing.TB, dest string) []string {
	t.Helper()
	listing, err := rsbtbackup.List(t.Context(), dest)
	check(t, err)
	list := []string{}
	for _, b := range listing.Backups {
		list = append(list, b.Name)
	}
	return list
}

func wantNames(t testing.TB, dest string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), names(t, dest)); diff != "" {
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
	have := names(t, dest)
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

// digest is over all names, modes and contents below dir.
func digest(t testing.TB, dir string) string {
	t.Helper()
	h := sha256.New()
	check(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%q %v %d\n", strings.TrimPrefix(path, dir), info.Mode(), info.ModTime().UnixNano())
		if e.Type().IsRegular() {
			data, err := os.ReadFile(path)
			fmt.Fprintf(h, "%d %s", len(data), data)
			return err
		}
		return nil
	}))
	return fmt.Sprintf("%x", h.Sum(nil))
}

// free is what statfs tells an ordinary user.
func free(t testing.TB, dir string) uint64 {
	t.Helper()
	var st unix.Statfs_t
	check(t, unix.Statfs(dir, &st))
	return st.Bavail * uint64(st.Bsize)
}

func syncAll(t testing.TB, dir string) {
	t.Helper()
	f, err := btrfs.OpenDir(dir)
	check(t, err)
	defer f.Close()
	check(t, btrfs.Sync(f))
}

// waitFor polls until ok says so.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Minute); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
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
	check(t, json.NewDecoder(strings.NewReader(r.Stdout)).Decode(&report))
	byName := map[string]decision{}
	for _, d := range report.Decisions {
		byName[d.Name] = d
	}
	return byName
}
