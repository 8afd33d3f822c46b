//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// userDisk returns a source and an initialised destination that belong to an ordinary user, on a plain mount: without
// user_subvol_rm_allowed the kernel lets nobody but root delete a subvolume.
func userDisk(t testing.TB) (user invocation, src, dest string) {
	t.Helper()
	disk := loopfs.New(t, "512M")
	user = invocation{uid: nobody, dir: "/", env: []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}}
	src, dest = disk+"/src", disk+"/dest"
	for _, dir := range []string{src, dest} {
		testdest.MakeDir(t, dir)
		testdest.Must(t, os.Chown(dir, nobody, nobody))
	}
	user.must(t, "init", dest)
	return user, src, dest
}

func own(t testing.TB, name string) {
	t.Helper()
	testdest.Tool(t, "chown", "-hR", "65534:65534", name)
}

func TestAnOrdinaryUserHasTheWholeCycle(t *testing.T) {
	t.Parallel()
	user, src, dest := userDisk(t)
	testdest.Write(t, src+"/plain", "plain")
	testdest.Write(t, src+"/read only/file", "one")
	testdest.Write(t, src+"/shared", strings.Repeat("shared", 10_000))
	testdest.Must(t, os.Link(src+"/shared", src+"/read only/shared"))
	testdest.Must(t, os.Symlink("plain", src+"/link"))
	testdest.Tool(t, "setfattr", "-n", "user.note", "-v", "x", src+"/plain")
	testdest.Tool(t, "setfacl", "-m", "u:4711:r--", src+"/plain")
	lock := func() {
		own(t, src)
		testdest.Must(t, os.Chmod(src+"/read only/file", 0o444))
		testdest.Must(t, os.Chmod(src+"/shared", 0o444))
		testdest.Must(t, os.Chmod(src+"/read only", 0o555))
	}
	lock()
	user.must(t, "backup", src, dest)
	first := filepath.Join(dest, testdest.Current(t, dest))
	testdest.WantSame(t, src, first)

	// A file of mode 0444 cannot be opened for writing, and in a directory of mode 0555 no new one can be made, not
	// even by their owner.
	overwrite(t, src+"/read only/file", 0, "two")
	testdest.Write(t, src+"/read only/new", "new")
	testdest.Must(t, os.Remove(src+"/read only/shared"))
	testdest.Write(t, src+"/read only/shared", strings.Repeat("parted", 10_000))
	testdest.Must(t, os.Remove(src+"/plain"))
	lock()
	user.must(t, "backup", src, dest)
	second := filepath.Join(dest, testdest.Current(t, dest))
	testdest.WantSame(t, src, second)
	if got := testdest.Read(t, first+"/read only/file"); got != "one" {
		t.Errorf("the first backup changed: %q", got)
	}

	testdest.Must(t, os.RemoveAll(src+"/read only"))
	user.must(t, "backup", src, dest)
	testdest.WantSame(t, src, filepath.Join(dest, testdest.Current(t, dest)))
	if got := user.must(t, "list", dest).Stdout; !strings.Contains(got, filepath.Base(second)) || !strings.Contains(got, "3 backups") {
		t.Errorf("list: %s", got)
	}
	wantReadOnly(t, second)
	wantTidy(t, dest)
	newest(t, dest, 3)
	if n := strings.Count(testdest.Tool(t, "btrfs", "subvolume", "list", dest), "ID "); n != 4 {
		t.Errorf("%d subvolumes, want 3 backups and .log", n)
	}
}

