//go:build integration

package outside

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// A tree may be deeper than a process may have files open, for every verb that walks one.
func TestADeepTreeAndFewOpenFiles(t *testing.T) {
	t.Parallel()
	src, dest := newSource(t), testdest.New(t, "1G")
	const depth = 150
	dir := src
	for i := range depth {
		testdest.Write(t, filepath.Join(dir, "file"), fmt.Sprint(i))
		testdest.Must(t, os.Link(filepath.Join(dir, "file"), filepath.Join(dir, "link")))
		dir = filepath.Join(dir, "d")
		testdest.Must(t, os.Mkdir(dir, 0o755))
	}
	few := []string{"timeout", "300", "prlimit", "--nofile=180:180", "--"}
	target := filepath.Join(filepath.Dir(dest), "target")
	for i, args := range [][]string{
		{"backup", src, dest}, {"backup", src, dest, "-x"}, {"backup", src, dest}, {"verify", dest, "latest", "--against", src},
		{"diff", dest, "latest~1", "latest"}, {"verify", dest}, {"restore", dest, "latest", "-t", target},
		{"restore", dest, "latest", "-t", target, "--overwrite=if-changed", "--delete"},
	} {
		if r := through(t, few, args...); r.Exit != 0 {
			t.Errorf("%d %q: exit %d\n%s%s", i, args, r.Exit, r.Stdout, r.Stderr)
		}
		if i < 2 {
			testdest.Write(t, filepath.Join(dir, "new"), fmt.Sprint(i))
		}
	}
}

