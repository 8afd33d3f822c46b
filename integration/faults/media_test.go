//go:build integration

package faults

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// thinDisk is a btrfs on a disk that can run out, as thin storage does: its image is on a tmpfs. Space for metadata is
// reserved, so that only writing file data fails, which only syncfs reports.
type thinDisk struct {
	*loopfs.Image
	tmpfs string
}

// newDiskOnMemory is a thin disk without the reserve. The first temporary
// directory of the test must have been made before.
func newDiskOnMemory(t *testing.T) *thinDisk {
	t.Helper()
	program(t)
	tmpfs := loopfs.NewFS(t, "400M", "tmpfs")
	t.Setenv("TMPDIR", tmpfs)
	// A discard would give blocks back.
	return &thinDisk{loopfs.NewImage(t, "256M", "btrfs", "nodiscard"), tmpfs}
}

func newThinDisk(t *testing.T) *thinDisk {
	t.Helper()
	disk := newDiskOnMemory(t)
	f, err := os.OpenFile(disk.Image.Image, os.O_RDWR, 0)
	testdest.Must(t, err)
	defer f.Close()
	testdest.Must(t, unix.Fallocate(int(f.Fd()), 0, 0, metadataEnd(t, disk.Image.Image)))
	return disk
}

// metadataEnd returns where the last metadata chunk of a new image ends; the
// chunks for data that are added later lie behind it.
func metadataEnd(t testing.TB, image string) int64 {
	t.Helper()
	out, err := exec.Command("btrfs", "inspect-internal", "dump-tree", "-t", "chunk", image).Output()
	testdest.Must(t, err)
	chunk := regexp.MustCompile(`(?s)length (\d+) owner \d+ stripe_len \d+ type (\S+)(.*?)(?:item \d|$)`)
	offset := regexp.MustCompile(`stripe \d+ devid \d+ offset (\d+)`)
	var end int64
	for _, c := range chunk.FindAllStringSubmatch(string(out), -1) {
		length, _ := strconv.ParseInt(c[1], 10, 64)
		for _, o := range offset.FindAllStringSubmatch(c[3], -1) {
			start, _ := strconv.ParseInt(o[1], 10, 64)
			end = max(end, start+length)
		}
	}
	if end == 0 {
		t.Fatalf("no chunk found in:\n%s", out)
	}
	return end
}

// runOut leaves the disk with no block but those it has.
func (d *thinDisk) runOut(t testing.TB) {
	t.Helper()
	testdest.SyncAll(t, d.Mount)
	var st unix.Statfs_t
	testdest.Must(t, unix.Statfs(d.tmpfs, &st))
	d.resize(t, int64(st.Blocks-st.Bfree)*int64(st.Bsize))
}

func (d *thinDisk) resize(t testing.TB, size int64) {
	t.Helper()
	testdest.Must(t, unix.Mount("", d.tmpfs, "", unix.MS_REMOUNT, fmt.Sprint("size=", size)))
}

// fill adds 30 MB to the source: more than a data chunk in use has room for.
func fill(t testing.TB, src *tree) {
	t.Helper()
	for i := range 15 {
		src.write(t, fmt.Sprintf("much %02d", i), 2<<20)
	}
}

// TestMediaRefusesData writes to a disk that takes metadata and refuses file
// data: rsync exits with 0 and a snapshot succeeds all the same.
func TestMediaRefusesData(t *testing.T) {
	for _, earlier := range []int{0, 1} {
		t.Run(fmt.Sprint(earlier, " earlier"), func(t *testing.T) {
			src := newTree(t)
			disk := newThinDisk(t)
			d := newDest(t, disk.Mount, src, earlier)
			src.change(t)
			fill(t, src)
			disk.runOut(t)
			r := run(t, "backup", src.dir, d.path)
			wantExit(t, r, 1, 14)
			wantOneError(t, r)
			if !strings.Contains(r.stderr, "syncfs") {
				t.Errorf("want the failure of syncfs, got %v", r)
			}
			d.held(t, src)
			if len(d.backups) != earlier {
				t.Error("a backup was published over refused data")
			}
			if testdest.Exists(d.join("pending")) {
				t.Error("pending was kept, although the disk refused some of it")
			}
			disk.resize(t, 400<<20)
			d.check(t, src)
			disk.Remount(t)
			d.held(t, src)
		})
	}
}

// TestMediaRefusesARestore restores to such a disk: for rsync all is well.
func TestMediaRefusesARestore(t *testing.T) {
	src := newTree(t)
	fill(t, src)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	disk := newThinDisk(t)
	disk.runOut(t)
	r := run(t, "restore", d.path, "latest", "-t", disk.Mount+"/restored")
	wantExit(t, r, 1, 14)
	wantOneError(t, r)
	if !strings.Contains(r.stderr, "syncfs") {
		t.Errorf("want the failure of syncfs, got %v", r)
	}
	disk.resize(t, 400<<20)

	// That a part could not be written either is no reason to trust the rest.
	target := disk.Mount + "/partly"
	testdest.Must(t, os.Mkdir(target, 0o755))
	testdest.Must(t, os.WriteFile(target+"/much 00", nil, 0o644))
	testdest.Must(t, exec.Command("chattr", "+i", target+"/much 00").Run())
	t.Cleanup(func() { _ = exec.Command("chattr", "-i", target+"/much 00").Run() })
	disk.runOut(t)
	r = run(t, "restore", d.path, "latest", "-t", target, "--overwrite=always")
	wantExit(t, r, 1, 14)
	if strings.Contains(r.stdout+r.stderr, "restored to "+target+" in") || strings.Contains(r.stderr, "verify") {
		t.Errorf("want nothing but the failure of the disk, got %v", r)
	}
	disk.resize(t, 400<<20)
	if r := run(t, "restore", d.path, "latest", "-t", disk.Mount+"/again"); r.exit != 0 {
		t.Errorf("with room for it: %v", r)
	}
}

