//go:build integration

package prune

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

func TestRulesOnDisk(t *testing.T) {
	t.Parallel()
	days := []string{"2026-01-05-09:00", "2026-01-05-21:00", "2026-01-06-09:00", "2026-01-07-09:00", "2026-01-14-09:00", "2026-02-01-09:00"}
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"last", []string{"--keep-last=2"}, days[4:]},
		{"daily", []string{"--keep-daily", "4"}, days[2:]},
		{"while fewer were found the oldest stays", []string{"--keep-weekly", "4"}, []string{days[0], days[3], days[4], days[5]}},
		{"monthly", []string{"--keep-monthly=unlimited"}, []string{days[0], days[4], days[5]}},
		{"unlimited as a number", []string{"--keep-last", "-1"}, days},
		{"within", []string{"--keep-within=18d12h"}, days[4:]},
		{"within by day", []string{"--keep-within-daily=27d"}, days[1:]},
		{"two rules", []string{"--keep-last=1", "--keep-yearly=1"}, days[5:]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dest := testdest.New(t, "256M")
			madeUp(t, dest, days...)
			keep := plan(t, append([]string{"prune", dest}, tt.args...)...)
			wantNames(t, dest, days...)
			r := testbin.Must(t, append([]string{"prune", dest}, tt.args...)...)
			wantNames(t, dest, tt.want...)
			wantCur(t, dest, days[len(days)-1])
			for _, name := range days {
				if kept := testdest.Exists(filepath.Join(dest, name)); kept != keep[name].Keep {
					t.Errorf("%s: planned to keep: %v, kept: %v", name, keep[name].Keep, kept)
				}
				if said := strings.Contains(r.Stdout, "deleted "+name+": "); said == keep[name].Keep {
					t.Errorf("%s: said to be deleted: %v", name, said)
				}
			}
			if again := testbin.Must(t, append([]string{"prune", dest}, tt.args...)...); !strings.HasPrefix(again.Stdout, "0 backups deleted, ") {
				t.Errorf("pruning again: %s", again.Stdout)
			}
		})
	}
}

// A name is in the time zone of the run that made it: that of cron, or of another machine. What has just been made is
// not 13 hours old elsewhere.
func TestAgesDoNotDependOnTheTimeZone(t *testing.T) {
	t.Parallel()
	dest, src := testdest.New(t, "256M"), t.TempDir()
	now := time.Now()
	for range 2 {
		_, err := rsbtbackup.Backup(t.Context(), rsbtbackup.BackupOptions{Source: src, Dest: dest, Now: now.UTC()})
		testdest.Must(t, err)
	}
	for _, hours := range []int{13, -11} {
		there := time.FixedZone("there", hours*3600)
		report, err := rsbtbackup.Prune(t.Context(), dest, rsbtbackup.PruneOptions{Policy: retention.Policy{Age: retention.Span{Hours: 3}}, Now: now.Add(time.Hour).In(there)})
		testdest.Must(t, err)
		for _, d := range report.Decisions {
			if !d.Keep || !d.Time.Equal(now.Truncate(time.Second)) {
				t.Errorf("%d hours away %s is of %v and goes", hours, d.Name, d.Time)
			}
		}
		if len(report.Decisions) != 2 {
			t.Errorf("%d backups left", len(report.Decisions))
		}
	}
}

func TestRotateNeverDeletesTheNewestCompleteBackup(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	madeUp(t, dest, "2020-01-01-00:00", "2020-01-02-00:00", "2020-01-03-00:00")
	record(t, dest, "2020-01-03-00:00", rsbtbackup.Incomplete)
	testdest.WantExit(t, testbin.Run(t, "rotate", dest, "30d"), 13) // years have gone by
	wantNames(t, dest, "2020-01-01-00:00", "2020-01-02-00:00", "2020-01-03-00:00")
	testbin.Must(t, "rotate", dest, "30d", "--force")
	wantNames(t, dest, "2020-01-02-00:00", "2020-01-03-00:00")
	wantCur(t, dest, "2020-01-02-00:00")
	young := time.Now().Add(-24 * time.Hour).Format("2006-01-02-15:04")
	madeUp(t, dest, young)
	testbin.Must(t, "rotate", dest, "30d", "--force")
	wantNames(t, dest, young)
	wantCur(t, dest, young)
}

func TestAnIncompleteBackupStandsInForNoCompleteOne(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	madeUp(t, dest, "2026-01-01-00:00", "2026-01-02-00:00", "2026-01-03-00:00", "2026-01-04-00:00")
	record(t, dest, "2026-01-02-00:00", rsbtbackup.Incomplete)
	record(t, dest, "2026-01-04-00:00", rsbtbackup.Incomplete)
	testbin.Must(t, "prune", dest, "--keep-last=1")
	wantNames(t, dest, "2026-01-03-00:00", "2026-01-04-00:00")
	wantCur(t, dest, "2026-01-03-00:00")
	wantTidy(t, dest)
}