// The same of the verbs that read and remove, run by an ordinary user, who removes a backup entry by entry.
func TestADeepTreeOfAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	src, dest := ofNobody(t, "512M")
	dir := src
	for range 150 {
		dir = filepath.Join(dir, "d")
		testdest.Write(t, filepath.Join(dir, "file"), "x")
	}
	testdest.Tool(t, "chown", "-R", "65534:65534", src)
	few := append([]string{"timeout", "300", "prlimit", "--nofile=180:180", "--"}, nobody...)
	rel, err := filepath.Rel(src, dir)
	testdest.Must(t, err)
	for _, args := range [][]string{
		{"init", dest}, {"backup", src, dest}, {"backup", src, dest}, {"history", dest, rel + "/file"}, {"history", dest, "d"},
		{"ls", dest, "latest", rel}, {"ls", "-R", dest, "latest", "d"}, {"diff", dest, "latest~1", "latest"}, {"delete", dest, "latest~1"}, {"check", dest}, {"list", dest},
	} {
		if r := through(t, few, args...); r.Exit != 0 && args[0] != "check" {
			t.Errorf("%q: exit %d\n%s%s", args, r.Exit, r.Stdout, r.Stderr)
		}
	}
	left, err := os.ReadDir(dest)
	testdest.Must(t, err)
	for _, e := range left {
		if strings.HasPrefix(e.Name(), ".deleting") {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// A backup may be started in a deleted directory.
func TestTheWorkingDirectoryWasDeleted(t *testing.T) {
	t.Parallel()
	src, dest := newSource(t), testdest.New(t, "256M")
	testdest.Write(t, filepath.Join(src, "file"), "x")
	gone := t.TempDir()
	in := func(args ...string) (string, error) {
		script := `cd "$1" && rmdir "$1" && shift && exec "$@"`
		testdest.Must(t, os.MkdirAll(gone, 0o755))
		out, err := exec.Command("sh", append([]string{"-c", script, "sh", gone, testbin.Path(t)}, args...)...).CombinedOutput()
		return string(out), err
	}
	for _, args := range [][]string{{"backup", src, dest}, {"restore", dest, "latest", "-t", filepath.Join(t.TempDir(), "new")}, {"verify", dest, "latest", "--against", src}} {
		if out, err := in(args...); err != nil {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
	for _, args := range [][]string{{"list", "relative"}, {"backup", ".", dest}, {"restore", dest, "latest", "-t", "relative"}} {
		if out, err := in(args...); err == nil || !strings.Contains(out, "the working directory was deleted") {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
	testdest.WantSame(t, src, testdest.CurrentPath(t, dest))
}

// --one-file-system leaves automount points alone: looking at one must not mount it.
func TestSurveyingMountsNothing(t *testing.T) {
	t.Parallel()
	src, dest := newSource(t), testdest.New(t, "256M")
	testdest.Write(t, filepath.Join(src, "file"), "x")
	asked := automount(t, filepath.Join(src, "auto"))
	backup(t, 0, src, dest, "-x")
	backup(t, 0, src, dest, "-x")
	if n := asked(); n != 0 {
		t.Errorf("autofs was asked to mount %d times", n)
	}
}

// automount makes an automount point of its own and returns how often somebody wanted it mounted. Each time that fails
// at once.
func automount(t *testing.T, point string) func() int {
	t.Helper()
	testdest.Must(t, os.Mkdir(point, 0o755))
	requests, kernel, err := os.Pipe()
	testdest.Must(t, err)
	options := fmt.Sprintf("fd=%d,pgrp=%d,minproto=5,maxproto=5,direct", kernel.Fd(), unix.Getpgrp())
	// The kernel lets the process group of the daemon in without asking; the command gets another one.
	testdest.Must(t, unix.Mount("test", point, "autofs", 0, options))
	top, err := os.Open(point)
	testdest.Must(t, err)
	count := make(chan int, 1)
	go func() {
		n := 0
		defer func() { count <- n }()
		packet := make([]byte, 304)
		for {
			if _, err := requests.Read(packet); err != nil {
				return
			}
			n++
			token := binary.NativeEndian.Uint32(packet[8:])
			_ = unix.IoctlSetInt(int(top.Fd()), 0x9361, int(token)) // AUTOFS_IOC_FAIL
		}
	}()
	unmounted := false
	unmount := func() {
		if !unmounted {
			unmounted = true
			top.Close()
			testdest.Must(t, unix.Unmount(point, unix.MNT_DETACH))
			kernel.Close()
			requests.Close()
		}
	}
	t.Cleanup(unmount)
	return func() int {
		unmount()
		select {
		case n := <-count:
			return n
		case <-time.After(10 * time.Minute):
			t.Fatal("the pipe of autofs does not end")
			return 0
		}
	}
}

// A fifo under the name of a file of rules would keep rsync, and the lock, forever.
func TestAFifoAsFileOfRules(t *testing.T) {
	t.Parallel()
	src, dest := newSource(t), testdest.New(t, "256M")
	testdest.Write(t, filepath.Join(src, "sub", "file"), "x")
	testdest.Write(t, filepath.Join(src, "kept"), "x")
	testdest.Must(t, unix.Mkfifo(filepath.Join(src, "sub", ".rsync-filter"), 0o600))
	testdest.Must(t, unix.Mkfifo(filepath.Join(src, "sub", ".mine"), 0o600))
	outside := filepath.Join(t.TempDir(), "rules")
	testdest.Must(t, unix.Mkfifo(outside, 0o600))
	for _, args := range [][]string{
		{"--", "-F"}, {"--", "-FF"}, {"--filter=: .rsync-filter"}, {"--filter=dir-merge,- .mine"}, {"--filter=:n- .mine"}, {"--", "-f", ": .mine"},
		{"--exclude-from=" + outside}, {"--filter=. " + outside}, {"-n", "--", "-F"},
	} {
		r := through(t, []string{"timeout", "600"}, append([]string{"backup", src, dest}, args...)...)
		if r.Exit != 2 {
			t.Errorf("%q: exit %d, want 2\n%s", args, r.Exit, r.Stderr)
		}
		wantSaid(t, r, "not a regular file")
	}
	backup(t, 0, src, dest) // no rules, no harm
	backup(t, 0, src, dest, "--exclude=/sub", "--filter=: .elsewhere")
}

// A target that cannot keep the times of the files is named: the next restore takes every file for changed.
func TestRestoreToCoarseTimes(t *testing.T) {
	t.Parallel()
	src, dest := newSource(t), testdest.New(t, "256M")
	testdest.Write(t, filepath.Join(src, "sub", "file"), "x")
	testdest.Must(t, os.Chtimes(filepath.Join(src, "sub", "file"), time.Time{}, time.Unix(1700000001, 123456789)))
	backup(t, 0, src, dest)
	old := loopfs.NewImage(t, "64M", "ext4")
	old.Unmount(t)
	testdest.Tool(t, "mkfs.ext4", "-q", "-F", "-I", "128", old.Image)
	old.Remount(t)
	r := testbin.Must(t, "restore", dest, "latest", "-t", filepath.Join(old.Mount, "new"))
	wantSaid(t, r, "keeps times to 1 s only")
	good := loopfs.NewFS(t, "64M", "ext4")
	r = testbin.Must(t, "restore", dest, "latest", "-t", filepath.Join(good, "new"))
	if strings.Contains(r.Stderr, "times") {
		t.Errorf("said of a target that keeps them:\n%s", r.Stderr)
	}
}

// A target that cannot store a date is reported too.
func TestRestoreToShortTimes(t *testing.T) {
	t.Parallel()
	src, dest := newSource(t), testdest.New(t, "256M")
	testdest.Write(t, filepath.Join(src, "file"), "x")
	testdest.Must(t, os.Chtimes(filepath.Join(src, "file"), time.Time{}, time.Unix(4102444800, 0)))
	backup(t, 0, src, dest)
	old := loopfs.NewImage(t, "64M", "ext4")
	old.Unmount(t)
	testdest.Tool(t, "mkfs.ext4", "-q", "-F", "-I", "128", old.Image)
	old.Remount(t)
	r := testbin.Must(t, "restore", dest, "latest", "-t", filepath.Join(old.Mount, "new"))
	wantSaid(t, r, "2038")
}

// A notice names /proc and /sys below SRC, unless they are left out: /proc/kcore alone has 128 TiB.
func TestFilesystemsOfTheKernelBelowTheSource(t *testing.T) {
	t.Parallel()
	src, dest := newSource(t), testdest.New(t, "256M")
	testdest.Write(t, filepath.Join(src, "file"), "x")
	point := filepath.Join(src, "srv", "proc")
	testdest.Must(t, os.MkdirAll(point, 0o755))
	testdest.Tool(t, "mount", "-t", "proc", "proc", point)
	t.Cleanup(func() { testdest.Tool(t, "umount", point) })
	const says = "below SRC are filesystems of the kernel, of which a copy fails or never ends: srv/proc; to leave them out: -x, or --exclude=/srv/proc\n"
	wantSaid(t, testbin.Run(t, "backup", "-n", src, dest), says)
	for _, flag := range []string{"-x", "--exclude=/srv/proc", "--exclude=/srv/proc/*", "--filter=- /srv/proc/***"} {
		if r := backup(t, 0, src, dest, flag); strings.Contains(r.Stderr, "kernel") {
			t.Errorf("%s: %s", flag, r.Stderr)
		}
	}
}
