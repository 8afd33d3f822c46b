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

var uuidOfB = btrfs.UUID{3}

// TestChecks has every line a check can say.
func TestChecks(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	b := facts.Snapshot{Name: "2026-11-23-08:00", ID: 300, Time: now.Add(-time.Hour), ReadOnly: true, Status: facts.Complete, Current: true}
	incomplete := facts.Snapshot{Name: "2026-11-23-08:30", ID: 301, ReadOnly: true, Status: facts.Incomplete}
	lost := facts.Snapshot{Name: "2026-11-23-08:45", ID: 302, Order: 2, WhyNot: unix.EIO, Unreadable: "x"}
	recorded := func(name string) facts.Snapshot {
		return facts.Snapshot{Name: name, ReadOnly: true, Record: &facts.Record{Started: now}}
	}
	for name, tt := range map[string]struct {
		check func(*checkInput, *Report)
		in    checkInput
		want  facts.CheckResult
	}{
		"forced read-only": {
			checkMount, checkInput{mount: mounts.Mount{SuperReadOnly: true}},
			facts.CheckResult{Name: "mount", Level: facts.CheckFail, Text: "the filesystem became read-only after an error; see dmesg"},
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
			facts.CheckResult{Name: "devices", Level: facts.CheckFail, Text: "their error counters cannot be read: no such device"},
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
			facts.CheckResult{Name: "mount", Level: facts.CheckWarn, Text: "something is mounted on 2026-11-23-08:30: the hidden backup is neither read nor deleted"},
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
		"no complete backup": {
			checkBackup, checkInput{now: now, maxAge: defaultMaxAge, state: &store.State{Backups: []facts.Snapshot{incomplete}}},
			facts.CheckResult{Name: "backup", Level: facts.CheckFail, Text: "there is no complete backup"},
		},
		"too old": {
			checkBackup, checkInput{now: now.Add(48 * time.Hour), maxAge: defaultMaxAge, state: &store.State{Backups: []facts.Snapshot{b}}},
			facts.CheckResult{Name: "backup", Level: facts.CheckFail, Text: "the newest complete backup, 2026-11-23-08:00, is 49h old, more than 26h"},
		},
		"nothing new since": {
			checkBackup, checkInput{now: now.Add(48 * time.Hour), maxAge: defaultMaxAge, state: &store.State{Backups: []facts.Snapshot{stillCurrent(b, now.Add(47*time.Hour))}}},
			facts.CheckResult{Name: "backup", Level: facts.CheckOK, Text: "2026-11-23-08:00 was still current 1h ago"},
		},
		"nothing new for long": {
			checkBackup, checkInput{now: now.Add(48 * time.Hour), maxAge: defaultMaxAge, state: &store.State{Backups: []facts.Snapshot{stillCurrent(b, now.Add(18*time.Hour))}}},
			facts.CheckResult{Name: "backup", Level: facts.CheckFail, Text: "the newest complete backup, 2026-11-23-08:00, was still current 30h ago, more than 26h"},
		},
		"from the future": {
			checkBackup, checkInput{now: now.Add(-48 * time.Hour), maxAge: defaultMaxAge, state: &store.State{Backups: []facts.Snapshot{b}}},
			facts.CheckResult{Name: "backup", Level: facts.CheckWarn, Text: "the time of 2026-11-23-08:00 is in the future: check the clock"},
		},
		"newest damaged": {
			checkBackup, checkInput{now: now, maxAge: defaultMaxAge, state: &store.State{Backups: []facts.Snapshot{b}, Broken: []facts.Snapshot{lost}}},
			facts.CheckResult{Name: "backup", Level: facts.CheckWarn, Text: "2026-11-23-08:00 is 1h old; the newest, 2026-11-23-08:45, is damaged"},
		},
		"filesystems left out": {
			checkBackup, checkInput{now: now, maxAge: defaultMaxAge, state: &store.State{Backups: []facts.Snapshot{{Name: b.Name, Time: b.Time, Status: facts.Complete, Record: &facts.Record{LeftOut: []string{"home"}}}}}},
			facts.CheckResult{Name: "backup", Level: facts.CheckOK, Text: "2026-11-23-08:00 is 1h old; --one-file-system leaves out home"},
		},
		"nothing for cur": {
			checkCur, checkInput{state: &store.State{}},
			facts.CheckResult{Name: "cur", Level: facts.CheckOK, Text: "absent, because there is no complete backup"},
		},
		"cur without a complete backup": {
			checkCur, checkInput{state: &store.State{Cur: store.Symlink}},
			facts.CheckResult{Name: "cur", Level: facts.CheckFail, Text: "it exists although there is no complete backup"},
		},
		"cur as it should be": {
			checkCur, checkInput{state: &store.State{Cur: store.Symlink, Backups: []facts.Snapshot{b}}},
			facts.CheckResult{Name: "cur", Level: facts.CheckOK, Text: "it names 2026-11-23-08:00"},
		},
		"cur missing": {
			checkCur, checkInput{state: &store.State{Backups: []facts.Snapshot{{Name: b.Name, Status: facts.Complete}}}},
			facts.CheckResult{Name: "cur", Level: facts.CheckFail, Text: "it is missing; it should name 2026-11-23-08:00"},
		},
		"a run": {
			checkPending, checkInput{now: now, maxAge: defaultMaxAge, running: &store.Holder{PID: 7, Verb: "backup", Since: now}, state: &store.State{}},
			facts.CheckResult{Name: "pending", Level: facts.CheckOK, Text: "backup (pid 7) is running"},
		},
		"pending damaged": {
			checkPending, checkInput{state: &store.State{LostPending: true}},
			facts.CheckResult{Name: "pending", Level: facts.CheckWarn, Text: "an unfinished backup is damaged; it is ignored and stays"},
		},
		"no pending": {
			checkPending, checkInput{state: &store.State{}},
			facts.CheckResult{Name: "pending", Level: facts.CheckOK, Text: "there is none"},
		},
		"pending is a file": {
			checkPending, checkInput{state: &store.State{Pending: store.PendingState{Kind: store.Other}}},
			facts.CheckResult{Name: "pending", Level: facts.CheckWarn, Text: "it is a file; the next backup moves it aside"},
		},
		"pending since long": {
			checkPending, checkInput{now: now, maxAge: defaultMaxAge, pendingSince: now.Add(-72 * time.Hour), state: &store.State{Pending: store.PendingState{Kind: store.Subvolume}}},
			facts.CheckResult{Name: "pending", Level: facts.CheckFail, Text: "a backup was not finished, and no run has finished it for 72h"},
		},
		"pending since just now": {
			checkPending, checkInput{now: now, maxAge: defaultMaxAge, pendingSince: now, state: &store.State{Pending: store.PendingState{Kind: store.Subvolume}}},
			facts.CheckResult{Name: "pending", Level: facts.CheckWarn, Text: "a backup was not finished; the next run resumes it, or starts from the beginning if that is safer"},
		},
		"record not readable": {
			checkRecords, checkInput{state: &store.State{Backups: []facts.Snapshot{{Name: "a", ReadOnly: true, RecordError: "x"}, recorded("b")}}},
			facts.CheckResult{Name: "records", Level: facts.CheckFail, Text: "1 record missing or not readable: a"},
		},
		"record lost": {
			checkRecords, checkInput{state: &store.State{Backups: []facts.Snapshot{b}}},
			facts.CheckResult{Name: "records", Level: facts.CheckWarn, Text: "1 record missing: 2026-11-23-08:00; it is unknown whether the backup is complete"},
		},
		"record without a backup": {
			checkRecords, checkInput{state: &store.State{Orphans: []string{"x"}}},
			facts.CheckResult{Name: "records", Level: facts.CheckWarn, Text: "1 record without a backup: x; the next run removes them"},
		},
		"deletion interrupted": {
			checkRecords, checkInput{state: &store.State{Trash: []string{"x"}}},
			facts.CheckResult{Name: "records", Level: facts.CheckWarn, Text: "a deletion was interrupted: x; the next run finishes it"},
		},
		"both, while a run is at it": {
			checkRecords, checkInput{running: &store.Holder{}, state: &store.State{Orphans: []string{"x"}, Trash: []string{"x"}, Backups: []facts.Snapshot{recorded("b")}}},
			facts.CheckResult{Name: "records", Level: facts.CheckOK, Text: "1 backup, each with its record"},
		},
		"writable": {
			checkRecords, checkInput{state: &store.State{Backups: []facts.Snapshot{{Name: "a", Record: recorded("a").Record}}}},
			facts.CheckResult{Name: "records", Level: facts.CheckWarn, Text: "1 backup not read-only: a"},
		},
		"of a predecessor": {
			checkRecords, checkInput{state: &store.State{Backups: []facts.Snapshot{{Name: "2026-11-23-08:00:00", ReadOnly: true}, recorded("b")}}},
			facts.CheckResult{Name: "records", Level: facts.CheckOK, Text: "2 backups, 1 without a record: made by another program"},
		},
		"nothing in it can be read": {
			checkVerified, checkInput{state: &store.State{Broken: []facts.Snapshot{lost}}},
			facts.CheckResult{Name: "verified", Level: facts.CheckFail, Text: "1 backup damaged, nothing in it can be read: 2026-11-23-08:45"},
		},
		"not for this user": {
			checkVerified, checkInput{state: &store.State{Broken: []facts.Snapshot{{Name: "a", WhyNot: unix.EACCES}}}},
			facts.CheckResult{Name: "verified", Level: facts.CheckWarn, Text: "1 backup cannot be opened by this user: a"},
		},
		"never verified": {
			checkVerified, checkInput{state: &store.State{Backups: []facts.Snapshot{b}}},
			facts.CheckResult{Name: "verified", Level: facts.CheckOK, Text: "no backup has been verified"},
		},
		"clean": {
			checkVerified, checkInput{now: now, state: &store.State{Backups: []facts.Snapshot{{Name: "a", Record: &facts.Record{Verified: &facts.Verification{Result: facts.Clean, At: now.Add(-48 * time.Hour)}}}}}},
			facts.CheckResult{Name: "verified", Level: facts.CheckOK, Text: "a was clean 48h ago"},
		},
		"space": {
			checkSpace, checkInput{minFree: facts.MinFree{Percent: 10}, free: 50, total: 100},
			facts.CheckResult{Name: "space", Level: facts.CheckOK, Text: "50 B of 100 B free (50 %)"},
		},
		"space, half of the distance": {
			checkSpace, checkInput{minFree: facts.MinFree{Percent: 10}, free: 15, total: 100},
			facts.CheckResult{Name: "space", Level: facts.CheckWarn, Text: "15 B of 100 B free (15 %), less than twice 10 %"},
		},
		"no space": {
			checkSpace, checkInput{minFree: facts.MinFree{Bytes: 20}, free: 5, total: 100},
			facts.CheckResult{Name: "space", Level: facts.CheckFail, Text: "5 B of 100 B free (5 %), less than 20 B"},
		},
		"room for metadata": {
			checkMetadata, checkInput{minMetadata: 10, spaces: []btrfs.Space{{Kind: "metadata", Profile: "single", Total: 100, Used: 40}}},
			facts.CheckResult{Name: "metadata", Level: facts.CheckOK, Text: "40 B used, 60 B available"},
		},
		"little room for metadata": {
			checkMetadata, checkInput{minMetadata: 40, spaces: []btrfs.Space{{Kind: "metadata", Profile: "raid1c3", Total: 100, Used: 40}}},
			facts.CheckResult{Name: "metadata", Level: facts.CheckWarn, Text: "40 B used, 60 B available, less than twice 40 B"},
		},
		"no room for metadata": {
			checkMetadata, checkInput{minMetadata: 80, spaces: []btrfs.Space{{Kind: "metadata", Profile: "raid1c4", Total: 100, Used: 40}}},
			facts.CheckResult{Name: "metadata", Level: facts.CheckFail, Text: "40 B used, 60 B available, less than 80 B"},
		},
		"devices": {
			checkDevices, checkInput{devices: []btrfs.Device{{ID: 1, Path: "/dev/sda"}}},
			facts.CheckResult{Name: "devices", Level: facts.CheckOK, Text: "1 device, no errors counted"},
		},
		"writable mount": {
			checkMount, checkInput{state: &store.State{}},
			facts.CheckResult{Name: "mount", Level: facts.CheckOK, Text: "writable"},
		},
		"no log": {
			checkLog, checkInput{},
			facts.CheckResult{Name: "log", Level: facts.CheckOK, Text: "nothing has been logged yet"},
		},
		"log is a directory": {
			checkLog, checkInput{log: store.LogState{Kind: store.Directory}},
			facts.CheckResult{Name: "log", Level: facts.CheckFail, Text: "activity.log is not a regular file"},
		},
		"log cannot be asked about": {
			checkLog, checkInput{log: store.LogState{Kind: store.Other, Regular: true, Access: unix.EIO}},
			facts.CheckResult{Name: "log", Level: facts.CheckFail, Text: "activity.log: input/output error"},
		},
		"log not rotated": {
			checkLog, checkInput{log: store.LogState{Kind: store.Other, Regular: true, Size: 3_000_000}},
			facts.CheckResult{Name: "log", Level: facts.CheckWarn, Text: "activity.log has 3.0 MB and is not rotated"},
		},
		"log open to others": {
			checkLog, checkInput{log: store.LogState{Kind: store.Other, Regular: true}, state: &store.State{LogMode: 0o755}},
			facts.CheckResult{Name: "log", Level: facts.CheckWarn, Text: ".log has mode 0755: other users can read it"},
		},
		"log": {
			checkLog, checkInput{log: store.LogState{Kind: store.Other, Regular: true, Size: 2000}, state: &store.State{LogMode: 0o700}},
			facts.CheckResult{Name: "log", Level: facts.CheckOK, Text: "2.0 kB of at most 1.0 MB"},
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

// stillCurrent is b, found to be all that there is at some time.
func stillCurrent(b facts.Snapshot, at time.Time) facts.Snapshot {
	b.Record = &facts.Record{Unchanged: &facts.UnchangedInfo{At: at, Runs: 1}}
	return b
}
