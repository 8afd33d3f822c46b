//go:build integration

package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// fakeRsync puts a script called rsync first in PATH and returns the environment for it. In the script $REAL is the
// true rsync, and "transfer" is true for the run that copies, false when only the version is asked for.
func fakeRsync(t testing.TB, script string) []string {
	t.Helper()
	dir := t.TempDir()
	real, err := exec.LookPath("rsync")
	testdest.Must(t, err)
	text := fmt.Sprintf(`#!/bin/sh
REAL=%s
case "$*" in --version|-V|-VV|*--version*) exec "$REAL" "$@" ;; esac
%s
`, real, script)
	testdest.Must(t, os.WriteFile(filepath.Join(dir, "rsync"), []byte(text), 0o755))
	return []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
}

// pausingRsync is an rsync that, when it has transferred everything, makes the file it returns and sleeps.
func pausingRsync(t testing.TB) (flag string, env []string) {
	t.Helper()
	return pausingRsyncFor(t, "30")
}

func pausingRsyncFor(t testing.TB, seconds string) (flag string, env []string) {
	t.Helper()
	flag = filepath.Join(t.TempDir(), "transferred")
	return flag, fakeRsync(t, fmt.Sprintf(`"$REAL" "$@" || exit; : > '%s'; exec sleep %s`, flag, seconds))
}

// silentRsync is a pausing rsync that does not say when it has written everything, as one that is cut off before: upon
// that the run has the filesystem written out.
func silentRsync(t testing.TB) (flag string, env []string) {
	t.Helper()
	flag = filepath.Join(t.TempDir(), "transferred")
	return flag, fakeRsync(t, fmt.Sprintf(`for a; do shift; [ "$a" = --debug=exit2 ] || set -- "$@" "$a"; done; "$REAL" "$@" || exit; : > '%s'; exec sleep 30`, flag))
}

// waitingRsync is an rsync that makes the file it returns and waits, before it does anything, until that is gone.
func waitingRsync(t testing.TB) (flag string, env []string) {
	t.Helper()
	flag = filepath.Join(t.TempDir(), "waiting")
	return flag, fakeRsync(t, fmt.Sprintf(`: > '%s'; while [ -e '%[1]s' ]; do sleep 0.05; done; exec "$REAL" "$@"`, flag))
}
