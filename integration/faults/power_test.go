//go:build integration

package faults

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// stoppedCalls are the steps after which the power is cut.
var stoppedCalls = []sweptCall{
	{"ioctl", 6},
	{"syncfs", 99},
	{"fsync", 99},
	{"symlinkat", 99},
	{"renameat", 99},
	{"unlinkat", 6},
}

// TestPowerCutInFirstBackup cuts the power after each step of a first backup.
func TestPowerCutInFirstBackup(t *testing.T) { cutAtEachStep(t, 0) }

// TestPowerCutInIncrementalBackup cuts the power after each step of an
// incremental backup.
func TestPowerCutInIncrementalBackup(t *testing.T) { cutAtEachStep(t, 1) }

// TestPowerCutInSkippedBackup cuts the power in a run that publishes nothing since nothing has changed.
func TestPowerCutInSkippedBackup(t *testing.T) {
	t.Parallel()
	src := newOldTree(t)
	cutSome(t, []sweptCall{{"ioctl", 3}, {"fsync", 3}, {"renameat", 4}, {"unlinkat", 2}}, src, func(image *loopfs.Image) (*dest, []string) {
		d := newDest(t, image.Mount, src, 1)
		return d, []string{"backup", "--skip-unchanged", src.dir, d.path}
	})
}

// TestPowerCutInBackupOfASnapshot cuts the power of DEST in a backup that reads a snapshot of its source.
func TestPowerCutInBackupOfASnapshot(t *testing.T) {
	t.Parallel()
	src := newSubvolumeTree(t, loopfs.New(t, "512M"), "source")
	cutSome(t, []sweptCall{{"ioctl", 6}, {"syncfs", 2}, {"fsync", 2}, {"renameat", 3}}, src, func(image *loopfs.Image) (*dest, []string) {
		d := newDest(t, image.Mount, src, 1)
		src.change(t)
		return d, []string{"backup", "--snapshot-source", src.dir, d.path}
	})
}

// TestPowerCutInBackupOfRenames cuts the power in a run that only repeats renames: rsync does not run, pending is not
// flushed, and the snapshot alone brings everything to the disk.
func TestPowerCutInBackupOfRenames(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	here, there := src.path("camera/photos"), src.path("albums/photos") // beside no file with two names
	testdest.Must(t, errors.Join(os.MkdirAll(here, 0o755), os.Mkdir(filepath.Dir(there), 0o755)))
	for i := range 5 {
		testdest.Must(t, os.WriteFile(filepath.Join(here, fmt.Sprint(i)), src.bytes(10_000*i), 0o644))
	}
	prepare := func(image *loopfs.Image) (*dest, []string) {
		d := newDest(t, image.Mount, src, 0)
		growOld()
		wantExit(t, run(t, "backup", src.dir, d.path), 0)
		d.held(t, src)
		testdest.Must(t, os.Rename(here, there))
		here, there = there, here
		growOld()
		return d, []string{"backup", src.dir, d.path}
	}
	_, args := prepare(loopfs.NewNested(t, "1G"))
	if n := (injection{call: "syncfs"}).count(t, args...); n > 0 {
		t.Errorf("%d flushes: rsync has run, so this proves nothing", n)
	}
	cutSome(t, []sweptCall{{"ioctl", 5}, {"fsync", 9}, {"symlinkat", 1}, {"renameat", 6}, {"renameat2", 2}, {"unlinkat", 2}}, src, prepare)
}

// cutSome cuts the power at some steps of what prepare returns.
func cutSome(t *testing.T, calls []sweptCall, src *tree, prepare func(*loopfs.Image) (*dest, []string)) {
	cuts, unmet := 0, 0
	for _, c := range calls {
		t.Run(c.call, func(t *testing.T) {
			image := loopfs.NewNested(t, "1G")
			_, args := prepare(image)
			for _, nth := range sample(injection{call: c.call}.count(t, args...), c.limit) {
				t.Run(fmt.Sprint(nth), func(t *testing.T) {
					d, args := prepare(image)
					if cutAt(t, image, d, src, injection{call: c.call, fault: "signal=SIGSTOP", nth: nth}, args...) {
						cuts += 2
					} else {
						unmet++
					}
				})
			}
		})
	}
	t.Logf("%d power cuts, %d calls not met", cuts, unmet)
	if unmet*10 > cuts { // how many calls a run makes depends on how old a change is, as in sweep
		t.Errorf("%d calls were not met", unmet)
	}
}

// cutAtEachStep stops the command after each of its steps and looks at what a
// power cut there would leave: with nothing but what had reached the disk, and
// with a commit forced that takes no file data along.
func cutAtEachStep(t *testing.T, earlier int) {
	t.Parallel()
	src := newTree(t)
	cutSome(t, stoppedCalls, src, func(image *loopfs.Image) (*dest, []string) {
		d := newDest(t, image.Mount, src, earlier)
		src.change(t)
		return d, []string{"backup", src.dir, d.path}
	})
}

// cutAt reports whether the call came.
func cutAt(t *testing.T, image *loopfs.Image, d *dest, src *tree, i injection, args ...string) bool {
	log := filepath.Join(t.TempDir(), "strace")
	p := start(t, nil, i.argv(t, log, args...)...)
	testdest.WaitFor(t, "the command to stop", func() bool { return stopped(p.pid(), log) || !p.running() })
	if !p.running() {
		wantExit(t, p.wait(t), 0)
		return false
	}
	bare := image.CrashCopy(t)
	testdest.CommitMetadata(t, image.Mount)
	committed := image.CrashCopy(t)
	p.signalGroup(syscall.SIGCONT)
	wantExit(t, p.wait(t), 0)
	after := image.CrashCopy(t)
	for name, mount := range map[string]string{"bare": bare, "with a commit": committed} {
		t.Run(name, func(t *testing.T) { d.in(t, image, mount).check(t, src) })
	}
	d.held(t, src)
	// Exit 0 promises that the backup is there after a power cut.
	d.in(t, image, after).newestIsCur(t)
	d.in(t, image, after).held(t, src)
	return true
}

