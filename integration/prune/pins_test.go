//go:build integration

package prune

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

func TestPinsHold(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	days := []string{"2020-01-01-00:00", "2020-01-02-00:00", "2020-01-03-00:00"}
	madeUp(t, dest, days...)
	testbin.Must(t, "pin", dest, days[0], "--note", "esc \x1b[31m")
	if r := testbin.Must(t, "list", dest); !strings.Contains(r.Stdout, "pinned") {
		t.Errorf("list says nothing of a pin:\n%s", r.Stdout)
	}
	testbin.Must(t, "rotate", dest, "1d")
	testdest.WantExit(t, testbin.Run(t, "prune", dest, "--keep-last=1", "--min-free=99%", "-n"), 14)
	testdest.WantExit(t, testbin.Run(t, "prune", dest, "--keep-last=1", "--min-free=99%"), 14)
	wantNames(t, dest, days[0], days[2])
	wantRefused(t, testbin.Run(t, "delete", dest, days[0]), 13, `esc \x1b[31m`)
	testbin.Must(t, "unpin", dest, days[0])
	testbin.Must(t, "unpin", dest, days[0])
	testbin.Must(t, "delete", dest, days[0])
	wantNames(t, dest, days[2])
}

// A record that cannot be read may hold a pin.
func TestAnUnreadableRecordCountsAsAPin(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	madeUp(t, dest, "2020-01-01-00:00", "2020-01-02-00:00")
	testbin.Must(t, "pin", dest, "latest")
	testdest.Write(t, recordPath(dest, "2020-01-01-00:00"), `{"version":9}`)
	testbin.Must(t, "prune", dest, "--keep-last=1")
	wantNames(t, dest, "2020-01-01-00:00", "2020-01-02-00:00")
	wantRefused(t, testbin.Run(t, "delete", dest, "2020-01-01"), 13, "may be pinned")
	testbin.Must(t, "delete", dest, "2020-01-01", "--force")
	wantNames(t, dest, "2020-01-02-00:00")
	wantTidy(t, dest)
}

func TestPinDuringABackup(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	madeUp(t, dest, "2020-01-01-00:00", "2020-01-02-00:00")
	backup, release := heldBackup(t, dest, "--prune", "--keep-last=1")
	testbin.Must(t, "pin", dest, "2020-01-01-00:00")
	release()
	testdest.Must(t, backup.Wait())
	if got := testdest.Names(t, dest); len(got) != 2 || got[0] != "2020-01-01-00:00" {
		t.Errorf("left: %q", got)
	}
}

// The pin is set when prune has decided and is about to delete: in a record that was not there when prune read them, in
// a new file of that name, or into the old one, as an editor would.
func TestPinBetweenPlanAndDelete(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"new record", "renamed over", "written into"} {
		t.Run(how, func(t *testing.T) {
			dest := testdest.New(t, "256M")
			days := []string{"2020-01-01-00:00", "2020-01-02-00:00", "2020-01-03-00:00"}
			madeUp(t, dest, days...)
			testbin.Must(t, "pin", dest, days[2])
			if how != "new record" {
				record(t, dest, days[0], rsbtbackup.Complete)
				record(t, dest, days[1], rsbtbackup.Complete)
			}
			records, err := os.Open(filepath.Dir(recordPath(dest, "x")))
			testdest.Must(t, err)
			defer records.Close()
			testdest.Must(t, unix.Flock(int(records.Fd()), unix.LOCK_EX))

			prune := command(t, 0, "prune", dest, "--keep-last=1")
			var out strings.Builder
			prune.Stdout, prune.Stderr = &out, &out
			testdest.Must(t, prune.Start())
			testdest.WaitFor(t, "prune to wait for the records", func() bool { return waitsForRecords(t, prune.Process.Pid, dest) })
			data, err := json.Marshal(rsbtbackup.Record{Version: 1, Name: days[0], Status: rsbtbackup.Complete, Pin: &rsbtbackup.PinInfo{}})
			testdest.Must(t, err)
			name := recordPath(dest, days[0])
			if how == "renamed over" {
				name += ".new"
			}
			testdest.Write(t, name, string(data))
			testdest.Must(t, os.Rename(name, recordPath(dest, days[0])))
			testdest.Must(t, unix.Flock(int(records.Fd()), unix.LOCK_UN))
			testdest.Must(t, prune.Wait())
			wantNames(t, dest, days[0], days[2])
			if !strings.Contains(out.String(), "1 backup deleted, 2 kept") {
				t.Errorf("prune said:\n%s", out.String())
			}
		})
	}
}

