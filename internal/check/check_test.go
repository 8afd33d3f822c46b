package check

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

func TestMetadataRoom(t *testing.T) {
	spaces := []btrfs.Space{
		{Kind: "data", Profile: "single", Total: 1000, Used: 10},
		{Kind: "metadata", Profile: "dup", Total: 100, Used: 30},
		{Kind: "system", Profile: "dup", Total: 8, Used: 1},
		{Kind: "reserve", Profile: "single", Total: 20},
	}
	devices := []btrfs.Device{{Total: 2000, Used: 1216}}
	used, room := metadataRoom(spaces, devices)
	if used != 30 || room != 100-30-20+784/2 {
		t.Errorf("used %d, room %d", used, room)
	}
	if _, room := metadataRoom([]btrfs.Space{{Kind: "metadata", Total: 10, Used: 9}, {Kind: "reserve", Total: 5}}, nil); room != 0 {
		t.Errorf("room %d within the reserve, want 0", room)
	}
}

// What is hard to bring about on a real disk.
var uuidOfB = btrfs.UUID{3}

func TestChecks(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	b := facts.Snapshot{Name: "2026-11-23-08:00", ID: 300, Time: now.Add(-time.Hour), ReadOnly: true, Status: facts.Complete, Current: true}
	incomplete := facts.Snapshot{Name: "2026-11-23-08:30", ID: 301, ReadOnly: true, Status: facts.Incomplete}
	for name, tt := range map[string]struct {
		check func(*checkInput, *Report)
		in    checkInput
		want  facts.CheckResult
	}{
		"forced read-only": {
			checkMount, checkInput{mount: mounts.Mount{SuperReadOnly: true}},
			facts.CheckResult{Name: "mount", Level: facts.CheckFail, Text: "the filesystem went read-only after an error; see dmesg"},
		},
		"bind mount": {
			checkMount, checkInput{mount: mounts.Mount{ReadOnly: true}},
			facts.CheckResult{Name: "mount", Level: facts.CheckWarn, Text: "mounted read-only: no backup can be made"},
		},
		"missing device": {
			checkDevices, checkInput{dest: "/b", devices: []btrfs.Device{{ID: 2}, {ID: 1, Path: "/dev/sda", WriteErrors: 3, GenerationErrors: 1}}},
			facts.CheckResult{Name: "devices", Level: facts.CheckFail, Text: "device 2 is missing; /dev/sda: 3 write errors, 1 generation errors (to reset them, once the cause is known, with btrfs-progs: btrfs device stats --reset /b)"},
		},
		"counters unknown": {
			checkDevices, checkInput{devicesErr: errors.New("no such device")},
			facts.CheckResult{Name: "devices", Level: facts.CheckFail, Text: "their error counters can not be read: no such device"},
		},
		"newest incomplete": {
			checkBackup, checkInput{now: now, maxAge: defaultMaxAge, state: &store.State{Backups: []facts.Snapshot{b, incomplete}}},
			facts.CheckResult{Name: "backup", Level: facts.CheckWarn, Text: "2026-11-23-08:00 is 1h old; the newest, 2026-11-23-08:30, is incomplete"},
		},
		"the end counts, not the name": {
			checkBackup, checkInput{now: now, maxAge: time.Minute, state: &store.State{Backups: []facts.Snapshot{{
				Name: b.Name, Time: b.Time, Status: facts.Complete, Record: &facts.Record{Ended: now.Add(-time.Second)},
			}}}},
			facts.CheckResult{Name: "backup", Level: facts.CheckOK, Text: "2026-11-23-08:00 is 1s old"},
		},
		"cur within a run": {
			checkCur, checkInput{running: &store.Holder{PID: 1}, state: &store.State{Cur: store.Symlink, CurLink: "old", Backups: []facts.Snapshot{{Name: b.Name, Status: facts.Complete}}}},
			facts.CheckResult{Name: "cur", Level: facts.CheckWarn, Text: `it names "old"; it should name 2026-11-23-08:00`},
		},
		"cur names what is hidden": {
			checkCur, checkInput{state: &store.State{Cur: store.Symlink, CurLink: "2026-11-23-08:30", Hidden: []string{"2026-11-23-08:30"}, Backups: []facts.Snapshot{{Name: b.Name, Status: facts.Complete}}}},
			facts.CheckResult{Name: "cur", Level: facts.CheckWarn, Text: "it names 2026-11-23-08:30, on which something is mounted"},
		},
		"a backup is hidden": {
			checkMount, checkInput{state: &store.State{Hidden: []string{"2026-11-23-08:30"}}},
			facts.CheckResult{Name: "mount", Level: facts.CheckWarn, Text: "something is mounted on 2026-11-23-08:30, and hides what is there: no backup is read or deleted there meanwhile"},
		},
		"cur is a directory": {
			checkCur, checkInput{state: &store.State{Cur: store.Directory, Backups: []facts.Snapshot{{Name: b.Name, Status: facts.Complete}}}},
			facts.CheckResult{Name: "cur", Level: facts.CheckFail, Text: "it is a directory, not a symlink"},
		},
		"a run that lasts": {
			checkPending, checkInput{now: now, maxAge: defaultMaxAge, running: &store.Holder{PID: 7, Verb: "backup", Since: now.Add(-30 * time.Hour)}, state: &store.State{}},
			facts.CheckResult{Name: "pending", Level: facts.CheckWarn, Text: "backup (pid 7) has been running for 30h"},
		},
		"pending outlived a power cut": {
			checkPending, checkInput{now: now, maxAge: defaultMaxAge, state: &store.State{
				Backups: []facts.Snapshot{{Name: b.Name, ParentUUID: uuidOfB}}, Pending: store.PendingState{Kind: store.Subvolume, UUID: uuidOfB},
			}},
			facts.CheckResult{Name: "pending", Level: facts.CheckOK, Text: "2026-11-23-08:00 was published from it; the next run removes it"},
		},
		"damage": {
			checkVerified, checkInput{state: &store.State{Backups: []facts.Snapshot{damagedBackup("a"), damagedBackup("b")}}, accepted: []string{"a"}},
			facts.CheckResult{Name: "verified", Level: facts.CheckFail, Text: "1 backup damaged when last read: b"},
		},
		"damage that is accepted": {
			checkVerified, checkInput{state: &store.State{Backups: []facts.Snapshot{damagedBackup("a"), damagedBackup("b")}}, accepted: []string{"b", "a", "gone"}},
			facts.CheckResult{Name: "verified", Level: facts.CheckOK, Text: "damage accepted in a, b"},
		},
		"log of somebody else": {
			checkLog, checkInput{log: store.LogState{Kind: store.Other, Regular: true, Access: unix.EACCES}, state: &store.State{}},
			facts.CheckResult{Name: "log", Level: facts.CheckWarn, Text: "activity.log is not writable for this user"},
		},
	} {
		r := &Report{Level: facts.CheckOK}
		tt.check(&tt.in, r)
		if diff := cmp.Diff([]facts.CheckResult{tt.want}, r.Results); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if r.Level != tt.want.Level {
			t.Errorf("%s: level %s", name, r.Level)
		}
	}
}

func damagedBackup(name string) facts.Snapshot {
	return facts.Snapshot{Name: name, Record: &facts.Record{Verified: &facts.Verification{Result: facts.Damaged}}}
}

// The error has to do where it is all that is shown.
func TestCheckFailureSaysWhy(t *testing.T) {
	r := &Report{Dest: "/b"}
	r.add("backup", facts.CheckFail, "it is %s old", "30h")
	r.add("mount", facts.CheckOK, "writable")
	if err := r.failure(); !errors.Is(err, facts.ErrCheck) || err.Error() != "1 of 2 checks of /b failed: backup: it is 30h old" {
		t.Errorf("failure: %v", err)
	}
	r.add("space", facts.CheckFail, "1 %% free")
	if got, want := r.failure().Error(), "2 of 3 checks of /b failed: backup: it is 30h old; space: 1 % free"; got != want {
		t.Errorf("failure: %s, want %s", got, want)
	}
	if err := (&Report{}).failure(); err != nil {
		t.Errorf("nothing failed: %v", err)
	}
}
