//go:build integration

package faults

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// patchCalls are those by which the changed blocks of a large file come into pending.
var patchCalls = []struct {
	call  string
	limit int
}{
	{"pwrite64", 3},
	{"pread64", 6},
	{"utimensat", 4},
	{"ftruncate", 3},
	{"fallocate", 3},
	{"lseek", 3},
	{"ioctl", 8},
}

// newImages is a tree on btrfs, with a file of which only what has changed is read.
func newImages(t testing.TB) *tree {
	t.Helper()
	mount := loopfs.NewFS(t, "1G", "btrfs")
	home, err := btrfs.OpenDir(mount)
	testdest.Must(t, err)
	testdest.Must(t, errors.Join(btrfs.CreateSubvolume(home, "source"), home.Close()))
	s := newTreeIn(t, filepath.Join(mount, "source"))
	s.write(t, "image", imageSize)
	return s
}

const imageSize = 10 << 20

// patch changes some blocks of the image, makes a hole and another size.
func (s *tree) patch(t testing.TB) {
	t.Helper()
	s.round++
	for i := range 3 {
		s.overwrite(t, "image", i*3<<20+s.round*8192, 5000)
	}
	f, err := os.OpenFile(s.path("image"), os.O_RDWR, 0)
	testdest.Must(t, err)
	err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 5<<20+int64(s.round)*65536, 65536)
	testdest.Must(t, errors.Join(err, f.Truncate(imageSize+int64(s.round)*5000), f.Close()))
}

// patching is a DEST with a backup of a tree that has changed since.
func patching(t testing.TB, mount string, src *tree) *dest {
	t.Helper()
	d := newDest(t, mount, src, 1)
	src.patch(t)
	return d
}

// wantPatched wants the last backup to have been made by copying what had changed in a file.
func (d *dest) wantPatched(t testing.TB) {
	t.Helper()
	records, err := filepath.Glob(filepath.Join(d.path, ".log/records/*.json"))
	testdest.Must(t, err)
	last := testdest.Read(t, records[len(records)-1])
	if !strings.Contains(last, `"patched": 1`) && !strings.Contains(last, `"patched":1`) {
		t.Errorf("no blocks were copied: %s", last)
	}
}

// TestKilledWhileBlocksAreCopied kills a run before each call by which changed blocks come into pending.
func TestKilledWhileBlocksAreCopied(t *testing.T) {
	t.Parallel()
	mount, src := loopfs.New(t, "2G"), newImages(t)
	eachPatchCall(t, mount, src, "signal=SIGKILL", func(t *testing.T, d *dest, i injection) {
		if r, _ := i.run(t, "backup", src.dir, d.path); r.signal != syscall.SIGKILL {
			wantExit(t, r, 0)
		}
		d.check(t, src)
	})
}

// TestFailingCallWhileBlocksAreCopied fails each of them.
func TestFailingCallWhileBlocksAreCopied(t *testing.T) {
	t.Parallel()
	mount, src := loopfs.New(t, "2G"), newImages(t)
	for _, errno := range []string{"EIO", "ENOSPC"} {
		eachPatchCall(t, mount, src, "error="+errno, func(t *testing.T, d *dest, i injection) {
			r, _ := i.run(t, "backup", src.dir, d.path)
			if r.exit != 0 {
				wantExit(t, r, 1, 10, 12, 13, 14)
				wantOneError(t, r)
			} else {
				d.held(t, src)
				d.newestIsCur(t)
			}
			d.check(t, src)
		})
	}
}

// TestStoppedWhileBlocksAreCopied stops a run in good order, so that the next one trusts what is in pending by size and
// time. Meanwhile the file has become what it was, with its old time: half of the blocks must not stay.
func TestStoppedWhileBlocksAreCopied(t *testing.T) {
	t.Parallel()
	mount, src := loopfs.New(t, "2G"), newImages(t)
	eachPatchCall(t, mount, src, "signal=SIGTERM", func(t *testing.T, d *dest, i injection) {
		old := filepath.Join(filepath.Dir(src.dir), "old")
		info, err := os.Stat(filepath.Join(d.path, "cur/image"))
		testdest.Must(t, err)
		testdest.Tool(t, "cp", filepath.Join(d.path, "cur/image"), old)
		r, _ := i.run(t, "backup", src.dir, d.path)
		if r.signal != syscall.SIGTERM { // before there is a handler
			wantExit(t, r, 0, 143)
		}
		testdest.Tool(t, "cp", old, src.path("image"))
		testdest.Must(t, os.Chtimes(src.path("image"), time.Time{}, info.ModTime()))
		wantExit(t, run(t, "backup", src.dir, d.path), 0)
		if diff := difference(t, src.dir, filepath.Join(d.path, "cur")); diff != "" {
			t.Errorf("differs: %s", diff)
		}
	})
}

// eachPatchCall does it to a new DEST for each of the calls that a run makes.
func eachPatchCall(t *testing.T, mount string, src *tree, fault string, do func(t *testing.T, d *dest, i injection)) {
	t.Helper()
	for _, c := range patchCalls {
		t.Run(strings.TrimPrefix(fault, "error=")+" "+c.call, func(t *testing.T) {
			d := patching(t, mount, src)
			n := injection{call: c.call}.count(t, "backup", src.dir, d.path)
			d.wantPatched(t)
			for _, nth := range sample(n, c.limit) {
				t.Run(fmt.Sprint(nth), func(t *testing.T) {
					do(t, patching(t, mount, src), injection{call: c.call, fault: fault, nth: nth})
				})
			}
		})
	}
}

// TestPowerCutWhileBlocksAreCopied cuts the power after each of them.
func TestPowerCutWhileBlocksAreCopied(t *testing.T) {
	t.Parallel()
	src := newImages(t)
	for _, c := range []struct {
		call  string
		limit int
	}{{"pwrite64", 2}, {"utimensat", 2}, {"fallocate", 1}, {"ftruncate", 1}} {
		t.Run(c.call, func(t *testing.T) {
			image := loopfs.NewNested(t, "1G")
			d := patching(t, image.Mount, src)
			n := injection{call: c.call}.count(t, "backup", src.dir, d.path)
			d.wantPatched(t)
			for _, nth := range sample(min(n, 2), c.limit) { // more of utimensat come if zeros were found to punch
				t.Run(fmt.Sprint(nth), func(t *testing.T) {
					d := patching(t, image.Mount, src)
					if !cutAt(t, image, d, src, injection{call: c.call, fault: "signal=SIGSTOP", nth: nth}, "backup", src.dir, d.path) {
						t.Error("the call did not come")
					}
				})
			}
		})
	}
}
