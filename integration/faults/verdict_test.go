//go:build integration

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// TestRsyncExitCodes lets rsync do all its work and then exit with each of its codes. Only 0 and 24 make a complete
// backup, 23 an incomplete one.
func TestRsyncExitCodes(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "1G"), src, 1)
	codes := []int{0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 20, 21, 22, 23, 24, 25, 30, 35, 127, 255}
	for _, code := range codes {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			src.change(t)
			before := len(d.backups)
			env := fakeRsync(t, fmt.Sprintf(`"$REAL" "$@"; exit %d`, code))
			r := runEnv(t, env, "backup", src.dir, d.path)
			want, published := 1, 0
			switch code {
			case 0, 24:
				want, published = 0, 1
			case 23:
				want, published = 3, 1
				d.incomplete = true
			case 1:
				want = 2
			}
			if code == 25 {
				wantExit(t, r, 1, 13)
			} else {
				wantExit(t, r, want)
			}
			if want != 0 {
				wantOneError(t, r)
			}
			d.held(t, src)
			if got := len(d.backups) - before; got != published {
				t.Errorf("published %d backups, want %d", got, published)
			}
			d.check(t, src)
		})
	}
}

// TestRsyncIncompleteRefused keeps a partial transfer pending when told so.
func TestRsyncIncompleteRefused(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	src.change(t)
	env := fakeRsync(t, `"$REAL" "$@"; exit 23`)
	wantExit(t, runEnv(t, env, "backup", "--partial=refuse", src.dir, d.path), 1, 3)
	d.held(t, src)
	if len(d.backups) != 1 || !testdest.Exists(d.join("pending")) {
		t.Error("want nothing published, and pending kept")
	}
	d.check(t, src)
}

// TestSourceReplacedInTheRun takes the source away, or puts another directory in its place, while rsync runs and then
// says 24.
func TestSourceReplacedInTheRun(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, script string }{
		{"gone", `mv '%[1]s' '%[1]s.away'`},
		{"replaced", `mv '%[1]s' '%[1]s.away'; mkdir '%[1]s'`},
	} {
		for _, code := range []int{0, 24} {
			t.Run(fmt.Sprint(tt.name, " ", code), func(t *testing.T) {
				src := newTree(t)
				d := newDest(t, loopfs.New(t, "512M"), src, 1)
				src.change(t)
				env := fakeRsync(t, fmt.Sprintf(`"$REAL" "$@"; `+tt.script+`; exit %[2]d`, src.dir, code))
				r := runEnv(t, env, "backup", src.dir, d.path)
				testdest.Must(t, os.RemoveAll(src.dir))
				testdest.Must(t, os.Rename(src.dir+".away", src.dir))
				wantExit(t, r, 12)
				wantOneError(t, r)
				d.held(t, src)
				if len(d.backups) != 1 {
					t.Error("a backup was published of a source that was gone")
				}
				d.check(t, src)
			})
		}
	}
}

// TestRsyncFloods lets rsync print without end, on both streams, with control characters and no line ends.
func TestRsyncFloods(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	for _, tt := range []struct {
		name, script string
		exit         int
	}{
		{"stdout", `yes 'some line' | head -c 30000000; exec "$REAL" "$@"`, 0},
		{"stderr", `yes 'rsync: some error' | head -c 30000000 >&2; "$REAL" "$@"; exit 12`, 1},
		{"one long line", `head -c 20000000 /dev/zero | tr '\0' x >&2; "$REAL" "$@"; exit 12`, 1},
		{"controls", `printf 'rsync: \033]0;owned\007 \r \302\233 \377 forged\nlevel=ERROR msg=forged\n' >&2; "$REAL" "$@"; exit 12`, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src.change(t)
			r := runEnv(t, fakeRsync(t, tt.script), "backup", src.dir, d.path)
			wantExit(t, r, tt.exit)
			if tt.exit != 0 {
				wantOneError(t, r)
			}
			logIsClean(t, d)
			d.check(t, src)
		})
	}
}

// logIsClean asks that activity.log has whole lines of ours and nothing else.
func logIsClean(t testing.TB, d *dest) {
	t.Helper()
	for line := range strings.SplitSeq(read(t, d.join(".log", "activity.log")), "\n") {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("activity.log has a line that is not ours: %.200q", line)
		}
		for _, c := range line {
			if c < ' ' || c >= 0x7f && c < 0xa0 || c == '\uFFFD' {
				t.Errorf("activity.log has a control character: %.200q", line)
				break
			}
		}
	}
}

// TestRsyncCannotStart has no rsync, one that may not be executed, one that is no program, and one that is too old.
func TestRsyncCannotStart(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
	}{
		{"absent", "", 0},
		{"not executable", "#!/bin/sh\n", 0o644},
		{"no program", "\x7fELF nonsense", 0o755},
		{"no interpreter", "#!/does/not/exist\n", 0o755},
		{"too old", "#!/bin/sh\necho 'rsync  version 2.6.9  protocol version 29'\n", 0o755},
		{"something else", "#!/bin/sh\necho hello\n", 0o755},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src.change(t)
			dir := t.TempDir()
			if tt.mode != 0 {
				testdest.Must(t, os.WriteFile(filepath.Join(dir, "rsync"), []byte(tt.text), tt.mode))
			}
			r := runEnv(t, []string{"PATH=" + dir}, "backup", src.dir, d.path)
			wantExit(t, r, 1, 2)
			wantOneError(t, r)
			d.check(t, src)
		})
	}
}

// TestAnUncomparedPendingStaysUntrusted: a first backup was interrupted, and is gone on with from another source, whose
// files have the same sizes and times. Their contents are compared. A run that is interrupted before it has done so
// must not make the next one trust sizes and times.
func TestAnUncomparedPendingStaysUntrusted(t *testing.T) {
	t.Parallel()
	mount := loopfs.New(t, "512M")
	dest := filepath.Join(mount, "dest")
	testdest.Must(t, os.Mkdir(dest, 0o700))
	wantExit(t, run(t, "init", dest), 0)
	sources := map[string]string{}
	when := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for _, text := range []string{"one", "two"} {
		dir := filepath.Join(t.TempDir(), text)
		testdest.Must(t, os.Mkdir(dir, 0o700))
		for i := range 5 {
			name := filepath.Join(dir, fmt.Sprint("file ", i))
			testdest.Must(t, os.WriteFile(name, []byte(strings.Repeat(text, 1000)), 0o600))
			testdest.Must(t, os.Chtimes(name, when, when))
		}
		sources[text] = dir
	}
	copies := fakeRsync(t, `"$REAL" "$@"; exit 30`)
	nothing := fakeRsync(t, `case "$*" in *--version*) exec "$REAL" "$@";; esac; exit 30`)
	wantExit(t, runEnv(t, copies, "backup", sources["one"], dest), 1)
	wantExit(t, runEnv(t, nothing, "backup", sources["two"], dest), 1)
	wantExit(t, run(t, "backup", sources["two"], dest), 0)
	for i := range 5 {
		if got := read(t, filepath.Join(dest, "cur", fmt.Sprint("file ", i))); !strings.HasPrefix(got, "two") {
			t.Errorf("file %d begins with %q", i, got[:3])
		}
	}
}
