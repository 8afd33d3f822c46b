//go:build integration

package jobs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// sh is a hook: a script of sh.
func sh(script string) []config.Command { return []config.Command{{"/bin/sh", "-c", script}} }

// notes makes each hook of a job write its environment into a file, in the order they run.
func (n *night) notes(j config.Job) (config.Job, func() string) {
	file := filepath.Join(n.src, j.Name+".notes")
	note := sh(`echo "$RSBTBACKUP_HOOK|$RSBTBACKUP_JOB|$RSBTBACKUP_STATUS|${RSBTBACKUP_BACKUP%%:*}|$RSBTBACKUP_ERROR|$(grep -c . <"$RSBTBACKUP_LOG")" >>` + file)
	j.Hooks = config.Hooks{Before: note, After: note, Failure: note, Finally: note}
	return j, func() string {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			n.t.Fatal(err)
		}
		return string(text)
	}
}

func verdictOf(t *testing.T, r Result, s Step, status Status, text string) {
	t.Helper()
	v, ok := r.Find(s)
	if !ok || v.Status != status || !strings.Contains(v.Error+v.Reason, text) {
		t.Errorf("%s: want %s %s with %q: %+v", r.Job.Name, s, status, text, r.Verdicts)
	}
}

// Which hooks run, in which order, and what they get.
func TestHooksAroundABackup(t *testing.T) {
	n := newNight(t)
	good, goodNotes := n.notes(n.job("good"))
	bad, badNotes := n.notes(n.job("bad"))
	bad.Backup.Source = "/nowhere"
	for _, r := range n.run(t.Context(), Options{}, good, bad) {
		if r.Log == "" || r.State.Job != r.Job.Name {
			t.Errorf("%s: log %q, state %+v", r.Job.Name, r.Log, r.State)
		}
	}
	// The log has the line of the hook that runs, and one for each verdict so far.
	name := fmt.Sprintf("%s/%s", good.Backup.Dest, time.Now().Format("2006-01-02-15"))
	if want := "before|good||||0\nafter|good|ok|" + name + "||4\nfinally|good|ok|" + name + "||6\n"; lessLog(goodNotes()) != lessLog(want) {
		t.Errorf("good: %s", goodNotes())
	}
	lines := strings.Split(badNotes(), "\n")
	if len(lines) != 4 || lines[0] != "before|bad||||0" || !strings.HasPrefix(lines[1], "failure|bad|failed||backup: ") || !strings.Contains(lines[1], "/nowhere") || !strings.HasPrefix(lines[2], "finally|bad|failed||backup: ") {
		t.Errorf("bad: %s", badNotes())
	}
	fresh, freshNotes := n.notes(good)
	fresh.Hooks.Before = sh("exit 1")
	before := freshNotes()
	r := n.run(t.Context(), Options{IfOlderThan: time.Hour}, fresh)[0]
	if r.Status() != Fresh || freshNotes() != before {
		t.Errorf("a fresh job runs hooks: %+v, %s", r.Verdicts, freshNotes())
	}
	if r = n.run(t.Context(), Options{DryRun: true}, fresh)[0]; r.Status() != OK || freshNotes() != before {
		t.Errorf("a dry run runs hooks: %+v", r.Verdicts)
	}
}

// lessLog takes the number of lines in the log off, which is how much rsync and we say.
func lessLog(notes string) string {
	var lines []string
	for line := range strings.Lines(notes) {
		lines = append(lines, line[:strings.LastIndex(line, "|")])
	}
	return strings.Join(lines, "\n")
}

