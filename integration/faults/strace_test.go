//go:build integration

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// injection is a fault strace puts into the nth system call of one kind. Only the first thread of the command is
// traced; it makes the calls of the commit, because the command holds its main goroutine there. rsync is not traced.
type injection struct {
	call  string
	fault string // as strace(1) has it: error=EIO, signal=SIGKILL
	nth   int
	// paths restrict it to calls about these files.
	paths []string
	unmet *atomic.Int64 // counts faults of a sweep that did not happen
}

func (i injection) String() string { return fmt.Sprintf("%s %s %d", i.call, i.fault, i.nth) }

// argv is the command line that runs args with the fault; strace writes what it traced to log.
func (i injection) argv(t testing.TB, log string, args ...string) []string {
	t.Helper()
	argv := []string{"strace", "-qq", "-o", log, "-e", "trace=" + i.call}
	if i.nth > 0 {
		argv = append(argv, "-e", fmt.Sprintf("inject=%s:%s:when=%d", i.call, i.fault, i.nth))
	}
	for _, p := range i.paths {
		argv = append(argv, "-P", p)
	}
	return append(append(argv, program(t)), args...)
}

// run runs the command with the fault, and reports whether it was met.
func (i injection) run(t testing.TB, args ...string) (result, bool) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "strace")
	r := start(t, nil, i.argv(t, log, args...)...).wait(t)
	trace, err := os.ReadFile(log)
	testdest.Must(t, err)
	return r, strings.Contains(string(trace), "(INJECTED)") || r.exit == -1
}

// count runs the command undisturbed, and returns how many such calls it makes.
func (i injection) count(t testing.TB, args ...string) int {
	t.Helper()
	i.nth = 0
	log := filepath.Join(t.TempDir(), "strace")
	wantExit(t, start(t, nil, i.argv(t, log, args...)...).wait(t), 0)
	trace, err := os.ReadFile(log)
	testdest.Must(t, err)
	n := 0
	for line := range strings.Lines(string(trace)) {
		if strings.HasPrefix(line, i.call+"(") {
			n++
		}
	}
	return n
}
