//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// endsWith lets the real rsync do its work and then ends otherwise.
func endsWith(t testing.TB, exit string) invocation {
	t.Helper()
	return invocation{env: fakeRsync(t, `case " $* " in *" --version "*) exec $REAL "$@" ;; esac
$REAL "$@"
echo 'rsync: [sender] read errors mapping "/x": Input/output error (5)' >&2
`+exit+"\n")}
}

func TestAPartialTransferIsPublishedAsIncomplete(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "2G")
	src := t.TempDir()
	testdest.Write(t, src+"/file", "one")
	complete := testdest.Backup(t, src, dest)
	testdest.Write(t, src+"/file", "two")

	r := endsWith(t, "exit 23").run(t, "backup", src, dest)
	if r.Exit != 3 {
		t.Errorf("exit %d, want 3", r.Exit)
	}
	wantErrorSays(t, r.Stderr, "incomplete", "Input/output error")
	b := newest(t, dest, 2)
	if b.Status != "incomplete" || b.Record.RsyncExit != 23 {
		t.Errorf("%+v, want incomplete with 23", b)
	}
	// cur goes on naming a backup that holds everything.
	if got := testdest.Current(t, dest); got != filepath.Base(complete) {
		t.Errorf("cur names %s, want %s", got, complete)
	}
	wantReadOnly(t, filepath.Join(dest, b.Name))
	testdest.WantSame(t, src, filepath.Join(dest, b.Name))
	wantTidy(t, dest)

	testdest.WantSame(t, src, testdest.Backup(t, src, dest))
	if got := newest(t, dest, 3); got.Status != "complete" || got.Record.Base != b.Name {
		t.Errorf("the next backup: %+v, want a complete one on %s", got, b.Name)
	}
}

func TestAFirstBackupMayBeIncomplete(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "2G")
	src := t.TempDir()
	testdest.Write(t, src+"/file", "one")
	if r := endsWith(t, "exit 23").run(t, "backup", src, dest); r.Exit != 3 {
		t.Errorf("exit %d, want 3", r.Exit)
	}
	newest(t, dest, 1)
	if testdest.Exists(dest + "/cur") {
		t.Errorf("cur names %s, which is incomplete", testdest.Current(t, dest))
	}
	testdest.WantSame(t, src, testdest.Backup(t, src, dest))
	newest(t, dest, 2)
}

func TestPartialRefuseKeepsPendingForTheNextRun(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "2G")
	src := t.TempDir()
	testdest.Write(t, src+"/file", "one")
	testdest.Backup(t, src, dest)
	testdest.Write(t, src+"/file", "two")

	r := endsWith(t, "exit 23").run(t, "backup", "--partial=refuse", src, dest)
	if r.Exit != 1 {
		t.Errorf("exit %d, want 1", r.Exit)
	}
	wantOneErrorLine(t, r, "Input/output error")
	if !strings.Contains(hintsOf(r), "--partial=publish") {
		t.Errorf("hints %q, want --partial=publish", hintsOf(r))
	}
	newest(t, dest, 1)
	if got := testdest.Read(t, dest+"/pending/file"); got != "two" {
		t.Errorf("pending/file holds %q, want what was transferred", got)
	}
	testdest.WantSame(t, src, testdest.Backup(t, src, dest))
	if !newest(t, dest, 2).Record.Resumed {
		t.Error("the next run did not resume it")
	}
	wantTidy(t, dest)
}

func TestVanishedFilesAreNoFailure(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "2G")
	src := t.TempDir()
	testdest.Write(t, src+"/file", "one")
	r := endsWith(t, "exit 24").run(t, "backup", src, dest)
	if r.Exit != 0 {
		t.Errorf("exit %d, want 0: %s", r.Exit, r.Stderr)
	}
	if !strings.Contains(r.Stderr, "vanished") {
		t.Errorf("nothing is said of vanished files: %q", r.Stderr)
	}
	if b := newest(t, dest, 1); b.Status != "complete" || b.Record.RsyncExit != 24 || len(b.Record.Notices) == 0 || !b.Current {
		t.Errorf("%+v, want a complete one with a notice", b)
	}
}

