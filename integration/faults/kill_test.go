//go:build integration

package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// killCalls are the system calls before which the command is killed. Of those that change nothing a few will do: to be
// killed before the next one that does is the same.
var killCalls = []struct {
	call  string
	limit int
}{
	{"renameat", 99},
	{"symlinkat", 99},
	{"ioctl", 7},
	{"syncfs", 99},
	{"fsync", 99},
	{"mkdirat", 99},
	{"unlinkat", 7},
	{"flock", 3},
	{"fchmod", 99},
	{"openat", 4},
	{"write", 7},
	{"close", 2},
	{"newfstatat", 2},
	{"getdents64", 1},
}

// minKillPoints is the minimum number of points that TestKill tries.
const minKillPoints = 200

// TestKill kills runs with SIGKILL before each of their steps, and at random
// times: the command alone, with all it started, or rsync alone.
func TestKill(t *testing.T) {
	var points atomic.Int64
	t.Run("at a step", func(t *testing.T) {
		t.Run("init", func(t *testing.T) { killInit(t, &points) })
		t.Run("first backup", func(t *testing.T) { killBackup(t, &points, 0, nil) })
		t.Run("incremental backup", func(t *testing.T) { killBackup(t, &points, 1, nil) })
		t.Run("nothing new", func(t *testing.T) { killSkipping(t, &points) })
		t.Run("snapshot of the source", func(t *testing.T) { killFrozen(t, &points) })
		t.Run("repair", func(t *testing.T) { killBackup(t, &points, 1, litter) })
		t.Run("prune", func(t *testing.T) { killDeletion(t, &points, pruning) })
		t.Run("delete", func(t *testing.T) { killDeletion(t, &points, deleting) })
		t.Run("at random", func(t *testing.T) { killAtRandom(t, &points) })
	})
	t.Logf("%d kill points", points.Load())
	if !t.Failed() && points.Load() < minKillPoints {
		t.Errorf("%d kill points, want %d at least", points.Load(), minKillPoints)
	}
}

func killInit(t *testing.T, points *atomic.Int64) {
	t.Parallel()
	mount := loopfs.New(t, "2G")
	src := newTree(t)
	killSweep(t, points, func(t *testing.T) (*dest, []string) {
		d := &dest{path: newDir(t, mount), backups: map[string]string{}}
		return d, []string{"init", d.path}
	}, src)
}

// killBackup kills a backup upon n earlier ones; spoil, if any, is done to
// DEST before.
func killBackup(t *testing.T, points *atomic.Int64, n int, spoil func(testing.TB, *dest, *tree)) {
	t.Parallel()
	mount := loopfs.New(t, "3G")
	src := newTree(t)
	killSweep(t, points, func(t *testing.T) (*dest, []string) {
		d := newDest(t, mount, src, n)
		src.change(t)
		if spoil != nil {
			spoil(t, d, src)
			d.curGone = true
		}
		return d, []string{"backup", src.dir, d.path}
	}, src)
}

// killSkipping kills a run that publishes nothing since nothing has changed.
func killSkipping(t *testing.T, points *atomic.Int64) {
	t.Parallel()
	mount := loopfs.New(t, "3G")
	src := newOldTree(t)
	killSweep(t, points, func(t *testing.T) (*dest, []string) {
		d := newDest(t, mount, src, 1)
		return d, []string{"backup", "--skip-unchanged", src.dir, d.path}
	}, src)
}

// killFrozen kills a run that reads a snapshot of its source. The next such run leaves none.
func killFrozen(t *testing.T, points *atomic.Int64) {
	t.Parallel()
	mount := loopfs.New(t, "3G")
	for _, c := range []struct {
		call  string
		limit int
	}{{"ioctl", 12}, {"flock", 6}, {"unlinkat", 6}, {"utimensat", 4}} {
		t.Run(c.call, func(t *testing.T) {
			src := newSubvolumeTree(t, mount, "source-"+c.call)
			prepare := func() (*dest, []string) {
				d := newDest(t, mount, src, 1)
				src.change(t)
				return d, []string{"backup", "--snapshot-source", src.dir, d.path}
			}
			_, args := prepare()
			n := injection{call: c.call}.count(t, args...)
			for _, nth := range sample(n, c.limit) {
				t.Run(fmt.Sprint(nth), func(t *testing.T) {
					d, args := prepare()
					made := modified(t, src.dir)
					if r, _ := (injection{call: c.call, fault: "signal=SIGKILL", nth: nth}).run(t, args...); r.signal == syscall.SIGKILL {
						points.Add(1)
					} else {
						wantExit(t, r, 0)
					}
					d.thaws(t, src, made)
					d.check(t, src)
				})
			}
		})
	}
}