// waitsForRecords reports whether a process has the records open and keeps them open, as one does that asks for their
// lock time and again.
func waitsForRecords(t testing.TB, pid int, dest string) bool {
	t.Helper()
	has := func() bool {
		for _, fd := range readDir(t, fmt.Sprintf("/proc/%d/fd", pid)) {
			if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd)); err == nil && to == filepath.Join(dest, ".log", "records") {
				return true
			}
		}
		return false
	}
	for range 20 {
		if !has() {
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
	return true
}

// A verb that waits for the records can be stopped, and then has changed nothing.
func TestWaitingForTheRecordsEnds(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	days := []string{"2020-01-01-00:00", "2020-01-02-00:00"}
	madeUp(t, dest, days...)
	testbin.Must(t, "pin", dest, days[1])
	records, err := os.Open(filepath.Dir(recordPath(dest, "x")))
	testdest.Must(t, err)
	defer records.Close()
	testdest.Must(t, unix.Flock(int(records.Fd()), unix.LOCK_EX))
	for _, args := range [][]string{{"pin", dest, days[0]}, {"unpin", dest, days[1]}, {"delete", dest, days[0]}, {"prune", dest, "--keep-last=1"}} {
		cmd := command(t, 0, args...)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		testdest.Must(t, cmd.Start())
		testdest.WaitFor(t, args[0]+" to wait for the records", func() bool { return waitsForRecords(t, cmd.Process.Pid, dest) })
		testdest.Must(t, cmd.Process.Signal(unix.SIGTERM))
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 143 {
			t.Errorf("%s: exit %d, want 143\n%s", args[0], code, out.String())
		}
		start := time.Now()
		wantRefused(t, testbin.Run(t, append(args, "--lock-wait=1", "-q")...), 11, "records is locked")
		if took := time.Since(start); took > 50*time.Second {
			t.Errorf("%s: took %v to give up", args[0], took)
		}
	}
	testdest.Must(t, unix.Flock(int(records.Fd()), unix.LOCK_UN))
	wantNames(t, dest, days...)
	listing, err := rsbtbackup.List(t.Context(), dest)
	testdest.Must(t, err)
	if listing.Backups[0].Pinned() || !listing.Backups[1].Pinned() {
		t.Error("a pin has changed")
	}
}

// A backup does not lose its transfer to one that keeps the records, not even where it was told not to wait for another
// run, and can be stopped meanwhile.
func TestABackupWaitsForTheRecords(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	madeUp(t, dest, "2020-01-01-00:00")
	testbin.Must(t, "pin", dest, "latest")
	for _, stop := range []bool{true, false} {
		backup, release := heldBackup(t, dest, "--force", "--lock-wait=1")
		records, err := os.Open(filepath.Dir(recordPath(dest, "x")))
		testdest.Must(t, err)
		defer records.Close()
		testdest.Must(t, unix.Flock(int(records.Fd()), unix.LOCK_EX))
		release()
		testdest.WaitFor(t, "the backup to wait for the records", func() bool { return waitsForRecords(t, backup.Process.Pid, dest) })
		before := testdest.Names(t, dest)
		if stop {
			testdest.Must(t, backup.Process.Signal(unix.SIGTERM))
			testdest.WaitFor(t, "the backup to end", func() bool { return !testdest.Exists(fmt.Sprintf("/proc/%d/fd/3", backup.Process.Pid)) })
		} else {
			time.Sleep(2 * time.Second) // longer than it was told
		}
		testdest.Must(t, unix.Flock(int(records.Fd()), unix.LOCK_UN))
		err = backup.Wait()
		if code := backup.ProcessState.ExitCode(); stop && code != 143 || !stop && err != nil {
			t.Errorf("stopped: %v, exit %d", stop, code)
		}
		if published := len(testdest.Names(t, dest)) > len(before); published == stop {
			t.Errorf("stopped: %v, published: %v", stop, published)
		}
	}
	if log := readFile(t, filepath.Join(dest, ".log", "activity.log")); strings.Count(log, "has locked the records") != 2 {
		t.Errorf("the log does not tell of the waiting:\n%s", log)
	}
}

// heldBackup starts a backup into dest whose rsync does nothing before release is called, and returns when that is
// under way.
func heldBackup(t testing.TB, dest string, args ...string) (backup *exec.Cmd, release func()) {
	t.Helper()
	dir := t.TempDir()
	testdest.Write(t, filepath.Join(dir, "src", "f"), "1")
	rsync, started, gate := filepath.Join(dir, "rsync"), filepath.Join(dir, "started"), filepath.Join(dir, "gate")
	script := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in *--version*) ;; *) : >%s; while [ ! -e %s ]; do sleep 0.05; done;; esac\nexec rsync \"$@\"\n", started, gate)
	testdest.Write(t, rsync, script)
	testdest.Must(t, os.Chmod(rsync, 0o755))
	backup = command(t, 0, append([]string{"backup", filepath.Join(dir, "src"), dest, "--rsync=" + rsync}, args...)...)
	testdest.Must(t, backup.Start())
	testdest.WaitFor(t, "rsync to start", func() bool { return testdest.Exists(started) })
	release = func() { testdest.Write(t, gate, "") }
	t.Cleanup(func() {
		release()
		_ = backup.Wait() // a test that failed has not
	})
	return backup, release
}

func TestPruneWhileABackupRuns(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	madeUp(t, dest, "2020-01-01-00:00", "2020-01-02-00:00")
	backup, release := heldBackup(t, dest)
	for _, args := range [][]string{{"prune", dest, "--keep-last=1"}, {"rotate", dest, "1d"}, {"delete", dest, "2020-01-01-00:00"}} {
		wantRefused(t, testbin.Run(t, args...), 11, "locked by another run (backup, pid")
	}
	wantNames(t, dest, "2020-01-01-00:00", "2020-01-02-00:00")
	testbin.Must(t, "prune", dest, "--keep-last=1", "-n")
	waiting := command(t, 0, "prune", dest, "--keep-last=1", "--lock-wait=10m")
	testdest.Must(t, waiting.Start())
	release()
	testdest.Must(t, backup.Wait())
	testdest.Must(t, waiting.Wait())
	if got := testdest.Names(t, dest); len(got) != 1 || got[0] < "2026" {
		t.Errorf("left: %q", got)
	}
}
