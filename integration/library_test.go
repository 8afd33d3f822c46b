//go:build integration

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// userProgram is what somebody else writes: it backs up pairs of SRC and DEST.
const userProgram = `package main

import (
	"context"
	"log"
	"os"

	"github.com/rsbtbackup/rsbtbackup"
)

func main() {
	for i := 1; i < len(os.Args); i += 2 {
		src, dest := os.Args[i], os.Args[i+1]
		if _, err := rsbtbackup.Init(context.Background(), dest, rsbtbackup.InitOptions{}); err != nil {
			log.Fatal(err)
		}
		if _, err := rsbtbackup.Backup(context.Background(), rsbtbackup.BackupOptions{Source: src, Dest: dest}); err != nil {
			log.Fatal(err)
		}
	}
}
`

func TestAProgramOf20LinesMakesBackups(t *testing.T) {
	t.Parallel()
	program := buildUserProgram(t)
	disk := loopfs.New(t, "1G")
	args := []string{"/etc", disk + "/etc", disk + "/src", disk + "/dest"}
	addOddities(t, disk+"/src")
	testdest.MakeDir(t, disk+"/etc")
	testdest.MakeDir(t, disk+"/dest")
	if got := testdest.Tool(t, program, args...); got != "" {
		t.Errorf("the library wrote to stdout: %q", got)
	}
	testdest.WantSame(t, "/etc", filepath.Join(disk, "etc", testdest.Current(t, disk+"/etc")))
	testdest.WantSame(t, disk+"/src", filepath.Join(disk, "dest", testdest.Current(t, disk+"/dest")))
	wantOwnLines(t, disk+"/etc", "/etc", 1, disk+"/src", disk+"/dest")
	wantOwnLines(t, disk+"/dest", disk+"/src", 1, disk+"/etc")

	// The command goes on where the library left off.
	testdest.WantSame(t, disk+"/src", testdest.Backup(t, disk+"/src", disk+"/dest"))
	newest(t, disk+"/dest", 2)
}

// buildUserProgram makes a module of its own that takes ours from this checkout, with no network.
func buildUserProgram(t testing.TB) string {
	t.Helper()
	checkout, err := filepath.Abs("..")
	testdest.Must(t, err)
	dir := t.TempDir()
	testdest.Write(t, dir+"/main.go", userProgram)
	testdest.Write(t, dir+"/go.mod", fmt.Sprintf("module example.com/user\n\ngo 1.26\n\nrequire github.com/rsbtbackup/rsbtbackup v0.0.0\n\nreplace github.com/rsbtbackup/rsbtbackup => %s\n", checkout))
	testdest.Write(t, dir+"/go.sum", testdest.Read(t, checkout+"/go.sum"))
	build := exec.Command("go", "build", "-o", "user", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "user")
}

// wantOwnLines: the log of dest has n backups of src, and nothing else.
func wantOwnLines(t testing.TB, dest, src string, n int, strangers ...string) {
	t.Helper()
	log := testdest.Read(t, dest+"/.log/activity.log")
	for _, want := range []string{"backup started", "backup finished"} {
		if got := strings.Count(log, want); got != n {
			t.Errorf("%d times %q in the log of %s, want %d:\n%s", got, want, dest, n, log)
		}
	}
	if !strings.Contains(log, src) {
		t.Errorf("the log of %s does not name %s:\n%s", dest, src, log)
	}
	for _, s := range strangers {
		if strings.Contains(log, s) {
			t.Errorf("the log of %s names %s:\n%s", dest, s, log)
		}
	}
}

func TestBackupsInParallelInOneProcessKeepApart(t *testing.T) {
	t.Parallel()
	const stores, rounds = 4, 3
	disk := loopfs.New(t, "1G")
	name := func(what string, i int) string { return filepath.Join(disk, fmt.Sprintf("%s-%d-", what, i)) }
	var group sync.WaitGroup
	for i := range stores {
		src, dest := name("src", i), name("dest", i)
		testdest.Write(t, src+"/file", src)
		testdest.MakeDir(t, dest)
		group.Go(func() {
			if _, err := rsbtbackup.Init(t.Context(), dest, rsbtbackup.InitOptions{}); err != nil {
				t.Error(err)
			}
			for range rounds {
				if _, err := rsbtbackup.Backup(t.Context(), rsbtbackup.BackupOptions{Source: src, Dest: dest}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for i := range stores {
		src, dest := name("src", i), name("dest", i)
		newest(t, dest, rounds)
		testdest.WantSame(t, src, filepath.Join(dest, testdest.Current(t, dest)))
		wantOwnLines(t, dest, src, rounds, name("src", (i+1)%stores), name("dest", (i+1)%stores))
		wantTidy(t, dest)
	}
}

// Two at once on one DEST: one works, the other says who does.
func TestOneOfTwoBackupsToOneDestWaitsItsTurn(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "2G")
	src := t.TempDir()
	testdest.Write(t, src+"/file", "x")
	goOn := filepath.Join(t.TempDir(), "go on")
	slow := fakeRsync(t, `case " $* " in *--version*) ;; *) until [ -e '`+goOn+`' ]; do sleep 0.05; done ;; esac; exec $REAL "$@"`)
	var group sync.WaitGroup
	group.Go(func() {
		if r := (invocation{env: slow}).run(t, "backup", src, dest); r.Exit != 0 {
			t.Errorf("the first run: exit %d, %s", r.Exit, r.Stderr)
		}
	})
	testdest.WaitFor(t, "pending", func() bool { return testdest.Exists(dest + "/pending") })
	r := testbin.Run(t, "backup", src, dest)
	if r.Exit != 11 {
		t.Errorf("exit %d, want 11", r.Exit)
	}
	wantOneErrorLine(t, r, dest, "locked", "pid")
	if !strings.Contains(hintsOf(r), "--lock-wait") {
		t.Errorf("hints %q, want --lock-wait", hintsOf(r))
	}
	// Reading does not wait for a lock.
	testbin.Must(t, "list", dest)
	group.Go(func() {
		if r := testbin.Run(t, "--lock-wait=10m", "backup", src, dest); r.Exit != 0 {
			t.Errorf("the run that waited: exit %d, %s", r.Exit, r.Stderr)
		}
	})
	testdest.Write(t, goOn, "")
	group.Wait()
	newest(t, dest, 2)
}

// The time is an argument, so a name can be taken as often as a test likes.
func TestNamesWithinOneMinuteAndOneSecond(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "2G")
	src := t.TempDir()
	testdest.Write(t, src+"/file", "x")
	at := time.Date(2026, 11, 23, 9, 0, 27, 0, time.Local)
	var got []string
	for _, now := range []time.Time{at, at, at, at, at.Add(time.Second), at.Add(time.Minute), at.Add(-time.Hour)} {
		report, err := rsbtbackup.Backup(t.Context(), rsbtbackup.BackupOptions{Source: src, Dest: dest, Now: now})
		testdest.Must(t, err)
		got = append(got, report.Name)
		if c := testdest.Current(t, dest); c != report.Name {
			t.Errorf("cur names %s, want %s", c, report.Name)
		}
	}
	want := []string{
		"2026-11-23-09:00", "2026-11-23-09:00:27", "2026-11-23-09:00:27.1", "2026-11-23-09:00:27.2",
		"2026-11-23-09:00:28", "2026-11-23-09:01", "2026-11-23-08:00",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var listed []string
	for _, b := range testdest.Backups(t, dest) {
		listed = append(listed, b.Name)
	}
	// In the order in which they were made, even if the clock was wrong.
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Error(diff)
	}
}