func TestBackupThenPrune(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	src := t.TempDir()
	testdest.Write(t, filepath.Join(src, "f"), "1")
	madeUp(t, dest, "2020-01-01-00:00", "2020-01-02-00:00")
	r := testbin.Must(t, "backup", src, dest, "--prune", "--keep-last=2")
	if !strings.Contains(r.Stdout, "deleted 2020-01-01-00:00: ") || !strings.Contains(r.Stdout, "1 backup deleted, 2 kept") {
		t.Errorf("no word of it:\n%s", r.Stdout)
	}
	if got := testdest.Names(t, dest); len(got) != 2 || got[0] != "2020-01-02-00:00" {
		t.Errorf("left: %q", got)
	}
	// Nothing is published, so nothing is deleted.
	testdest.WantExit(t, testbin.Run(t, "backup", src+"/missing", dest, "--prune", "--keep-last=1"), 12)
	r = testbin.Must(t, "backup", src, dest, "--prune", "--keep-last=1", "-n")
	if !strings.Contains(r.Stdout, "dry run: 2 of 2 backups would be deleted") || !strings.Contains(r.Stdout, " delete  matched no rule") {
		t.Errorf("the dry run does not show what prune would delete:\n%s", r.Stdout)
	}
	if got := testdest.Names(t, dest); len(got) != 2 {
		t.Errorf("left: %q", got)
	}
	wantTidy(t, dest)
}

func TestInvalidOptionsDeleteNothing(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	days := []string{"2026-01-01-00:00", "2026-01-02-00:00", "2026-01-02-12:00"}
	madeUp(t, dest, days...)
	testdest.Must(t, os.Mkdir(filepath.Join(dest, "2026-01-03-00:00"), 0o755))
	testdest.Write(t, filepath.Join(dest, "2026-01-03-00:00", "f"), "plain")
	testdest.Write(t, filepath.Join(dest, "foreign", "f"), "foreign")
	testdest.Write(t, filepath.Join(dest, ".deleting-2026-01-01-00:00"), "a file of somebody")
	testbin.Must(t, "pin", dest, days[0], "--note=yearly accounts")
	testbin.Must(t, "prune", dest, "--keep-last=9")
	for _, tt := range []struct {
		exit int
		text string
		args []string
	}{
		{2, "no rule says which backups to keep", []string{"prune", dest}},
		{2, "keep-min", []string{"prune", dest, "--keep-last=1", "--keep-min=2"}},
		{2, `"0"`, []string{"prune", dest, "--keep-last=0"}},
		{2, `"-2"`, []string{"prune", dest, "--keep-daily", "-2"}},
		{2, "9223372036854775808", []string{"prune", dest, "--keep-daily=9223372036854775808"}},
		{2, "is no time span", []string{"prune", dest, "--keep-within=30"}},
		{2, "is no time span", []string{"prune", dest, "--keep-within=99999999999999999999d"}},
		{2, "is no time span", []string{"rotate", dest, "0d"}},
		{2, "unknown flag", []string{"rotate", dest, "-1d"}},
		{2, "min-free", []string{"prune", dest, "--min-free=200%"}},
		{2, "min-free", []string{"prune", dest, "--min-free=0"}},
		{2, "min-free", []string{"prune", dest, "--min-free=-1G"}},
		{2, "more than the filesystem has", []string{"prune", dest, "--min-free=1T"}},
		{2, "no backup is called", []string{"delete", dest, days[1], "2025"}},
		{2, "could be any of 2", []string{"delete", dest, "2026-01-02"}},
		{2, "no backup is called", []string{"delete", dest, ""}},
		{2, "latest~9", []string{"rm", dest, "latest~9"}},
		{2, "is not a backup", []string{"delete", dest, "foreign"}},
		{2, "is not a backup", []string{"delete", dest, "2026-01-03-00:00"}},
		{2, "is not a backup", []string{"pin", dest, "2026-01-03-00:00"}},
		{2, "no backup is called", []string{"unpin", dest, "../dest"}},
		{13, "is pinned: yearly accounts", []string{"delete", dest, days[1], days[0]}},
		{13, "newest complete", []string{"delete", dest, "latest"}},
		{10, "not initialised", []string{"prune", filepath.Dir(dest), "--keep-last=1"}},
		{10, "no such file", []string{"prune", dest + "/missing", "--keep-last=1"}},
	} {
		wantRefused(t, testbin.Run(t, tt.args...), tt.exit, tt.text)
	}
	wantNames(t, dest, days...)
	testbin.Must(t, "prune", dest, "--keep-last=1")
	wantNames(t, dest, days[0], days[2])
	for _, name := range []string{"2026-01-03-00:00/f", "foreign/f", ".deleting-2026-01-01-00:00"} {
		if !testdest.Exists(filepath.Join(dest, name)) {
			t.Errorf("%s is gone", name)
		}
	}
}

