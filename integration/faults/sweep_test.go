//go:build integration

package faults

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
)

// sweptCall is a system call, and at how many points a normal run of the tests tries it.
type sweptCall struct {
	call  string
	limit int
}

// sweptCalls are the system calls a run changes or reads DEST by. A normal run
// of the tests tries at most limit points of each.
var sweptCalls = []sweptCall{
	{"renameat", 99},
	{"symlinkat", 99},
	{"ioctl", 99},
	{"syncfs", 99},
	{"fsync", 99},
	{"mkdirat", 99},
	{"unlinkat", 99},
	{"flock", 99},
	{"fchmod", 99},
	{"ftruncate", 99},
	{"openat", 8},
	{"openat2", 99},
	{"statx", 99},
	{"fstatfs", 99},
	{"readlinkat", 99},
	{"newfstatat", 6},
	{"fstat", 6},
	{"getdents64", 6},
}

// TestFailingCallInInit fails each call of an init in turn.
func TestFailingCallInInit(t *testing.T) {
	mount := loopfs.New(t, "2G")
	src := newTree(t)
	sweep(t, sweptCalls, func(t *testing.T, i injection, count bool) int {
		d := &dest{path: newDir(t, mount), backups: map[string]string{}}
		if count {
			return i.count(t, "init", d.path)
		}
		r, hit := i.run(t, "init", d.path)
		judgeSwept(t, i, r, hit)
		if r.exit == 0 {
			wantExit(t, run(t, "backup", src.dir, d.path), 0)
		}
		d.check(t, src)
		return 0
	})
}

// TestFailingCallInFirstBackup fails each call of a first backup in turn.
func TestFailingCallInFirstBackup(t *testing.T) {
	mount := loopfs.New(t, "2G")
	sweepBackup(t, mount, 0)
}

// TestFailingCallInIncrementalBackup fails each call of an incremental backup
// in turn.
func TestFailingCallInIncrementalBackup(t *testing.T) {
	mount := loopfs.New(t, "2G")
	sweepBackup(t, mount, 1)
}

// skippingCalls and freezingCalls are what runs with --skip-unchanged and --snapshot-source do otherwise than others.
var (
	skippingCalls = []sweptCall{{"renameat", 6}, {"ioctl", 5}, {"syncfs", 9}, {"fsync", 9}, {"unlinkat", 4}, {"flock", 3}, {"openat", 3}, {"getdents64", 2}}
	freezingCalls = []sweptCall{{"ioctl", 14}, {"unlinkat", 4}, {"flock", 4}, {"utimensat", 4}, {"openat", 3}, {"statx", 2}}
)

// TestFailingCallInSkippedBackup fails calls of a run that publishes nothing since nothing has changed.
func TestFailingCallInSkippedBackup(t *testing.T) {
	mount := loopfs.New(t, "2G")
	src := newOldTree(t)
	sweep(t, skippingCalls, func(t *testing.T, i injection, count bool) int {
		d := newDest(t, mount, src, 1)
		args := []string{"backup", "--skip-unchanged", src.dir, d.path}
		if count {
			return i.count(t, args...)
		}
		r, hit := i.run(t, args...)
		judgeSwept(t, i, r, hit)
		if r.exit == 0 {
			d.held(t, src)
			d.newestIsCur(t)
		}
		d.check(t, src)
		return 0
	})
}

// TestFailingCallInBackupOfASnapshot fails calls of a backup that reads a snapshot of its source. The next one leaves
// none.
func TestFailingCallInBackupOfASnapshot(t *testing.T) {
	mount := loopfs.New(t, "2G")
	src := newSubvolumeTree(t, mount, "source")
	sweep(t, freezingCalls, func(t *testing.T, i injection, count bool) int {
		d := newDest(t, mount, src, 1)
		src.change(t)
		args := []string{"backup", "--snapshot-source", src.dir, d.path}
		if count {
			return i.count(t, args...)
		}
		made := modified(t, src.dir)
		r, hit := i.run(t, args...)
		judgeSwept(t, i, r, hit)
		d.thaws(t, src, made)
		d.check(t, src)
		return 0
	})
}