func TestUnreadableFilesOfAnOrdinaryUserAreReported(t *testing.T) {
	t.Parallel()
	user, src, dest := userDisk(t)
	testdest.Write(t, src+"/open", "open")
	testdest.Write(t, src+"/closed/inside/file", "inside")
	own(t, src)
	user.must(t, "backup", src, dest)
	whole := testdest.Current(t, dest)

	testdest.Must(t, os.Chmod(src+"/closed", 0))
	testdest.Write(t, src+"/secret", "secret")
	own(t, src)
	testdest.Must(t, os.Chmod(src+"/secret", 0))
	r := user.run(t, "backup", src, dest)
	if r.Exit != 3 {
		t.Errorf("exit %d, want 3", r.Exit)
	}
	if !strings.Contains(r.Stderr, "hint: root can read everything: sudo rsbtbackup backup") {
		t.Errorf("no hint how to get a complete one:\n%s", r.Stderr)
	}
	incomplete := newest(t, dest, 2)
	if incomplete.Status != "incomplete" || incomplete.Current || testdest.Current(t, dest) != whole {
		t.Errorf("%+v is current: %v", incomplete, testdest.Current(t, dest))
	}
	if got := user.must(t, "list", dest).Stdout; strings.Count(got, "incomplete") != 1 {
		t.Errorf("list does not show which one is incomplete:\n%s", got)
	}

	// The last backup has a directory of mode 0 now that its owner cannot enter.
	for _, name := range []string{"/closed", "/secret"} {
		testdest.Must(t, os.Chmod(src+name, 0o755))
	}
	testdest.Write(t, src+"/closed/inside/file", "changed")
	own(t, src)
	user.must(t, "backup", src, dest)
	testdest.WantSame(t, src, filepath.Join(dest, testdest.Current(t, dest)))
	wantTidy(t, dest)
}

// rsync does not undo the preparation of pending in a directory that it cannot read.
func TestAnUnreadDirectoryKeepsWhatTheLastBackupHas(t *testing.T) {
	t.Parallel()
	user, src, dest := userDisk(t)
	testdest.Write(t, src+"/closed/dir/file", "inside")
	testdest.Write(t, src+"/closed/suid", "inside")
	testdest.Must(t, os.Link(src+"/closed/suid", src+"/closed/link"))
	testdest.Must(t, unix.Mkfifo(src+"/closed/fifo", 0o600))
	own(t, src)
	testdest.Must(t, os.Chmod(src+"/closed/suid", 0o755|os.ModeSetuid))
	user.must(t, "backup", src, dest)

	testdest.Must(t, os.Chmod(src+"/closed", 0))
	r := user.run(t, "backup", src, dest)
	if r.Exit != 3 || !strings.Contains(r.Stderr, "hard links, set-id bits and devices") {
		t.Errorf("exit %d\n%s", r.Exit, r.Stderr)
	}
	closed := filepath.Join(dest, newest(t, dest, 2).Name, "closed")
	if got := strings.Join(testdest.Entries(t, closed), " "); got != "dir fifo link suid" || testdest.Read(t, closed+"/dir/file") != "inside" {
		t.Errorf("the unread directory has %q", got)
	}

	testdest.Must(t, os.Chmod(src+"/closed", 0o755))
	user.must(t, "backup", src, dest)
	testdest.WantSame(t, src, filepath.Join(dest, testdest.Current(t, dest)))
}

func TestAnOrdinaryUserMayNotReadTheSource(t *testing.T) {
	t.Parallel()
	user, src, dest := userDisk(t)
	testdest.Must(t, os.Chmod(src, 0))
	before := everything(t, src)
	r := user.run(t, "backup", src, dest)
	if r.Exit != 12 {
		t.Errorf("exit %d, want 12", r.Exit)
	}
	wantOneErrorLine(t, r, src, "permission denied")
	if !strings.Contains(hintsOf(r), "sudo rsbtbackup") {
		t.Errorf("hints %q, want sudo", hintsOf(r))
	}
	if got := everything(t, src); got != before {
		t.Errorf("something changed:\n%s\nwas\n%s", got, before)
	}
	wantTidy(t, dest)

	r = user.run(t, "backup", "/usr/lib/os-release", dest)
	if r.Exit != 12 {
		t.Errorf("SRC a file: exit %d, want 12", r.Exit)
	}
}