// TestMediaRefusalReportedToAnotherProgram kills a run whose data the disk refuses,
// and lets another program be told of it: syncfs will not tell a second time.
// What lies in pending must not be resumed by size and time.
func TestMediaRefusalReportedToAnotherProgram(t *testing.T) {
	for _, earlier := range []int{0, 1} {
		t.Run(fmt.Sprint(earlier, " earlier"), func(t *testing.T) {
			src := newTree(t)
			flag, env := pausingRsync(t)
			disk := newThinDisk(t)
			d := newDest(t, disk.Mount, src, earlier)
			fill(t, src)
			disk.runOut(t)
			other, err := os.Open(disk.Mount)
			testdest.Must(t, err)
			defer other.Close()
			p := start(t, env, program(t), "backup", src.dir, d.path)
			testdest.WaitFor(t, "rsync to end", func() bool { return testdest.Exists(flag) || !p.running() })
			p.signalGroup(syscall.SIGKILL)
			p.wait(t)
			tellSomebodyElse(t, other)
			testdest.Must(t, other.Close()) // or it cannot be unmounted
			disk.resize(t, 400<<20)
			d.check(t, src)
			// What was only in memory is gone now.
			disk.Remount(t)
			d.held(t, src)
		})
	}
}

// tellSomebodyElse takes the report that syncfs gives to who had the filesystem open before, and once to who opens it
// after; the run may have taken that itself, before it was killed. The counters of the
// device know nothing of it: Linux 6.18 counts I/O errors there, and not the
// refusals of a disk without space.
func tellSomebodyElse(t testing.TB, f *os.File) {
	t.Helper()
	if btrfs.SyncFS(f) == nil {
		t.Fatal("the disk refused nothing: this run proves nothing")
	}
}

// TestMediaRefusesEverything writes to a disk that takes no metadata either:
// btrfs makes itself read-only in the middle of the run.
func TestMediaRefusesEverything(t *testing.T) {
	src := newTree(t)
	disk := newDiskOnMemory(t)
	d := newDest(t, disk.Mount, src, 1)
	src.change(t)
	fill(t, src)
	disk.runOut(t)
	r := run(t, "backup", src.dir, d.path)
	wantExit(t, r, 1, 14)
	wantOneError(t, r)
	disk.resize(t, 400<<20)
	disk.Remount(t)
	d.check(t, src)
}

// TestDestReadOnly runs on a DEST whose mount is read-only.
func TestDestReadOnly(t *testing.T) {
	t.Parallel()
	image := loopfs.NewImage(t, "512M", "btrfs")
	src := newTree(t)
	d := newDest(t, image.Mount, src, 1)
	src.change(t)
	image.SetOptions(t, "ro")
	for _, args := range [][]string{{"backup", src.dir, d.path}, {"pin", d.path, "latest"}, {"delete", d.path, "latest", "--force"}} {
		r := run(t, args...)
		wantExit(t, r, 1)
		wantOneError(t, r)
		if want := "rsbtbackup: DEST: write to " + d.path + ": read-only file system\nhint: to see how it is mounted: findmnt -T " + d.path + "\n"; r.stderr != want {
			t.Errorf("%s\nwant %s", r, want)
		}
	}
	wantExit(t, run(t, "list", d.path), 0)
	wantExit(t, run(t, "backup", "-n", src.dir, d.path), 0)
	d.held(t, src)
	image.SetOptions(t, "rw")
	d.check(t, src)
}

// TestDestUnmounted takes the mount away, lazily as systemd does at a timeout.
// rsync cannot enter a directory that is mounted nowhere, so a transfer that
// has not begun fails; one that is over is published on the disk it went to.
// Nothing is written to the directory that is left under the name.
func TestDestUnmounted(t *testing.T) {
	for _, tt := range []struct {
		when  string
		rsync func(testing.TB) (flag string, env []string)
		exit  int
	}{
		{"before the transfer", waitingRsync, 1},
		{"after it", func(t testing.TB) (string, []string) { return pausingRsyncFor(t, "1") }, 0},
	} {
		t.Run(tt.when, func(t *testing.T) {
			t.Parallel()
			image := loopfs.NewImage(t, "512M", "btrfs")
			src := newTree(t)
			d := newDest(t, image.Mount, src, 1)
			src.change(t)
			flag, env := tt.rsync(t)
			p := start(t, env, program(t), "backup", src.dir, d.path)
			testdest.WaitFor(t, "rsync", func() bool { return testdest.Exists(flag) || !p.running() })
			testdest.Must(t, unix.Unmount(image.Mount, unix.MNT_DETACH))
			testdest.Must(t, os.Remove(flag))
			wantExit(t, p.wait(t), tt.exit)
			if left := testdest.Entries(t, image.Mount); len(left) > 0 {
				t.Errorf("under the mount point: %q", left)
			}
			image.Remount(t)
			l, err := rsbtbackup.List(t.Context(), d.path)
			testdest.Must(t, err)
			if published := len(l.Backups) == 2; published != (tt.exit == 0) {
				t.Errorf("exit %d, and %d backups", tt.exit, len(l.Backups))
			}
			d.check(t, src)
		})
	}
}
