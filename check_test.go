package rsbtbackup

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

func TestLockOwners(t *testing.T) {
	const locks = `1: FLOCK  ADVISORY  WRITE 16378 01:3e:259 0 EOF
2: FLOCK  ADVISORY  READ 2 01:3e:259 0 EOF
3: POSIX  ADVISORY  WRITE 3 01:3e:259 0 EOF
4: FLOCK  ADVISORY  WRITE 4 01:3e:256 0 EOF
4: -> FLOCK  ADVISORY  WRITE 5 01:3e:259 0 EOF
5: FLOCK  ADVISORY  WRITE 6 00:6a:259 0 EOF
6: FLOCK  ADVISORY  WRITE 7 01:3e:259 0 EOF
`
	if diff := cmp.Diff([]int{16378, 7}, lockOwners(locks, "1:62", 259)); diff != "" {
		t.Error(diff)
	}
	if got := lockOwners(locks, "", 259); got != nil {
		t.Errorf("of no device: %v", got)
	}
}

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

func TestMergeRanges(t *testing.T) {
	got := mergeRanges([]DamagedRange{{0, 4096}, {4096, 4096}, {8192, 100}, {12288, 4096}, {12288, 8192}})
	if diff := cmp.Diff([]DamagedRange{{0, 8292}, {12288, 8192}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestDamagedBlocks(t *testing.T) {
	bad := DamagedRange{Offset: 8192, Length: 5000}
	for name, tt := range map[string]struct {
		extent btrfs.Extent
		want   []uint64
	}{
		"inside":     {btrfs.Extent{Offset: 0, Length: 1 << 20, Address: 1 << 30}, []uint64{1<<30 + 8192, 1<<30 + 12288}},
		"its end":    {btrfs.Extent{Offset: 12288, Length: 1 << 20, Address: 1 << 30}, []uint64{1 << 30}},
		"compressed": {btrfs.Extent{Offset: 0, Length: 128 << 10, Address: 1 << 30, Compressed: true}, []uint64{1 << 30}},
		"inline":     {btrfs.Extent{Length: 100, Inline: true}, nil},
	} {
		if diff := cmp.Diff(tt.want, appendBlocks(nil, tt.extent, bad)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// What is hard to bring about on a real disk.
func TestChecks(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	b := Snapshot{Name: "2026-11-23-08:00", ID: 300, Time: now.Add(-time.Hour), ReadOnly: true, Status: Complete, Current: true}
	incomplete := Snapshot{Name: "2026-11-23-08:30", ID: 301, ReadOnly: true, Status: Incomplete}
	for name, tt := range map[string]struct {
		check func(*checkInput, *CheckReport)
		in    checkInput
		want  CheckResult
	}{
		"forced read-only": {
			checkMount, checkInput{mount: mount{superReadOnly: true}},
			CheckResult{"mount", CheckFail, "the filesystem went read-only after an error; see dmesg"},
		},
		"bind mount": {
			checkMount, checkInput{mount: mount{readOnly: true}},
			CheckResult{"mount", CheckWarn, "mounted read-only: no backup can be made"},
		},
		"missing device": {
			checkDevices, checkInput{dest: "/b", devices: []btrfs.Device{{ID: 2}, {ID: 1, Path: "/dev/sda", WriteErrors: 3, GenerationErrors: 1}}},
			CheckResult{"devices", CheckFail, "device 2 is missing; /dev/sda: 3 write errors, 1 generation errors (to reset them, once the cause is known, with btrfs-progs: btrfs device stats --reset /b)"},
		},
		"counters unknown": {
			checkDevices, checkInput{devicesErr: errors.New("no such device")},
			CheckResult{"devices", CheckFail, "their error counters can not be read: no such device"},
		},
		"newest incomplete": {
			checkBackup, checkInput{now: now, maxAge: defaultMaxAge, state: &state{backups: []Snapshot{b, incomplete}}},
			CheckResult{"backup", CheckWarn, "2026-11-23-08:00 is 1h old; the newest, 2026-11-23-08:30, is incomplete"},
		},
		"the end counts, not the name": {
			checkBackup, checkInput{now: now, maxAge: time.Minute, state: &state{backups: []Snapshot{{
				Name: b.Name, Time: b.Time, Status: Complete, Record: &Record{Ended: now.Add(-time.Second)},
			}}}},
			CheckResult{"backup", CheckOK, "2026-11-23-08:00 is 1s old"},
		},
		"cur within a run": {
			checkCur, checkInput{running: &holder{PID: 1}, state: &state{cur: symlink, curLink: "old", backups: []Snapshot{{Name: b.Name, Status: Complete}}}},
			CheckResult{"cur", CheckWarn, `it names "old"; it should name 2026-11-23-08:00`},
		},
		"cur names what is hidden": {
			checkCur, checkInput{state: &state{cur: symlink, curLink: "2026-11-23-08:30", hidden: []string{"2026-11-23-08:30"}, backups: []Snapshot{{Name: b.Name, Status: Complete}}}},
			CheckResult{"cur", CheckWarn, "it names 2026-11-23-08:30, on which something is mounted"},
		},
		"a backup is hidden": {
			checkMount, checkInput{state: &state{hidden: []string{"2026-11-23-08:30"}}},
			CheckResult{"mount", CheckWarn, "something is mounted on 2026-11-23-08:30, and hides what is there: no backup is read or deleted there meanwhile"},
		},
		"cur is a directory": {
			checkCur, checkInput{state: &state{cur: directory, backups: []Snapshot{{Name: b.Name, Status: Complete}}}},
			CheckResult{"cur", CheckFail, "it is a directory, not a symlink"},
		},
		"a run that lasts": {
			checkPending, checkInput{now: now, maxAge: defaultMaxAge, running: &holder{PID: 7, Verb: "backup", Since: now.Add(-30 * time.Hour)}, state: &state{}},
			CheckResult{"pending", CheckWarn, "backup (pid 7) has been running for 30h"},
		},
		"pending outlived a power cut": {
			checkPending, checkInput{now: now, maxAge: defaultMaxAge, state: &state{
				backups: []Snapshot{{Name: b.Name, ParentUUID: uuidW}}, pending: pendingState{kind: subvolume, uuid: uuidW},
			}},
			CheckResult{"pending", CheckOK, "2026-11-23-08:00 was published from it; the next run removes it"},
		},
		"log of somebody else": {
			checkLog, checkInput{log: logState{kind: other, regular: true, access: unix.EACCES}, state: &state{}},
			CheckResult{"log", CheckWarn, "activity.log is not writable for this user"},
		},
	} {
		r := &CheckReport{Level: CheckOK}
		tt.check(&tt.in, r)
		if diff := cmp.Diff([]CheckResult{tt.want}, r.Results); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if r.Level != tt.want.Level {
			t.Errorf("%s: level %s", name, r.Level)
		}
	}
}

// The error has to do where it is all that is shown.
func TestCheckFailureSaysWhy(t *testing.T) {
	r := &CheckReport{Dest: "/b"}
	r.add("backup", CheckFail, "it is %s old", "30h")
	r.add("mount", CheckOK, "writable")
	if err := r.failure(); !errors.Is(err, ErrCheck) || err.Error() != "1 of 2 checks of /b failed: backup: it is 30h old" {
		t.Errorf("failure: %v", err)
	}
	r.add("space", CheckFail, "1 %% free")
	if got, want := r.failure().Error(), "2 of 3 checks of /b failed: backup: it is 30h old; space: 1 % free"; got != want {
		t.Errorf("failure: %s, want %s", got, want)
	}
	if err := (&CheckReport{}).failure(); err != nil {
		t.Errorf("nothing failed: %v", err)
	}
}