// Where an ordinary user fails, the hint says sudo: after that the user must be able to go on.
func TestRootAndAnOrdinaryUserTakeTurns(t *testing.T) {
	t.Parallel()
	user, src, dest := userDisk(t)
	root := invocation{dir: "/"}
	testdest.Must(t, os.Remove(dest+"/.log/activity.log"))
	for i, who := range []invocation{root, user, root, user, user} {
		testdest.Write(t, src+"/file", strings.Repeat("x", i))
		own(t, src)
		who.must(t, "backup", src, dest)
		testdest.WantSame(t, src, filepath.Join(dest, testdest.Current(t, dest)))
		who.must(t, "pin", dest, "latest")
	}
	newest(t, dest, 5)
	log := testdest.Read(t, dest+"/.log/activity.log")
	if n := strings.Count(log, "backup finished"); n != 5 {
		t.Errorf("the log tells of %d backups, want 5:\n%s", n, log)
	}
}

func TestTheBackupsOfRootAreClosedToOthers(t *testing.T) {
	t.Parallel()
	user, src, _ := userDisk(t)
	dest := testdest.New(t, "2G")
	testdest.Write(t, src+"/file", "x")
	testdest.Backup(t, src, dest)
	for _, args := range [][]string{{"list", dest}, {"backup", src, dest}, {"init", dest}} {
		r := user.run(t, args...)
		if r.Exit != 1 {
			t.Errorf("%q: exit %d, want 1", args, r.Exit)
		}
		wantOneErrorLine(t, r, dest, "permission denied")
	}
	newest(t, dest, 1)
}

// For an unreadable file rsync runs a second time as an ordinary user. Together the two runs may delete no more than
// one.
func TestASecondRunDeletesNoMoreThanAllowed(t *testing.T) {
	t.Parallel()
	user, src, dest := userDisk(t)
	for i := range 20 {
		testdest.Write(t, fmt.Sprint(src, "/", i), "1")
	}
	own(t, src)
	user.must(t, "backup", src, dest)
	for i := range 6 {
		testdest.Must(t, os.Remove(fmt.Sprint(src, "/", i)))
	}
	testdest.Write(t, src+"/unreadable", "1")
	testdest.Must(t, os.Chmod(src+"/unreadable", 0o600))
	if r := user.run(t, "backup", src, dest, "--max-delete-percent=20"); r.Exit != 13 {
		t.Errorf("exit %d, want 13\n%s", r.Exit, r.Stderr)
	}
	newest(t, dest, 1)
}

// rsync skips a device that it may not create, and exits with 0: an older file would stay, without a message.
func TestAnOrdinaryUserIsWarnedAboutDevices(t *testing.T) {
	t.Parallel()
	user, src, dest := userDisk(t)
	testdest.Write(t, src+"/file", "secret")
	testdest.Write(t, src+"/dir/file", "secret")
	own(t, src)
	user.must(t, "backup", src, dest)
	testdest.Must(t, os.RemoveAll(src+"/dir"))
	testdest.Must(t, os.Remove(src+"/file"))
	for _, name := range []string{"file", "dir", "new\nline"} {
		testdest.Must(t, unix.Mknod(src+"/"+name, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	}
	own(t, src)
	if r := user.run(t, "backup", src, dest, "--partial=refuse"); r.Exit == 0 || r.Exit == 3 {
		t.Errorf("refused: exit %d\n%s", r.Exit, r.Stderr)
	}
	r := user.run(t, "backup", src, dest)
	made := newest(t, dest, 2)
	if left, err := os.ReadDir(dest + "/" + made.Name); r.Exit != 3 || err != nil || len(left) > 0 || !strings.Contains(r.Stderr, `"new\nline"`) {
		t.Errorf("exit %d, left: %v, %v\n%s", r.Exit, left, err, r.Stderr)
	}

	invocation{}.must(t, "backup", src, dest)
	target := filepath.Dir(dest) + "/target"
	testdest.MakeDir(t, target)
	testdest.Must(t, os.Chown(target, nobody, nobody))
	if r := user.run(t, "restore", dest, "latest", "-t", target); r.Exit != 3 {
		t.Errorf("restore: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
}