// A subvolume that only looks as if its deletion had been interrupted is somebody's.
func TestAHandMadeDeletionIsNotFinished(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	days := []string{"2026-01-01-00:00", "2026-01-02-00:00"}
	madeUp(t, dest, days...)
	var theirs []string
	for _, name := range []string{".deleting-2026-01-01-00:00", ".deleting-2025-01-01-00:00", ".deleting-2026-01-01-00:00.11111111-2222-3333-4444-555555555555", ".deleting-mine"} {
		theirs = append(theirs, filepath.Join(dest, name))
		testdest.Snapshot(t, filepath.Join(dest, days[0]), filepath.Join(dest, name), false)
	}
	testbin.Must(t, "prune", dest, "--keep-last=9")
	testbin.Must(t, "prune", dest, "--keep-last=1")
	wantNames(t, dest, days[1])
	for _, path := range theirs {
		if !testdest.Exists(filepath.Join(path, "last")) {
			t.Errorf("%s is gone", path)
		}
	}
}

// Deleting latest again and again: without force that ends at once, for any backups.
func TestTheNewestBackupNeedsForce(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	days := []string{"2026-01-01-00:00", "2026-01-02-00:00", "2026-01-03-00:00"}
	madeUp(t, dest, days...)
	record(t, dest, days[2], rsbtbackup.Incomplete)
	testbin.Must(t, "prune", dest, "--keep-last=9")
	wantRefused(t, testbin.Run(t, "delete", dest, "latest"), 13, days[2]+" is the newest backup")
	wantRefused(t, testbin.Run(t, "delete", dest, "latest~1"), 13, days[1]+" is the newest complete backup")
	record(t, dest, days[0], rsbtbackup.Incomplete)
	record(t, dest, days[1], rsbtbackup.Incomplete)
	wantRefused(t, testbin.Run(t, "delete", dest, "latest", "-q"), 13, days[2]+" is the newest backup")
	wantNames(t, dest, days...)
	testbin.Must(t, "delete", dest, "latest~1")
	testbin.Must(t, "delete", dest, "latest", "--force")
	wantNames(t, dest, days[0])
}

func TestDeleteDryRun(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "512M")
	made := fat(t, dest, 4, 20*megabyte)
	testbin.Must(t, "prune", dest, "--keep-last=9")
	log := readFile(t, filepath.Join(dest, ".log", "activity.log"))
	r := testbin.Must(t, "delete", dest, made[1], made[2], "-n")
	if want := "would delete " + made[1] + "\nwould delete " + made[2] + "\ndry run: that would free about 4"; !strings.HasPrefix(r.Stdout, want) {
		t.Errorf("it says:\n%s", r.Stdout)
	}
	wantRefused(t, testbin.Run(t, "delete", dest, "latest", "-n"), 13, "newest complete")
	wantRefused(t, testbin.Run(t, "delete", dest, "2025", "-n"), 2, "no backup is called")
	r = testbin.Must(t, "delete", dest, "latest", "-n", "--force", "--json")
	for _, want := range []string{`"dry_run":true`, `"deleted":["` + made[3] + `"]`, `"frees":`} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("no %s in %s", want, r.Stdout)
		}
	}
	wantNames(t, dest, made...)
	wantCur(t, dest, made[3])
	if after := readFile(t, filepath.Join(dest, ".log", "activity.log")); after != log {
		t.Errorf("the log has grown:\n%s", strings.TrimPrefix(after, log))
	}
	before := free(t, dest)
	r = testbin.Must(t, "delete", dest, made[1], made[2], "--wait", "--json")
	if got := free(t, dest); got < before+39*megabyte {
		t.Errorf("%d bytes came back, want 40 MiB", got-before)
	}
	if !strings.Contains(r.Stdout, `"dry_run":false`) || strings.Contains(r.Stdout, `"frees"`) {
		t.Errorf("it says %s", r.Stdout)
	}
	wantNames(t, dest, made[0], made[3])
}

func TestDeleteForceMovesCur(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	madeUp(t, dest, "2026-01-01-00:00", "2026-01-02-00:00", "2026-01-03-00:00")
	testbin.Must(t, "prune", dest, "--keep-last=9")
	record(t, dest, "2026-01-02-00:00", rsbtbackup.Incomplete)
	wantCur(t, dest, "2026-01-03-00:00")
	testbin.Must(t, "delete", dest, "latest", "--force")
	wantCur(t, dest, "2026-01-01-00:00")
	wantNames(t, dest, "2026-01-01-00:00", "2026-01-02-00:00")
	testbin.Must(t, "delete", "--force", dest, "2026-01-01-00:00", "2026-01-02-00:00")
	if testdest.Exists(filepath.Join(dest, "cur")) {
		t.Error("cur is left")
	}
	wantNames(t, dest)
	wantTidy(t, dest)
	src := t.TempDir()
	testdest.Write(t, filepath.Join(src, "f"), "1")
	testbin.Must(t, "backup", src, dest)
}
