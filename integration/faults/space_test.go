//go:build integration

package faults

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"os/exec"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// ballast takes the space of a filesystem up, outside DEST.
type ballast struct{ dir string }

// fillData writes until no block for data is left, except about spare bytes.
func fillData(t testing.TB, mount string, spare int) ballast {
	t.Helper()
	b := ballast{filepath.Join(mount, "ballast")}
	testdest.Must(t, os.Mkdir(b.dir, 0o700))
	b.write(t, "spare", spare)
	for i := 0; b.write(t, fmt.Sprint("data ", i), 4<<20); i++ {
	}
	testdest.SyncAll(t, mount)
	testdest.Must(t, os.Remove(filepath.Join(b.dir, "spare")))
	testdest.SyncAll(t, mount)
	return b
}

// writeAll takes what is left, to the last block.
func (b ballast) writeAll(t testing.TB, name string) {
	t.Helper()
	testdest.SyncAll(t, b.dir)
	for size := 1 << 20; size >= 4<<10; size /= 2 {
		for i := 0; b.write(t, fmt.Sprint(name, " ", size, " ", i), size); i++ {
		}
	}
	testdest.SyncAll(t, b.dir)
}

// fillMetadata makes files until not even an empty one can be made.
func fillMetadata(t testing.TB, mount string) ballast {
	t.Helper()
	b := fillData(t, mount, 0)
	// Content this small lies in the metadata.
	for i := 0; b.write(t, fmt.Sprint("inline ", i), 2000); i++ {
	}
	for i := 0; b.write(t, fmt.Sprint("empty ", i), 0); i++ {
	}
	return b
}

// write reports whether there was room.
func (b ballast) write(t testing.TB, name string, size int) bool {
	t.Helper()
	err := os.WriteFile(filepath.Join(b.dir, name), make([]byte, size), 0o600)
	if err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return err == nil
}

func (b ballast) remove(t testing.TB) {
	t.Helper()
	testdest.Must(t, os.RemoveAll(b.dir))
	testdest.SyncAll(t, filepath.Dir(b.dir))
	testdest.SyncAll(t, filepath.Dir(b.dir))
}

// TestSpaceDataFull runs out of blocks for file data in the transfer.
func TestSpaceDataFull(t *testing.T) {
	for _, earlier := range []int{0, 1} {
		t.Run(fmt.Sprint(earlier, " earlier"), func(t *testing.T) {
			t.Parallel()
			mount := loopfs.New(t, "300M")
			src := newTree(t)
			d := newDest(t, mount, src, earlier)
			b := fillData(t, mount, 10<<20)
			src.change(t)
			fill(t, src)
			for range 2 {
				r := run(t, "backup", src.dir, d.path)
				wantExit(t, r, 14)
				wantOneError(t, r)
				d.held(t, src)
			}
			if !testdest.Exists(d.join("pending")) {
				t.Error("pending was not kept")
			}
			b.remove(t)
			d.check(t, src)
		})
	}
}

// TestSpaceBackupTooLarge backs up more than the disk holds, then what fits: what the first attempt has left must not
// be in the way, nor its space be still to come.
func TestSpaceBackupTooLarge(t *testing.T) {
	for _, earlier := range []int{0, 1} {
		for _, size := range []int{128, 400} {
			t.Run(fmt.Sprint(earlier, " earlier, ", size, "M"), func(t *testing.T) {
				t.Parallel()
				src := newTree(t)
				d := newDest(t, loopfs.New(t, fmt.Sprint(size, "M")), src, earlier)
				src.change(t)
				testdest.Must(t, os.Mkdir(src.path("zz"), 0o755))
				for i := range size + size/8 {
					src.write(t, fmt.Sprintf("zz/small %d", i), 3000)
					src.write(t, fmt.Sprintf("zz/too much %d", i), 1<<20)
				}
				r := run(t, "backup", src.dir, d.path)
				wantExit(t, r, 14)
				wantOneError(t, r)
				d.held(t, src)

				wantExit(t, run(t, "backup", "--exclude=/zz", src.dir, d.path), 0)
				top, err := os.Stat(src.dir)
				testdest.Must(t, err)
				testdest.Must(t, os.RemoveAll(src.path("zz")))
				testdest.Must(t, os.Chtimes(src.dir, time.Time{}, top.ModTime()))
				d.held(t, src)
				d.newestIsCur(t)
				d.isTidy(t)
				if log := read(t, d.join(".log", "activity.log")); earlier == 0 && !strings.Contains(log, "unfinished backup is resumed") && !strings.Contains(log, "unfinished backup was removed") {
					t.Errorf("the log does not say what became of pending:\n%s", log)
				}
				d.check(t, src)
			})
		}
	}
}

