//go:build integration

package verify

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// check returns the result of one check, and whether all of it failed.
func (s *store) check(t testing.TB, name string, o rsbtbackup.CheckOptions) (rsbtbackup.CheckResult, error) {
	t.Helper()
	report, err := rsbtbackup.Check(t.Context(), s.dest, o)
	if err != nil && !errors.Is(err, rsbtbackup.ErrCheck) {
		t.Fatal(err)
	}
	for _, r := range report.Results {
		if r.Name == name {
			return r, err
		}
	}
	t.Fatalf("no check %s in %+v", name, report)
	return rsbtbackup.CheckResult{}, nil
}

// Each check made to fail, or to warn, and well again where that can be.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "file", 100_000)
	at := func(name string) string { return filepath.Join(s.dest, name) }
	want := func(name string, level rsbtbackup.CheckLevel, text string, o rsbtbackup.CheckOptions) {
		t.Helper()
		got, err := s.check(t, name, o)
		if got.Level != level || !strings.Contains(got.Text, text) || (level == rsbtbackup.CheckFail) != (err != nil) {
			t.Errorf("%s: %+v, error %v; want %s with %q", name, got, err, level, text)
		}
	}
	const ok, warn, fail = rsbtbackup.CheckOK, rsbtbackup.CheckWarn, rsbtbackup.CheckFail
	usual := rsbtbackup.CheckOptions{}

	want("backup", fail, "no complete backup", usual)
	first := s.backup(t)
	second := s.backup(t)
	if report, err := rsbtbackup.Check(t.Context(), s.dest, usual); err != nil || report.Level != ok || len(report.Results) != 10 {
		t.Fatalf("a healthy destination: %v, %+v", err, report)
	}
	want("backup", fail, "more than 26h", rsbtbackup.CheckOptions{Now: time.Now().Add(27 * time.Hour)})
	want("backup", ok, "27h", rsbtbackup.CheckOptions{Now: time.Now().Add(27*time.Hour + time.Second), MaxAge: 48 * time.Hour})
	want("backup", warn, "future", rsbtbackup.CheckOptions{Now: time.Now().Add(-5 * time.Hour)})

	testdest.Must(t, os.Remove(at("cur")))
	want("cur", fail, "missing", usual)
	testdest.Must(t, os.Symlink("elsewhere", at("cur")))
	want("cur", fail, `"elsewhere"`, usual)
	testdest.Must(t, os.Remove(at("cur")))
	testdest.Must(t, os.Symlink(first, at("cur")))
	want("cur", fail, second, usual)
	testdest.Must(t, os.Remove(at("cur")))
	testdest.Must(t, os.Symlink(second, at("cur")))
	want("cur", ok, second, usual)

	dir, err := btrfs.OpenDir(s.dest)
	testdest.Must(t, err)
	defer dir.Close()
	testdest.Must(t, btrfs.CreateSubvolume(dir, "pending"))
	want("pending", warn, "not finished", usual)
	want("pending", fail, "not finished", rsbtbackup.CheckOptions{Now: time.Now().Add(50 * time.Hour), MaxAge: 49 * time.Hour})
	testdest.Must(t, btrfs.DeleteSubvolume(dir, "pending"))
	want("pending", ok, "", usual)

	record := at(".log/records/" + first + ".json")
	good, err := os.ReadFile(record)
	testdest.Must(t, err)
	testdest.Must(t, os.WriteFile(record, []byte("{"), 0o600))
	want("records", fail, first, usual)
	other, err := os.ReadFile(at(".log/records/" + second + ".json"))
	testdest.Must(t, err)
	testdest.Must(t, os.WriteFile(record, other, 0o600))
	want("records", fail, first, usual)
	if b := s.snapshots(t)[0]; b.RecordError == "" || b.Status != rsbtbackup.Incomplete || !b.Pinned() {
		t.Errorf("with the record of another: %+v", b)
	}
	testdest.Must(t, os.WriteFile(record, good, 0o600))
	orphan := at(".log/records/2020-01-01-00:00.json")
	testdest.Must(t, os.WriteFile(orphan, good, 0o600))
	want("records", warn, "2020-01-01-00:00", usual)
	testdest.Must(t, os.Remove(orphan))
	testdest.Must(t, os.Remove(record))
	want("records", warn, "1 record missing: "+first, usual)
	testdest.Must(t, os.WriteFile(at(".log/records/"+second+".json.aside"), other, 0o600))
	testdest.Must(t, os.Remove(at(".log/records/"+second+".json")))
	want("records", warn, first, usual) // no backup with a record is left
	testbin.Must(t, "verify", "-q", s.dest)
	want("records", warn, first, usual) // what verify writes down is no record of a run
	testdest.Must(t, os.Rename(at(".log/records/"+second+".json.aside"), at(".log/records/"+second+".json")))
	testdest.Must(t, os.Rename(at(first), at("2020-01-01-09:00:00")))
	testdest.Must(t, os.Rename(at(".log/records/"+first+".json"), at(".log/records/aside")))
	want("records", ok, "1 without a record", usual) // as a predecessor's
	testdest.Must(t, os.Rename(at("2020-01-01-09:00:00"), at(first)))
	testdest.Must(t, os.WriteFile(record, good, 0o600))
	testdest.Tool(t, "btrfs", "property", "set", "-ts", at(first), "ro", "false")
	want("records", warn, "not read-only", usual)
	testdest.Tool(t, "btrfs", "property", "set", "-ts", at(first), "ro", "true")

	want("space", fail, "free", rsbtbackup.CheckOptions{MinFree: rsbtbackup.MinFree{Percent: 99}})
	want("space", warn, "free", rsbtbackup.CheckOptions{MinFree: rsbtbackup.MinFree{Percent: 60}})
	want("space", fail, "free", rsbtbackup.CheckOptions{MinFree: rsbtbackup.MinFree{Bytes: 1 << 40}})
	want("metadata", fail, "available", rsbtbackup.CheckOptions{MinMetadata: 1 << 40})
	want("metadata", warn, "available", rsbtbackup.CheckOptions{MinMetadata: 400 << 20})

	testdest.Must(t, os.Rename(at(".log/activity.log"), at(".log/aside")))
	want("log", ok, "nothing", usual)
	testdest.Must(t, os.Mkdir(at(".log/activity.log"), 0o700))
	want("log", fail, "not a regular file", usual)
	testdest.Must(t, os.Remove(at(".log/activity.log")))
	testdest.Must(t, os.WriteFile(at(".log/activity.log"), make([]byte, 3_000_000), 0o600))
	want("log", warn, "not rotated", usual)
	testdest.Must(t, os.Rename(at(".log/aside"), at(".log/activity.log")))
	testdest.Must(t, os.Chmod(at(".log"), 0o755))
	want("log", warn, "0755", usual)
	testdest.Must(t, os.Chmod(at(".log"), 0o700))

	want("verified", ok, "no backup has been", usual)
	s.verify(t, rsbtbackup.VerifyOptions{})
	want("verified", ok, second+" was clean", usual)
	if report, err := rsbtbackup.Check(t.Context(), s.dest, usual); err != nil || report.Level != ok {
		t.Fatalf("well again: %v, %+v", err, report)
	}
	s.corrupt(t, first, "file", 8192)
	s.verify(t, rsbtbackup.VerifyOptions{})
	want("verified", fail, "2 backups damaged", usual)
	want("devices", fail, "corruption errors", usual)

	s.image.SetOptions(t, "ro")
	if got, _ := s.check(t, "mount", usual); got.Level != warn || !strings.Contains(got.Text, "mounted read-only") {
		t.Errorf("%+v", got)
	}
}

