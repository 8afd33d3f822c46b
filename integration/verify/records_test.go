//go:build integration

package verify

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// Whatever has the name of the records, the backups are read as before. What would have to be recorded is refused, with
// the command that puts it right.
func TestRecordsOfAnotherKindBlockNoReading(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "file", 5000)
	first := s.backup(t)
	s.write(t, "file", 6000)
	second := s.backup(t)
	records := filepath.Join(s.dest, ".log", "records")
	for kind, replace := range map[string]func() error{
		"file":    func() error { return os.WriteFile(records, []byte("{}"), 0o600) },
		"symlink": func() error { return os.Symlink("/etc", records) },
		"loop":    func() error { return os.Symlink("records", records) },
		"fifo":    func() error { return unix.Mkfifo(records, 0o600) },
	} {
		testdest.Must(t, os.Rename(records, records+".kept"))
		testdest.Must(t, replace())
		target := filepath.Join(t.TempDir(), "restored")
		for _, args := range append(s.readings(first, second, target), []string{"prune", s.dest, "--keep-last=1", "-n"}) {
			if r := testbin.Run(t, args...); r.Exit != 0 {
				t.Errorf("%s: %q: exit %d\n%s", kind, args, r.Exit, r.Stderr)
			}
		}
		testdest.Tool(t, "diff", "-r", s.src, target)
		if r := testbin.Run(t, "verify", s.dest); strings.Count(r.Stderr, "is not stored in the records") != 1 {
			t.Errorf("%s: verify:\n%s", kind, r.Stderr)
		}
		if r := testbin.Run(t, "check", s.dest); r.Exit != 1 || !strings.Contains(r.Stdout, "FAIL  records") {
			t.Errorf("%s: check: exit %d\n%s", kind, r.Exit, r.Stdout)
		}
		hint := ""
		for _, args := range s.changes(first) {
			r := testbin.Run(t, args...)
			_, hint, _ = strings.Cut(r.Stderr, "\nhint: to move it out of the way: ")
			if r.Exit != 1 || !strings.Contains(r.Stderr, records+": ") || hint == "" {
				t.Errorf("%s: %q: exit %d\n%s", kind, args, r.Exit, r.Stderr)
			}
		}
		testdest.Tool(t, "ls", filepath.Join(s.dest, first), filepath.Join(s.dest, second))
		if out, err := exec.Command("sh", "-c", hint).CombinedOutput(); err != nil {
			t.Errorf("%s: %s: %v\n%s", kind, hint, err, out)
		}
		testbin.Must(t, "pin", s.dest, first)
		testdest.Must(t, os.RemoveAll(records))
		testdest.Must(t, os.Remove(records+".was"))
		testdest.Must(t, os.Rename(records+".kept", records))
	}
	s.backup(t)
}