// stopped reports whether the command below strace stands still.
func stopped(strace int, log string) bool {
	trace, _ := os.ReadFile(log)
	if !strings.Contains(string(trace), "SIGSTOP") {
		return false
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", firstChild(strace)))
	for _, task := range tasks {
		stat, err := os.ReadFile(task)
		if _, state, _ := strings.Cut(string(stat), ") "); err == nil && !strings.HasPrefix(strings.ToUpper(state), "T") {
			return false
		}
	}
	return len(tasks) > 0
}

func firstChild(pid int) int {
	if list := children(pid); len(list) > 0 {
		return list[0]
	}
	return 0
}

// in is d as it is in a crash copy of its image.
func (d *dest) in(t testing.TB, image *loopfs.Image, mount string) *dest {
	t.Helper()
	rel, err := filepath.Rel(image.Mount, d.path)
	testdest.Must(t, err)
	return d.at(filepath.Join(mount, rel))
}

// TestPowerCutAfterExit0 cuts the power at once after a backup has exited
// with 0: first backups, incremental ones, whole files.
func TestPowerCutAfterExit0(t *testing.T) {
	t.Parallel()
	image := loopfs.NewNested(t, "1G")
	src := newTree(t)
	d := newDest(t, image.Mount, src, 0)
	for round, flags := range [][]string{nil, nil, {"--no-inplace"}, nil} {
		src.change(t)
		wantExit(t, run(t, append([]string{"backup", src.dir, d.path}, flags...)...), 0)
		cut := d.in(t, image, image.CrashCopy(t))
		d.held(t, src)
		maps.Copy(cut.backups, d.backups)
		for _, verb := range []string{"list", "check"} { // what is left of pending was published
			if r := run(t, verb, cut.path); strings.Contains(r.stdout, "unfinished") || strings.Contains(r.stdout, "not finished") {
				t.Errorf("%v\nwant nothing of an unfinished backup", r)
			}
		}
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			cut.newestIsCur(t)
			cut.check(t, src)
		})
	}
}

// TestPowerCutAfterInit cuts the power at once after an init has exited with 0.
func TestPowerCutAfterInit(t *testing.T) {
	t.Parallel()
	image := loopfs.NewNested(t, "512M")
	d := newDest(t, image.Mount, nil, 0)
	cut := d.in(t, image, image.CrashCopy(t))
	wantExit(t, run(t, "list", cut.path), 0)
	cut.check(t, newTree(t))
}

// TestPowerCutInPlaceSameSize is the trap of in-place writes: a file changed in
// place keeps its size, a commit makes its new time durable, and the power goes
// before its data is written. The pending that is found then has the new time
// and the old bytes, and must not be resumed by size and time.
func TestPowerCutInPlaceSameSize(t *testing.T) {
	for _, earlier := range []int{0, 1} {
		t.Run(fmt.Sprint(earlier, " earlier"), func(t *testing.T) {
			t.Parallel()
			image := loopfs.NewNested(t, "1G")
			for range 10 {
				if cutInPlace(t, image, earlier) {
					return
				}
			}
			t.Error("the data always reached the disk: this run proves nothing")
		})
	}
}

// cutInPlace returns false when somebody's sync came in between. A first
// backup is written whole into the file that was there, which btrfs may flush
// when it is closed (Linux 6.18), so that one need not show the trap.
func cutInPlace(t *testing.T, image *loopfs.Image, earlier int) bool {
	src := newTree(t)
	d := newDest(t, image.Mount, src, earlier)
	if earlier == 0 {
		halfABackup(t, d, src)
		testdest.SyncAll(t, d.path)
	}
	src.overwrite(t, "large", 0, 1<<20)
	flag, env := silentRsync(t)
	p := start(t, env, program(t), "backup", src.dir, d.path)
	testdest.WaitFor(t, "rsync to end", func() bool { return testdest.Exists(flag) || !p.running() })
	testdest.CommitMetadata(t, image.Mount)
	cut := d.in(t, image, image.CrashCopy(t))
	p.signalGroup(syscall.SIGKILL)
	p.wait(t)
	if earlier > 0 && read(t, cut.join("pending", "large")) == read(t, src.path("large")) {
		return false
	}
	cut.check(t, src)
	d.check(t, src)
	return true
}

// halfABackup leaves a pending that the next run resumes.
func halfABackup(t testing.TB, d *dest, src *tree) {
	t.Helper()
	flag, env := pausingRsync(t)
	p := start(t, env, program(t), "backup", src.dir, d.path)
	testdest.WaitFor(t, "rsync to end", func() bool { return testdest.Exists(flag) || !p.running() })
	p.signalGroup(syscall.SIGKILL)
	p.wait(t)
}

// TestRemountWithPending unmounts and mounts again between a run that was
// killed and the next: caches are gone, as after a reboot.
func TestRemountWithPending(t *testing.T) {
	for _, earlier := range []int{0, 1} {
		t.Run(fmt.Sprint(earlier, " earlier"), func(t *testing.T) {
			t.Parallel()
			image := loopfs.NewImage(t, "512M", "btrfs")
			src := newTree(t)
			d := newDest(t, image.Mount, src, earlier)
			src.change(t)
			halfABackup(t, d, src)
			image.Remount(t)
			d.check(t, src)
		})
	}
}