// A hook that fails, hangs or floods: what it stops, and what it does not.
func TestHooksThatFail(t *testing.T) {
	n := newNight(t)
	job := func(name string, h config.Hooks) config.Job {
		j := n.job(name)
		h.Finally = append(h.Finally, sh("touch "+n.src+"/"+name+".finally")...)
		j.Hooks = h
		return j
	}
	flood := "yes flood | head -c 3000000; exit 5"
	results := n.run(t.Context(), Options{},
		job("before", config.Hooks{Before: sh("echo no database; exit 3")}),
		job("hangs", config.Hooks{Before: sh("sleep 100; true"), Timeout: 200 * time.Millisecond}),
		job("floods", config.Hooks{Before: sh(flood)}),
		job("missing", config.Hooks{Before: []config.Command{{"/nowhere/hook"}}}),
		job("second", config.Hooks{Before: append(sh("exit 0"), append(sh("exit 9"), sh("touch "+n.src+"/third")...)...)}),
		job("warns", config.Hooks{Before: sh("exit 3"), OnFailure: "warn"}),
		job("after", config.Hooks{After: sh("exit 4")}),
		job("finally", config.Hooks{Finally: sh("exit 6")}),
	)
	for i, want := range []struct {
		step    Step
		status  Status
		text    string
		backups int
	}{
		{BeforeHook, Failed, "/bin/sh: exit status 3: no database", 0},
		{BeforeHook, Failed, "/bin/sh: it took longer than 200ms", 0},
		{BeforeHook, Failed, "/bin/sh: exit status 5: flood", 0},
		{BeforeHook, Failed, "/nowhere/hook: cannot be started: no such file or directory", 0},
		{BeforeHook, Failed, "/bin/sh: exit status 9", 0},
		{BeforeHook, OK, "failed, which is a warning only: /bin/sh: exit status 3", 1},
		{AfterHook, Failed, "/bin/sh: exit status 4", 1},
		{FinallyHook, Failed, "/bin/sh: exit status 6", 1},
	} {
		r := results[i]
		verdictOf(t, r, want.step, want.status, want.text)
		v, _ := r.Find(want.step)
		if (v.Status == Failed) != errors.Is(v.Err, ErrHook) {
			t.Errorf("%s: %v is of the wrong kind", r.Job.Name, v.Err)
		}
		if got := n.backups(r.Job); got != want.backups {
			t.Errorf("%s: %d backups", r.Job.Name, got)
		}
		if _, err := os.Stat(n.src + "/" + r.Job.Name + ".finally"); (err != nil) != (r.Job.Name == "finally") {
			t.Errorf("%s: finally: %v", r.Job.Name, err)
		}
		if s := r.State.Steps[want.step]; s.failing() != (want.status == Failed) {
			t.Errorf("%s: state %+v", r.Job.Name, s)
		}
		if len(r.Log) > tailLimit {
			t.Errorf("%s: %d bytes of log", r.Job.Name, len(r.Log))
		}
	}
	if _, err := os.Stat(n.src + "/third"); err == nil {
		t.Error("a hook ran after one that failed")
	}
	// A hook that is taken away is no failure any more.
	mended := results[0].Job
	mended.Hooks = config.Hooks{}
	if r := n.run(t.Context(), Options{}, mended)[0]; r.State.Failing() {
		t.Errorf("still failing: %+v", r.State)
	}
}

// A hook that mounts DEST runs before DEST is looked at; a job whose disk stays away is skipped after it.
func TestAHookMayMountTheDisk(t *testing.T) {
	n := newNight(t)
	there, away := n.job("there"), n.job("away")
	hidden := there.Backup.Dest + ".hidden"
	if err := os.Rename(there.Backup.Dest, hidden); err != nil {
		t.Fatal(err)
	}
	there.Removable, there.Hooks.Before = true, sh("mv "+hidden+" "+there.Backup.Dest)
	away.Removable, away.Backup.Dest = true, "/nowhere"
	away.Hooks = config.Hooks{Before: sh("true"), After: sh("exit 1"), Failure: sh("exit 1"), Finally: sh("touch " + n.src + "/unmounted")}
	results := n.run(t.Context(), Options{}, there, away)
	want(t, results[0], OK, "")
	want(t, results[1], Skipped, "its removable disk is absent")
	if _, err := os.Stat(n.src + "/unmounted"); err != nil {
		t.Error(err)
	}
}

// Each try has its hooks before and at the end; those for success and failure come once.
func TestHooksOfEachTry(t *testing.T) {
	n := newNight(t)
	j := n.remote(n.job("down"), "web", "[ -e "+n.src+"/up ] || { echo refused >&2; exit 255; }")
	j, notes := n.notes(j)
	j.Hooks.Finally = append(j.Hooks.Finally, sh("touch "+n.src+"/up")...)
	j.RetryFor, j.RetryDelay = time.Minute, 10*time.Millisecond
	want(t, n.run(t.Context(), Options{}, j)[0], OK, "")
	var got []string
	for line := range strings.Lines(notes()) {
		fields := strings.Split(line, "|")
		got = append(got, fields[0]+" "+fields[2])
	}
	if text := strings.Join(got, ", "); text != "before , finally retry, before , after ok, finally ok" {
		t.Error(text)
	}
}