// rsync ends with 24 as well when all of the source goes away under its hands.
func TestASourceThatWentAwayIsNotPublished(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ what, then string }{
		{"removed", `rm -r "$SRC"; exit 24`},
		{"replaced", `mv "$SRC" "$SRC.was"; mkdir "$SRC"; exit 24`},
		{"replaced, and rsync saw nothing of it", `mv "$SRC" "$SRC.was"; mkdir "$SRC"; exit 0`},
	} {
		t.Run(tt.what, func(t *testing.T) {
			dest := testdest.New(t, "2G")
			src := filepath.Join(t.TempDir(), "src")
			testdest.Write(t, src+"/file", "one")
			gone := endsWith(t, "SRC='"+src+"'; "+tt.then)
			r := gone.run(t, "backup", src, dest)
			if r.Exit != 12 {
				t.Errorf("exit %d, want 12: %s", r.Exit, r.Stderr)
			}
			wantErrorSays(t, r.Stderr, src)
			if got := testdest.Backups(t, dest); len(got) != 0 {
				t.Errorf("published %+v", got)
			}
		})
	}
}

// Every other way rsync can fail publishes nothing and keeps what was transferred.
func TestAFailedTransferIsResumed(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "2G")
	src := t.TempDir()
	testdest.Write(t, src+"/file", "one")
	for exit, want := range map[string]int{"exit 11": 1, "exit 12": 1, "exit 20": 1, "exit 30": 1, "kill -9 $$": 1} {
		r := endsWith(t, exit).run(t, "backup", src, dest)
		if r.Exit != want {
			t.Errorf("rsync %s: exit %d, want %d", exit, r.Exit, want)
		}
		wantErrorSays(t, r.Stderr, "rsync")
		if len(testdest.Backups(t, dest)) != 0 || testdest.Exists(dest+"/cur") {
			t.Fatalf("rsync %s: published", exit)
		}
		if got := testdest.Read(t, dest+"/pending/file"); got != "one" {
			t.Errorf("rsync %s: pending/file holds %q", exit, got)
		}
	}
	testdest.WantSame(t, src, testdest.Backup(t, src, dest))
	if !newest(t, dest, 1).Record.Resumed {
		t.Error("it was not resumed")
	}
}

// A real disk that is full, below a real rsync.
func TestAFullDiskExits14AndTheNextRunWorks(t *testing.T) {
	t.Parallel()
	disk := loopfs.New(t, "256M")
	dest, src := disk+"/dest", t.TempDir()
	testdest.MakeDir(t, dest)
	testbin.Must(t, "init", dest)
	testdest.Write(t, src+"/file", "one")
	first := testdest.Backup(t, src, dest)
	testdest.Tool(t, "dd", "if=/dev/urandom", "of="+src+"/big", "bs=1M", "count=64", "status=none")
	fill := func(name string, leave int64) string {
		filler := filepath.Join(disk, name)
		testdest.Tool(t, "sh", "-c", `dd if=/dev/zero of="$0" bs=64k oflag=append conv=notrunc,fsync status=none 2>/dev/null; true`, filler)
		info, err := os.Stat(filler)
		testdest.Must(t, err)
		testdest.Must(t, os.Truncate(filler, info.Size()-leave))
		testdest.Tool(t, "btrfs", "filesystem", "sync", disk)
		return filler
	}
	var fillers []string
	for _, tt := range []struct {
		what  string
		leave int64
	}{{"some room is left", 16 << 20}, {"no room is left", 0}} {
		fillers = append(fillers, fill(tt.what, tt.leave))
		t.Run(tt.what, func(t *testing.T) {
			r := testbin.Run(t, "backup", src, dest)
			if r.Exit != 14 {
				t.Errorf("exit %d, want 14", r.Exit)
			}
			wantErrorSays(t, strings.ToLower(r.Stderr), "no space left")
			if got := filepath.Join(dest, testdest.Current(t, dest)); got != first || len(testdest.Backups(t, dest)) != 1 {
				t.Errorf("cur names %s, want %s", got, first)
			}
		})
	}
	t.Run("a dry run needs no room", func(t *testing.T) {
		testbin.Must(t, "backup", "--dry-run", src, dest)
	})
	for _, filler := range fillers {
		testdest.Must(t, os.Remove(filler))
	}
	testdest.Tool(t, "btrfs", "filesystem", "sync", disk)
	testdest.WantSame(t, src, testdest.Backup(t, src, dest))
	wantTidy(t, dest)
}

func wantErrorSays(t testing.TB, stderr string, words ...string) {
	t.Helper()
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "rsbtbackup: ") {
			continue
		}
		for _, word := range words {
			if !strings.Contains(line, word) {
				t.Errorf("the error line does not say %q: %s", word, line)
			}
		}
		return
	}
	t.Errorf("no error line: %q", stderr)
}
