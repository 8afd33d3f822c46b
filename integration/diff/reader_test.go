//go:build integration

package diff

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// Everybody can read the name of a trusted.* attribute, but only root its value. If only the value could decide, the
// file is not compared; all the rest is reported.
func TestAttributesThatOnlyRootReads(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	testdest.Must(t, os.Chmod(l.dest+"/.log", 0o755))
	testdest.Must(t, os.Chmod(l.work, 0o755))
	for _, name := range []string{"touched", "changed", "gained", "same", "plain"} {
		testdest.Write(t, l.path(name), "content")
		if name != "gained" && name != "plain" {
			testdest.Must(t, syscall.Setxattr(l.path(name), "trusted.secret", []byte("1"), 0))
		}
	}
	from := l.snap(t)
	testdest.Must(t, os.Chmod(l.path("touched"), 0o640))
	testdest.Must(t, os.Chmod(l.path("touched"), 0o604))
	testdest.Write(t, l.path("changed"), "another")
	testdest.Must(t, syscall.Setxattr(l.path("gained"), "trusted.secret", []byte("1"), 0))
	testdest.Write(t, l.path("plain"), "another")
	to := l.snap(t)

	r := testbin.AsNobody(t, "diff", l.dest, from, to)
	out := r.Stdout + r.Stderr
	if r.Exit != 1 || strings.Contains(out, "no data available") || !strings.Contains(out, "getxattr trusted.secret") {
		t.Errorf("exit %d\n%s", r.Exit, out)
	}
	for _, want := range []string{"M changed (content", "m gained (xattrs)", "M plain (content", "? touched (mode"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for path, want := range map[string]string{"touched": "2 versions", "plain": "2 versions", "same": "1 version "} {
		r := testbin.AsNobody(t, "history", l.dest, path)
		out := r.Stdout + r.Stderr
		if !strings.Contains(out, want) || strings.Contains(out, "no data available") {
			t.Errorf("history of %s:\n%s", path, out)
		}
	}
	if r := testbin.Must(t, "diff", l.dest, from, to); !strings.Contains(r.Stdout, "m touched (mode)") {
		t.Errorf("as root: %s", r.Stdout)
	}
}

// ls and cat follow a symlink on the way to a path; diff and history do not, and say so.
func TestASymlinkOnTheWay(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	testdest.Write(t, l.path("real", "sub", "file"), "content")
	testdest.Must(t, os.Symlink("real", l.path("link")))
	from := l.snap(t)
	to := l.snap(t)
	testbin.Must(t, "cat", l.dest, to, "link/sub/file")
	for _, args := range [][]string{{"history", l.dest, "link/sub/file"}, {"diff", l.dest, from, to, "link/sub/file"}} {
		r := testbin.Run(t, args...)
		if r.Exit != 2 || !strings.Contains(r.Stderr, `"link" is a symlink there, to "real", and is not followed`) {
			t.Errorf("%q: exit %d\n%s", args, r.Exit, r.Stderr)
		}
	}
	if r := testbin.Run(t, "history", l.dest, "nothing/sub"); strings.Contains(r.Stderr, "symlink") {
		t.Error(r.Stderr)
	}
}

// A backup that is known to be damaged is not the one to take a file from, as long as another has it.
func TestHistoryRecommendsNoDamagedBackup(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	testdest.Write(t, l.path("file"), "content")
	first := l.snap(t)
	second := l.snap(t)
	record := `{"version":1,"name":"` + second + `","status":"complete","verified":{"at":"2026-01-01T00:00:00Z","result":"damaged"}}`
	testdest.Must(t, os.MkdirAll(filepath.Join(l.dest, ".log", "records"), 0o700))
	testdest.Must(t, os.WriteFile(filepath.Join(l.dest, ".log", "records", second+".json"), []byte(record), 0o600))
	h, err := rsbtbackup.History(t.Context(), l.dest, "file")
	testdest.Must(t, err)
	if len(h.Versions) != 1 || h.Versions[0].Take != first || h.Versions[0].Last != second {
		t.Errorf("%+v", h.Versions)
	}
}
