//go:build integration

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// fakeRsync puts a program called rsync first in a PATH, and returns the environment with it. The real one is at $REAL.
func fakeRsync(t testing.TB, script string) []string {
	t.Helper()
	real, err := exec.LookPath("rsync")
	testdest.Must(t, err)
	dir := t.TempDir()
	name := filepath.Join(dir, "rsync")
	testdest.Write(t, name, "#!/bin/sh\nREAL="+real+"\n"+script)
	testdest.Must(t, os.Chmod(name, 0o755))
	return append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
}