// TestAFullDiskThatRsyncDoesNotName has an rsync whose sender reports only that its connection broke, as that of 3.5.0
// does if the receiver's message arrives too late.
func TestAFullDiskThatRsyncDoesNotName(t *testing.T) {
	t.Parallel()
	late := fakeRsync(t, `"$REAL" "$@" 2>/dev/null && exit; echo 'rsync: [sender] write error: Broken pipe (32)' >&2; exit 10`)
	src := newTree(t)
	for i := range 100 {
		src.write(t, fmt.Sprintf("much %d", i), 1<<20)
	}
	d := newDest(t, loopfs.New(t, "300M"), src, 1)
	target := filepath.Join(loopfs.NewFS(t, "64M", "ext4"), "target")
	src.change(t)
	r := runEnv(t, late, "restore", d.path, "latest", "--target", target)
	wantExit(t, r, 14)
	for i := range 200 {
		src.write(t, fmt.Sprintf("too much %d", i), 1<<20)
	}
	for range 2 {
		r = runEnv(t, late, "backup", src.dir, d.path)
		wantExit(t, r, 14)
		wantOneError(t, r)
		if !strings.Contains(r.stderr, "no space left") {
			t.Errorf("the message does not say that the disk is full:\n%s", r.stderr)
		}
	}
	d.held(t, src)
	for i := range 200 {
		testdest.Must(t, os.Remove(src.path(fmt.Sprintf("too much %d", i))))
	}
	r = runEnv(t, fakeRsync(t, `"$REAL" "$@" || exit; echo 'rsync: [sender] write error: Broken pipe (32)' >&2; exit 10`), "backup", src.dir, d.path)
	wantExit(t, r, 1)
	d.check(t, src)
}

// TestSpaceIsWaitedFor deletes a backup that fills the disk and at once makes another one, which has room only in its
// place; in the second case a program keeps what was deleted.
func TestSpaceIsWaitedFor(t *testing.T) {
	for name, exit := range map[string]int{"free": 0, "held": 14} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := newTree(t)
			d := newDest(t, loopfs.New(t, "300M"), src, 1)
			const most = 200 << 20
			src.write(t, "most", most)
			wantExit(t, run(t, "backup", src.dir, d.path), 0)
			d.held(t, src)
			big := slices.Max(names(d.backups))
			var holder *os.File
			if name == "held" {
				var err error
				holder, err = os.Open(d.join(big, "most"))
				testdest.Must(t, err)
				defer holder.Close()
			}
			d.doomed = []string{big}
			wantExit(t, run(t, "delete", "--force", d.path, big), 0)
			delete(d.backups, big) // the next one may get its name
			src.write(t, "most", most)
			r := run(t, "backup", src.dir, d.path)
			wantExit(t, r, exit)
			d.held(t, src)
			if holder != nil {
				testdest.Must(t, holder.Close())
			}
			d.check(t, src)
		})
	}
}

// TestSpaceMetadataFull runs out of room for metadata before the backup.
func TestSpaceMetadataFull(t *testing.T) {
	t.Parallel()
	mount := loopfs.New(t, "160M")
	src := newTree(t)
	d := newDest(t, mount, src, 1)
	b := fillMetadata(t, mount)
	src.change(t)
	for i := range 300 {
		src.write(t, fmt.Sprintf("sub/many %d", i), 1500)
	}
	r := run(t, "backup", src.dir, d.path)
	wantExit(t, r, 14)
	wantOneError(t, r)
	d.held(t, src)
	wantExit(t, run(t, "list", d.path), 0)
	b.remove(t)
	d.check(t, src)
}

// TestSpaceMixed runs out of space on a small filesystem, which keeps data and metadata together.
func TestSpaceMixed(t *testing.T) {
	t.Parallel()
	mount := loopfs.New(t, "64M")
	src := newTree(t)
	d := newDest(t, mount, src, 1)
	b := fillMetadata(t, mount)
	src.change(t)
	fill(t, src)
	r := run(t, "backup", src.dir, d.path)
	wantExit(t, r, 14)
	wantOneError(t, r)
	d.held(t, src)
	b.remove(t)
	for i := range 15 {
		testdest.Must(t, os.Remove(src.path(fmt.Sprintf("much %02d", i))))
	}
	d.check(t, src)
}

// TestSpaceGoneBetweenTransferAndPublish lets the disk fill up when rsync has just ended well.
func TestSpaceGoneBetweenTransferAndPublish(t *testing.T) {
	t.Parallel()
	mount := loopfs.New(t, "160M")
	src := newTree(t)
	d := newDest(t, mount, src, 1)
	src.change(t)
	flag, env := pausingRsyncFor(t, "8")
	p := start(t, env, program(t), "backup", src.dir, d.path)
	testdest.WaitFor(t, "rsync to end", func() bool { return testdest.Exists(flag) || !p.running() })
	b := fillMetadata(t, mount)
	r := p.wait(t)
	// btrfs keeps reserves, so publishing may well succeed.
	wantExit(t, r, 14, 0)
	if r.exit == 0 {
		d.held(t, src)
		d.newestIsCur(t)
	}
	d.held(t, src)
	b.remove(t)
	d.check(t, src)
}

// TestSpaceQuota lets pending run into a qgroup limit in the transfer.
func TestSpaceQuota(t *testing.T) {
	t.Parallel()
	mount := loopfs.New(t, "512M")
	if out, err := exec.Command("btrfs", "quota", "enable", mount).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	src := newTree(t)
	d := newDest(t, mount, src, 1)
	src.change(t)
	fill(t, src)
	env := fakeRsync(t, `btrfs qgroup limit 8M /proc/self/fd/3 || exit 99; exec "$REAL" "$@"`)
	r := runEnv(t, env, "backup", src.dir, d.path)
	wantExit(t, r, 14)
	wantOneError(t, r)
	d.held(t, src)
	if out, err := exec.Command("btrfs", "qgroup", "limit", "none", d.join("pending")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	d.check(t, src)
}