// A signal ends the hook that runs; the one at the end still gets its time.
func TestStoppedInAHook(t *testing.T) {
	n := newNight(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("got SIGTERM")
	j := n.job("slow")
	j.Hooks = config.Hooks{
		Before: sh("touch " + n.src + "/began; sleep 100; true"), Failure: sh("touch " + n.src + "/failed"),
		Finally: sh("sleep 0.1; echo $RSBTBACKUP_STATUS >" + n.src + "/finally"),
	}
	go func() {
		for {
			if _, err := os.Stat(n.src + "/began"); err == nil {
				cancel(reason)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	r := n.run(ctx, Options{}, j)[0]
	verdictOf(t, r, BeforeHook, Stopped, "got SIGTERM")
	if text, err := os.ReadFile(n.src + "/finally"); err != nil || string(text) != "stopped\n" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := os.Stat(n.src + "/failed"); err == nil || n.backups(j) != 0 {
		t.Error("a job that was stopped has failed, or goes on")
	}
}

// frozen makes the source of a job a subvolume, of which a snapshot is backed up.
func (n *night) frozen(j config.Job) config.Job {
	n.t.Helper()
	disk, err := os.Open(n.disk)
	if err != nil {
		n.t.Fatal(err)
	}
	defer disk.Close()
	j.Backup.Source, j.Backup.SnapshotSource = filepath.Join(n.disk, j.Name+".src"), true
	if err := btrfs.CreateSubvolume(disk, j.Name+".src"); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(j.Backup.Source+"/f", []byte("before\n"), 0o644); err != nil {
		n.t.Fatal(err)
	}
	return j
}

// The hooks around the instant of a snapshot: what the first writes is in the backup, what the second writes is not.
// The second runs also if the first has failed, or the run is stopped in it, so that what was stopped goes on.
func TestHooksAroundASnapshot(t *testing.T) {
	n := newNight(t)
	good, bad, late, warns, dry := n.frozen(n.job("good")), n.frozen(n.job("bad")), n.frozen(n.job("late")), n.frozen(n.job("warns")), n.frozen(n.job("dry"))
	write := func(j config.Job, text string) []config.Command {
		return sh("echo $RSBTBACKUP_HOOK " + text + " >>" + j.Backup.Source + "/f")
	}
	good.Hooks = config.Hooks{BeforeSnapshot: write(good, ""), AfterSnapshot: write(good, "")}
	bad.Hooks = config.Hooks{BeforeSnapshot: sh("echo locked; exit 3"), AfterSnapshot: write(bad, "")}
	late.Hooks = config.Hooks{AfterSnapshot: sh("exit 4")}
	warns.Hooks = config.Hooks{BeforeSnapshot: sh("exit 3"), AfterSnapshot: sh("exit 3"), OnFailure: "warn"}
	results := n.run(t.Context(), Options{}, good, bad, late, warns)
	want(t, results[0], OK, "")
	want(t, results[1], Failed, "hooks.before-snapshot: /bin/sh: exit status 3: locked")
	want(t, results[2], Failed, "hooks.after-snapshot: /bin/sh: exit status 4")
	want(t, results[3], OK, "")
	for i, backups := range []int{1, 0, 0, 1} {
		r := results[i]
		v, _ := r.Find(Backup)
		if n.backups(r.Job) != backups || (v.Status == Failed) != errors.Is(v.Err, ErrHook) {
			t.Errorf("%s: %d backups, %v", r.Job.Name, n.backups(r.Job), v.Err)
		}
	}
	for file, want := range map[string]string{
		good.Backup.Dest + "/cur/f": "before\nbefore-snapshot\n",
		good.Backup.Source + "/f":   "before\nbefore-snapshot\nafter-snapshot\n",
		bad.Backup.Source + "/f":    "before\nafter-snapshot\n",
	} {
		if text, err := os.ReadFile(file); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", file, text, err)
		}
	}
	dry.Hooks = config.Hooks{BeforeSnapshot: sh("exit 1"), AfterSnapshot: sh("exit 1")}
	want(t, n.run(t.Context(), Options{DryRun: true}, dry)[0], OK, "")
}