// check works while a backup runs, reports it, and blocks no other run.
func TestCheckBesideARunningBackup(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.write(t, "file", 3<<20)
	s.backup(t)
	s.change(t, "file", 0, 3<<20)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	go func() {
		_, err := rsbtbackup.Backup(ctx, rsbtbackup.BackupOptions{Source: s.src, Dest: s.dest, Bwlimit: "1500"})
		done <- err
	}()
	running := false
	for {
		select {
		case err := <-done:
			testdest.Must(t, err)
			if !running {
				t.Error("the running backup was never seen")
			}
			return
		default:
		}
		report, err := rsbtbackup.Check(t.Context(), s.dest, rsbtbackup.CheckOptions{})
		if err != nil {
			t.Errorf("%v: %+v", err, report)
		}
		for _, r := range report.Results {
			running = running || r.Name == "pending" && r.Level == rsbtbackup.CheckOK && strings.Contains(r.Text, "is running")
		}
	}
}

func TestCheckCommand(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	r := testbin.Run(t, "check", s.dest)
	if r.Exit != 1 || !strings.HasPrefix(r.Stdout, "FAIL "+s.dest+": backup: there is no complete backup\nFAIL  backup ") {
		t.Errorf("exit %d: %s", r.Exit, r.Stdout)
	}
	s.write(t, "file", 10)
	s.backup(t)
	s.image.SetOptions(t, "ro")
	r = testbin.Must(t, "check", s.dest)
	if !strings.HasPrefix(r.Stdout, "WARN "+s.dest+": mount: mounted read-only") {
		t.Error(r.Stdout)
	}
	r = testbin.Must(t, "check", s.dest, "--json")
	if !strings.HasPrefix(r.Stdout, `{"type":"check","dest":"`+s.dest+`","level":"warn","results":[{"name":"backup","level":"ok",`) || strings.Count(r.Stdout, "\n") != 1 {
		t.Error(r.Stdout)
	}
	s.image.SetOptions(t, "rw")
	if r := testbin.Run(t, "check", s.image.Mount); r.Exit != 10 || !strings.HasPrefix(r.Stdout, "FAIL ") {
		t.Errorf("exit %d: %s", r.Exit, r.Stdout)
	}
}
