package testdest

import (
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

// Must ends the test if there is an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// WantExit ends the test unless the command ended with this exit code.
func WantExit(t testing.TB, r testbin.Result, code int) {
	t.Helper()
	if r.Exit != code {
		t.Fatalf("exit %d, want %d\n%s%s", r.Exit, code, r.Stdout, r.Stderr)
	}
}

// WantSame compares two trees as rsync does: contents by checksum, all attributes, times to the nanosecond. Options for
// rsync can leave something out. Rsync, which is three processes, is asked only if something differs.
func WantSame(t testing.TB, want, got string, options ...string) {
	t.Helper()
	if Same(want, got) {
		return
	}
	args := append([]string{"-naHAXc", "--numeric-ids", "--modify-window=-1", "--delete", "--itemize-changes"}, options...)
	if diff := Tool(t, "rsync", append(args, "--", want+"/", got+"/")...); diff != "" {
		t.Errorf("%s differs from %s:\n%.4000s", got, want, diff)
	}
}
