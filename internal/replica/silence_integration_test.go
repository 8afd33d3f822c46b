//go:build integration

package replica_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/replica"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }

const (
	patience = 2 * time.Second
	// quiet is a side that says and does nothing more, for longer than it is waited for.
	quiet     = "exec sleep 8"
	receiving = `{"rsbtbackup":"receive","version":1,"dest":"/x","backups":[],"can":["begin","alive"]}`
)

// twoBackups makes a DEST with two backups, larger than what pipes hold.
func twoBackups(t *testing.T) string {
	t.Helper()
	src, dest := t.TempDir(), testdest.New(t, "1G")
	for i := range 2 {
		out, err := exec.Command("sh", "-c", fmt.Sprintf("head -c 9000000 /dev/urandom >%s/noise%d", src, i)).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		testdest.Backup(t, src, dest)
	}
	return dest
}

// shell is a remote shell in which a script stands for the other side; "$*" is the command that was asked for.
func shell(t *testing.T, script string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sshd")
	testdest.Must(t, os.WriteFile(path, []byte("#!/bin/sh\nshift\n"+script+"\n"), 0o755))
	return []string{path}
}

// wantGivenUp: one line, of the kind that has exit code 12.
func wantGivenUp(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, facts.ErrTarget) || !strings.Contains(err.Error(), "vault has ") || !strings.Contains(err.Error(), "for 2s and was given up") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v", err)
	}
}

// TestTheOtherSideFallsSilent: it greets, or not, and then takes or says nothing more, or one byte in a second. It is
// given up, nothing half done has the name of a backup, and the next run does what is left.
func TestTheOtherSideFallsSilent(t *testing.T) {
	dest := twoBackups(t)
	vault := func(path string) string { return "vault:" + path }
	here := func(path string) string { return path }
	greet := "echo '" + receiving + "'; "
	for _, tt := range []struct {
		name, script string
		from, to     func(string) string
	}{
		{"says nothing", quiet, here, vault},
		{"half a greeting", "printf '{\"rsbtbackup\":'; " + quiet, here, vault},
		{"greets once", greet + quiet, here, vault},
		{"is stopped", greet + greet + "kill -STOP $$", here, vault},
		{"takes nothing", greet + greet + quiet, here, vault},
		{"takes a byte in a second", greet + greet + "for i in 1 2 3 4 5 6 7 8; do head -c 1 >/dev/null; sleep 1; done", here, vault},
		{"stops in the middle", `{ head -c 900000; ` + quiet + `; } | sh -c "$*"`, here, vault},
		{"stops before the answer", `sh -c "$*" | { head -n 2; ` + quiet + "; }", here, vault},
		{"half an answer", `sh -c "$*" | { sed -u 2q; head -c 5; ` + quiet + "; }", here, vault},

		{"pulled, says nothing", quiet, vault, here},
		{"pulled, greets", `sh -c "$*" | { head -n 1; ` + quiet + "; }", vault, here},
		{"pulled, half an answer", `sh -c "$*" | { sed -u 1q; head -c 20; ` + quiet + "; }", vault, here},
		{"pulled, stops in the middle", `sh -c "$*" | { head -c 900000; ` + quiet + "; }", vault, here},
		{"pulled, a byte in a second", `sh -c "$*" | { head -c 900000; for i in 1 2 3 4 5 6 7 8; do head -c 1; sleep 1; done; }`, vault, here},
		{"pulled, stops before the end", `sh -c "$*" | { head -c 9005000; ` + quiet + "; }", vault, here},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target := testdest.New(t, "1G")
			o := replica.Options{SSH: shell(t, tt.script), Program: testbin.Path(t)}
			_, err := replica.CopyWithin(t.Context(), patience, tt.from(dest), tt.to(target), o)
			wantGivenUp(t, err)
			for _, name := range testdest.Names(t, target) {
				testdest.WantSame(t, filepath.Join(dest, name), filepath.Join(target, name))
			}
			testbin.Must(t, "copy", "-q", dest, target, "--lock-wait=1m") // the other side may still have it
			for _, name := range testdest.Names(t, dest) {
				testdest.WantSame(t, filepath.Join(dest, name), filepath.Join(target, name))
			}
			if left, err := os.ReadDir(filepath.Join(target, ".log/incoming")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestTheOtherSideFallsSilentInAComparison(t *testing.T) {
	dest, target := twoBackups(t), testdest.New(t, "1G")
	testbin.Must(t, "copy", "-q", dest, target)
	for name, script := range map[string]string{
		"says nothing":   quiet,
		"greets":         `sh -c "$*" | { head -n 1; ` + quiet + "; }",
		"half an answer": `sh -c "$*" | { sed -u 1q; head -c 1; ` + quiet + "; }",
		"takes nothing":  `{ head -c 20; ` + quiet + `; } | sh -c "$*"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := replica.CompareOptions{SSH: shell(t, script), Program: testbin.Path(t)}
			wantGivenUp(t, replica.CompareWithin(t.Context(), patience, dest, "vault:"+target, o))
		})
	}
}

// TestAnotherSideThatIsAtWorkIsNotGivenUp: it waits for a lock for longer than it may be silent.
func TestAnotherSideThatIsAtWorkIsNotGivenUp(t *testing.T) {
	t.Parallel()
	dest, target := twoBackups(t), testdest.New(t, "1G")
	dir, err := os.Open(target)
	testdest.Must(t, err)
	testdest.Must(t, unix.Flock(int(dir.Fd()), unix.LOCK_EX))
	time.AfterFunc(3*patience, func() { _ = dir.Close() })
	o := replica.Options{SSH: shell(t, `exec sh -c "$*"`), Program: testbin.Path(t), LockWait: time.Minute}
	_, err = replica.CopyWithin(t.Context(), patience, dest, "vault:"+target, o)
	testdest.Must(t, err)
	for _, name := range testdest.Names(t, dest) {
		testdest.WantSame(t, filepath.Join(dest, name), filepath.Join(target, name))
	}
}

// TestASlowOtherSideIsNotGivenUp: several pauses, each shorter than the patience, and longer together. Where a busy
// machine makes a pause last longer, all is tried again with twice the time.
func TestASlowOtherSideIsNotGivenUp(t *testing.T) {
	t.Parallel()
	dest, target := twoBackups(t), testdest.New(t, "1G")
	var err error
	for patience := 2 * time.Second; patience < 2*time.Minute; patience *= 2 {
		script := fmt.Sprintf(`{ for i in 1 2 3; do dd bs=65536 count=8 2>/dev/null; sleep %f; done; exec cat; } | sh -c "$*"`, patience.Seconds()/2)
		o := replica.Options{SSH: shell(t, script), Program: testbin.Path(t), LockWait: time.Minute}
		if _, err = replica.CopyWithin(t.Context(), patience, dest, "vault:"+target, o); err == nil {
			break
		}
	}
	testdest.Must(t, err)
	for _, name := range testdest.Names(t, dest) {
		testdest.WantSame(t, filepath.Join(dest, name), filepath.Join(target, name))
	}
}
