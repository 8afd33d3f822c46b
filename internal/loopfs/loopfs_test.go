//go:build integration

package loopfs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestFileSystemTypes(t *testing.T) {
	for _, tt := range []struct {
		fstype, size string
		magic        int64
	}{
		{"btrfs", "256M", unix.BTRFS_SUPER_MAGIC},
		{"btrfs", "32M", unix.BTRFS_SUPER_MAGIC},
		{"ext4", "32M", unix.EXT4_SUPER_MAGIC},
		{"tmpfs", "1M", unix.TMPFS_MAGIC},
	} {
		t.Run(tt.fstype+" "+tt.size, func(t *testing.T) {
			var stat unix.Statfs_t
			if err := unix.Statfs(NewFS(t, tt.size, tt.fstype), &stat); err != nil {
				t.Fatal(err)
			}
			if int64(stat.Type) != tt.magic {
				t.Errorf("file system magic = %#x, want %#x", stat.Type, tt.magic)
			}
		})
	}
}

func TestMountOptionsReachTheMount(t *testing.T) {
	mount := New(t, "128M", "commit=7", "nodatacow")
	for _, want := range []string{"commit=7", "nodatacow"} {
		if line := mountLine(t, mount); !strings.Contains(line, want) {
			t.Errorf("mounted as %q, want %s", line, want)
		}
	}
}

func TestEndOfTestLeavesNothing(t *testing.T) {
	var images []*Image
	t.Run("makes two", func(t *testing.T) {
		images = append(images, NewImage(t, "128M", "btrfs"), NewNested(t, "128M"))
	})
	for _, image := range images {
		wantGone(t, image.Dir)
	}
}

func TestRemountIsAnotherMountOfTheSameFiles(t *testing.T) {
	image := NewImage(t, "128M", "btrfs")
	file := filepath.Join(image.Mount, "file")
	write(t, file, "kept")
	before := mountID(t, image.Mount)

	image.Remount(t, "ro")
	if got := mountID(t, image.Mount); got == before {
		t.Errorf("mount id is %d before and after", got)
	}
	if err := os.Remove(file); err == nil {
		t.Error("a file could be removed from a read-only mount")
	}

	image.Unmount(t)
	if _, err := os.Stat(file); err == nil {
		t.Error("the file is there while the image is unmounted")
	}
	image.Remount(t)
	if got := read(t, file); got != "kept" {
		t.Errorf("file = %q, want %q", got, "kept")
	}
}

func TestSetOptionsKeepsTheMount(t *testing.T) {
	image := NewImage(t, "128M", "btrfs")
	before := mountID(t, image.Mount)
	image.SetOptions(t, "ro")
	if err := os.Mkdir(filepath.Join(image.Mount, "d"), 0o755); err == nil {
		t.Error("a directory could be made on a read-only mount")
	}
	if got := mountID(t, image.Mount); got != before {
		t.Errorf("mount id = %d, want %d still", got, before)
	}
}

// A power cut loses what was not committed; every crash test relies on the copy losing it too.
func TestCrashCopyHasWhatWasSyncedAndNothingElse(t *testing.T) {
	image := NewNested(t, "128M")
	write(t, filepath.Join(image.Mount, "synced"), "on disk")
	syncFS(t, image.Mount)
	write(t, filepath.Join(image.Mount, "in memory"), "lost")

	first := image.CrashCopy(t)
	if got := read(t, filepath.Join(first, "synced")); got != "on disk" {
		t.Errorf("synced file = %q, want %q", got, "on disk")
	}
	if _, err := os.Stat(filepath.Join(first, "in memory")); err == nil {
		t.Error("the copy has a file that was never written to the image")
	}

	syncFS(t, image.Mount)
	second := image.CrashCopy(t)
	if got := read(t, filepath.Join(second, "in memory")); got != "lost" {
		t.Errorf("after a sync the file = %q, want %q", got, "lost")
	}
	if _, err := os.Stat(filepath.Join(first, "in memory")); err == nil {
		t.Error("the first copy changed after it was made")
	}
}

func TestScriptUpAndDownTwice(t *testing.T) {
	for name, dir := range map[string]string{
		"plain":        filepath.Join(t.TempDir(), "fs"),
		"with a space": filepath.Join(t.TempDir(), "a dir", "the fs"),
		"odd bytes":    filepath.Join(t.TempDir(), "tab\there\\new\nline*"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { takeDown(t, dir) })
			first := up(t, dir, "128M", "btrfs", nil)
			write(t, filepath.Join(first.Mount, "stale"), "x")

			second := up(t, dir, "128M", "btrfs", nil)
			if first.Mount != second.Mount {
				t.Errorf("mount point %q, then %q", first.Mount, second.Mount)
			}
			if _, err := os.Stat(filepath.Join(second.Mount, "stale")); err == nil {
				t.Error("up on a stale directory kept the old file system")
			}
			script(t, "down", dir)
			wantGone(t, dir)
			script(t, "down", dir)
		})
	}
}