// TestFailingCallInRepair fails each call of a backup that finds work to
// repair: a pending of a dead run, cur gone, a symlink left behind.
func TestFailingCallInRepair(t *testing.T) {
	mount := loopfs.New(t, "2G")
	src := newTree(t)
	sweep(t, sweptCalls, func(t *testing.T, i injection, count bool) int {
		d := newDest(t, mount, src, 1)
		src.change(t)
		litter(t, d, src)
		d.curGone = true
		if count {
			return i.count(t, "backup", src.dir, d.path)
		}
		r, hit := i.run(t, "backup", src.dir, d.path)
		judgeSwept(t, i, r, hit)
		d.check(t, src)
		return 0
	})
}

// TestFailingCallInPrune fails each call of a prune in turn.
func TestFailingCallInPrune(t *testing.T) { sweepDeletion(t, pruning) }

// TestFailingCallInDelete fails each call of a delete in turn.
func TestFailingCallInDelete(t *testing.T) { sweepDeletion(t, deleting) }

func sweepDeletion(t *testing.T, line func(*dest) []string) {
	mount := loopfs.New(t, "2G")
	src := newTree(t)
	sweep(t, sweptCalls, func(t *testing.T, i injection, count bool) int {
		d := newDoomed(t, mount, src)
		if count {
			return i.count(t, line(d)...)
		}
		r, hit := i.run(t, line(d)...)
		judgeSwept(t, i, r, hit)
		d.check(t, src)
		return 0
	})
}

func sweepBackup(t *testing.T, mount string, earlier int) {
	src := newTree(t)
	sweep(t, sweptCalls, func(t *testing.T, i injection, count bool) int {
		d := newDest(t, mount, src, earlier)
		src.change(t)
		if count {
			return i.count(t, "backup", src.dir, d.path)
		}
		r, hit := i.run(t, "backup", src.dir, d.path)
		judgeSwept(t, i, r, hit)
		if r.exit == 0 {
			d.held(t, src)
			d.newestIsCur(t)
		}
		d.check(t, src)
		return 0
	})
}

// sweep calls try for each call and error, with the number of the call that
// fails, after it has asked how many there are.
func sweep(t *testing.T, calls []sweptCall, try func(t *testing.T, i injection, count bool) int) {
	t.Parallel()
	points := 0
	// How many calls a run makes depends on how old a change is when the source is walked, so the last of them may not
	// come.
	var unmet atomic.Int64
	for _, c := range calls {
		t.Run(c.call, func(t *testing.T) {
			n := try(t, injection{call: c.call}, true)
			for _, nth := range sample(n, c.limit) {
				for _, errno := range errnos(nth) {
					i := injection{call: c.call, fault: "error=" + errno, nth: nth, unmet: &unmet}
					points++
					t.Run(fmt.Sprint(errno, " ", nth), func(t *testing.T) { try(t, i, false) })
				}
			}
		})
	}
	t.Logf("%d points, %d not met", points, unmet.Load())
	if unmet.Load()*5 > int64(points) {
		t.Errorf("%d of %d faults were not met", unmet.Load(), points)
	}
}

// errnos alternate in a normal run.
func errnos(nth int) []string {
	both := []string{"EIO", "ENOSPC"}
	if dense() {
		return both
	}
	return both[nth%2 : nth%2+1]
}

// judgeSwept checks how a run with a failing call ended. A failure that does
// not matter (a look at the kernel's settings, a second attempt at tidying up)
// may be passed over; what then matters is that the backup is right.
func judgeSwept(t *testing.T, i injection, r result, hit bool) {
	t.Helper()
	switch {
	case !hit:
		wantExit(t, r, 0)
		i.unmet.Add(1)
	case r.exit == 0:
	case i.fault == "error=ENOSPC":
		// 10: a DEST that cannot even be looked at is no DEST.
		wantExit(t, r, 14, 10, 12, 13)
		wantOneError(t, r)
	default:
		// 13: a record that cannot be read counts as a pin.
		wantExit(t, r, 1, 10, 12, 13)
		wantOneError(t, r)
	}
}