// newSubvolumeTree makes a tree that is a subvolume, of which a snapshot can be made.
func newSubvolumeTree(t *testing.T, mount, name string) *tree {
	home, err := btrfs.OpenDir(mount)
	testdest.Must(t, err)
	defer home.Close()
	testdest.Must(t, btrfs.CreateSubvolume(home, name))
	return newTreeIn(t, filepath.Join(mount, name))
}

func modified(t *testing.T, path string) time.Time {
	info, err := os.Stat(path)
	testdest.Must(t, err)
	return info.ModTime()
}

// thaws asks that the next backup from a snapshot of src leaves none in it. The directory that one was made in may have
// the time of that now; it gets its own, made, which what is published has.
func (d *dest) thaws(t *testing.T, src *tree, made time.Time) {
	t.Helper()
	testdest.Must(t, os.Chtimes(src.dir, time.Time{}, made))
	wantExit(t, run(t, "--lock-wait=1m", "backup", "--snapshot-source", src.dir, d.path), 0)
	if left, err := filepath.Glob(filepath.Join(src.dir, ".rsbtbackup-*")); err != nil || len(left) > 0 {
		t.Errorf("left in the source: %q, %v", left, err)
	}
}

func killDeletion(t *testing.T, points *atomic.Int64, line func(*dest) []string) {
	t.Parallel()
	mount := loopfs.New(t, "3G")
	src := newTree(t)
	killSweep(t, points, func(t *testing.T) (*dest, []string) {
		d := newDoomed(t, mount, src)
		return d, line(d)
	}, src)
}

// killSweep kills the command that prepare returns at the steps of killCalls.
func killSweep(t *testing.T, points *atomic.Int64, prepare func(t *testing.T) (*dest, []string), src *tree) {
	for _, c := range killCalls {
		t.Run(c.call, func(t *testing.T) {
			d, args := prepare(t)
			n := injection{call: c.call}.count(t, args...)
			d.curGone = false
			for _, nth := range sample(n, c.limit) {
				i := injection{call: c.call, fault: "signal=SIGKILL", nth: nth}
				t.Run(fmt.Sprint(nth), func(t *testing.T) {
					d, args := prepare(t)
					// How many writes a run makes depends on how many times rsync's
					// output wakes it, so the last of them may not come.
					if r, _ := i.run(t, args...); r.signal == syscall.SIGKILL {
						points.Add(1)
					} else {
						wantExit(t, r, 0)
					}
					d.check(t, src)
				})
			}
		})
	}
}

// killAtRandom kills at times spread over as long as such a run has taken just
// before, and every other time in the transfer, which bwlimit makes longer.
func killAtRandom(t *testing.T, points *atomic.Int64) {
	t.Parallel()
	const seed = 20261123
	rng := rand.New(rand.NewPCG(seed, seed))
	mount := loopfs.New(t, "3G")
	src := newTree(t)
	d := newDest(t, mount, src, 1)
	whom := []struct {
		name string
		kill func(p *process)
	}{
		{"command", func(p *process) { p.signal(syscall.SIGKILL) }},
		{"group", func(p *process) { p.signalGroup(syscall.SIGKILL) }},
		{"rsync", func(p *process) { killDescendants(p.pid()) }},
	}
	var lengths [2]time.Duration
	for kind, flags := range [][]string{nil, {"--bwlimit=3000"}} {
		src.change(t)
		began := time.Now()
		wantExit(t, run(t, append([]string{"backup", src.dir, d.path}, flags...)...), 0)
		lengths[kind] = time.Since(began)
		d.held(t, src)
	}
	rounds := 12
	if dense() {
		rounds = 200
	}
	for round := range rounds {
		if round%4 == 3 || t.Failed() {
			d = newDest(t, mount, src, 1)
		}
		for _, who := range whom {
			t.Run(fmt.Sprint(who.name, " ", round), func(t *testing.T) {
				src.change(t)
				args := []string{program(t), "backup", src.dir, d.path}
				if round%2 == 1 {
					args = append(args, "--bwlimit=3000")
				}
				p := start(t, nil, args...)
				time.Sleep(time.Duration(rng.Int64N(int64(lengths[round%2]))))
				who.kill(p)
				p.wait(t)
				points.Add(1)
				d.check(t, src)
			})
		}
	}
}

func killDescendants(pid int) {
	for _, child := range children(pid) {
		killDescendants(child)
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
}