func TestScriptRefuses(t *testing.T) {
	foreign := t.TempDir()
	fresh := filepath.Join(t.TempDir(), "fs")
	write(t, filepath.Join(foreign, "precious"), "x")
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"a directory with foreign files", []string{"up", foreign, "128M"}, "was not made by this script"},
		{"an unknown type", []string{"up", fresh, "128M", "ntfs"}, "cannot make"},
		{"a bad size", []string{"up", fresh, "big"}, "Invalid number"},
		{"a size too small", []string{"up", fresh, "1M"}, "too small"},
		{"a bad mount option", []string{"up", fresh, "128M", "btrfs", "nonsense"}, "mount"},
		{"no verb", nil, "usage"},
		{"an argument too many", []string{"down", "a", "b"}, "usage"},
		{"no command", []string{"apart", fresh}, "usage"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := runScript(t, tt.args...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want one with %q", err, tt.want)
			}
			wantGone(t, fresh)
		})
	}
	script(t, "down", foreign)
	if got := read(t, filepath.Join(foreign, "precious")); got != "x" {
		t.Errorf("the foreign file = %q, want it untouched", got)
	}
}

func TestSweepTakesDownWhatAKilledOwnerLeft(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "left behind")
	alive := NewImage(t, "128M", "btrfs")
	owner := ownerProcess(t)
	t.Setenv("MKLOOPFS_OWNER", owner.pid)
	image := up(t, dir, "128M", "btrfs", nil)
	up(t, filepath.Join(image.Mount, "nested"), "32M", "btrfs", nil)
	t.Setenv("MKLOOPFS_OWNER", "")

	script(t, "sweep")
	if !mounted(t, image.Mount) {
		t.Fatal("the sweep took down a file system whose owner lives")
	}
	if _, err := runScript(t, "up", dir, "128M"); err == nil || !strings.Contains(err.Error(), "in use by process "+owner.pid) {
		t.Errorf("up on the directory of another live owner: %v", err)
	}

	owner.kill()
	sweepOf(t, dir)
	wantGone(t, dir)
	if !mounted(t, alive.Mount) {
		t.Error("the sweep took down a file system of this process")
	}
}

// sweepOf sweeps until dir is gone: a sweep leaves the work to another one of the machine, which may have passed dir
// before its owner died.
func sweepOf(t *testing.T, dir string) {
	t.Helper()
	for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(100 * time.Millisecond) {
		script(t, "sweep")
		if _, err := os.Lstat(dir); err != nil {
			return
		}
	}
}

// The owner is killed but not waited for: a zombie still has its pid and its start time.
func TestSweepCountsAZombieAsDead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fs")
	owner := ownerProcess(t)
	t.Setenv("MKLOOPFS_OWNER", owner.pid)
	up(t, dir, "128M", "btrfs", nil)
	owner.killUnreaped(t)
	sweepOf(t, dir)
	wantGone(t, dir)
}

func TestDownDetachesABusyMountAndReports(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fs")
	image := up(t, dir, "128M", "btrfs", nil)
	open, err := os.Create(filepath.Join(image.Mount, "open"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = runScript(t, "down", dir)
	if err == nil || !strings.Contains(err.Error(), "had to be detached") || !strings.Contains(err.Error(), "loopfs.test") {
		t.Errorf("down of a busy mount: %v, want an error that names this process", err)
	}
	if err := open.Close(); err != nil {
		t.Fatal(err)
	}
	script(t, "down", dir)
	wantGone(t, dir)
}

// TestDownWaitsForAnotherMountNamespace: a copy of the inner file system keeps its image open, and the outer one busy.
func TestDownWaitsForAnotherMountNamespace(t *testing.T) {
	outer := NewImage(t, "512M", "btrfs")
	up(t, filepath.Join(outer.Mount, "inner"), "128M", "btrfs", nil)
	namespace := exec.Command("unshare", "--mount", "sh", "-c", "echo; exec sleep 7 >/dev/null") // more than for a process
	out, err := namespace.StdoutPipe()
	if err == nil {
		err = namespace.Start()
	}
	if err == nil {
		_, err = out.Read(make([]byte, 1))
	}
	if err != nil {
		t.Fatal(err)
	}
	script(t, "down", outer.Dir)
	wantGone(t, outer.Dir)
	if err := namespace.Wait(); err != nil {
		t.Error(err)
	}
}

func TestApartHasOneFileSystemAlone(t *testing.T) {
	kept, other := NewNested(t, "128M"), New(t, "128M")
	argv := append(Apart(t, kept.Mount), "findmnt", "-rno", "TARGET")
	mounts, err := run(argv[0], argv[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(mounts, other) || !strings.Contains(mounts, kept.Mount+"\n") {
		t.Errorf("mounts:\n%swant %s, and not %s", mounts, kept.Mount, other)
	}
	if !mounted(t, other) || !mounted(t, kept.Mount) {
		t.Error("unmounted here too")
	}
}

func wantGone(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Lstat(dir); err == nil {
		t.Errorf("%s is still there", dir)
	}
	escaped := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(dir)
	for _, line := range lines(t, "/proc/self/mountinfo") {
		if strings.Contains(line, escaped) {
			t.Errorf("still mounted: %s", line)
		}
	}
	backing, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range backing {
		// A device may vanish between the listing and the reading: that is what is wanted.
		if content, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(content), dir) {
			t.Errorf("%s is still bound to %s", file, content)
		}
	}
}

func TestUnmountWaits(t *testing.T) {
	image := NewImage(t, "128M", "btrfs")
	f, err := os.Create(filepath.Join(image.Mount, "open"))
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(300*time.Millisecond, func() { _ = f.Close() })
	image.Unmount(t)
	if mounted(t, image.Mount) {
		t.Error("still mounted")
	}
}
