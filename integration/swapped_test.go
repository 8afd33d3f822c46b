//go:build integration

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// sameLook writes two files that rsync cannot tell apart by size and time.
func sameLook(t testing.TB, dirs ...string) {
	t.Helper()
	for i, dir := range dirs {
		testdest.Write(t, dir+"/file", strings.Repeat(string(rune('a'+i)), 5000))
		at := time.Unix(1_000_000_000, 0)
		testdest.Must(t, os.Chtimes(dir+"/file", at, at))
	}
}

// A symlink that leads to another directory than at the last backup is another source: equal sizes and times say
// nothing.
func TestASwitchedSymlinkIsAnotherSource(t *testing.T) {
	t.Parallel()
	dest, src := testdest.New(t, "2G"), t.TempDir()
	sameLook(t, src+"/release1", src+"/release2")
	now := src + "/now"
	testdest.Must(t, os.Symlink("release1", now))
	testdest.Backup(t, now, dest)
	testdest.Must(t, os.Remove(now))
	testdest.Must(t, os.Symlink("release2", now))
	testdest.WantSame(t, src+"/release2", testdest.Backup(t, now, dest))
}

// So is another disk at the same path, also for what an interrupted run left.
func TestPendingOfAnotherDiskIsCompared(t *testing.T) {
	t.Parallel()
	for _, earlier := range []bool{false, true} {
		dest, src := testdest.New(t, "2G"), t.TempDir()
		sameLook(t, src+"/disk1", src+"/disk2")
		at := t.TempDir()
		mount := func(disk string) {
			testdest.Must(t, unix.Mount(src+"/"+disk, at, "", unix.MS_BIND, ""))
		}
		unmount := func() { testdest.Must(t, unix.Unmount(at, unix.MNT_DETACH)) }
		if earlier {
			mount("disk1")
			testdest.Backup(t, at, dest)
			unmount()
		}
		mount("disk2")
		r := invocation{env: fakeRsync(t, `case "$*" in *--version*) exec "$REAL" "$@";; esac; "$REAL" "$@"; exit 20`)}.run(t, "backup", "--force", at, dest)
		if r.Exit == 0 {
			t.Fatalf("the run that rsync failed in: exit 0\n%s", r.Stderr)
		}
		unmount()
		mount("disk1")
		testdest.WantSame(t, src+"/disk1", testdest.Backup(t, at, dest))
		unmount()
	}
}

// What is mounted over a directory hides what the last backup has of it.
func TestOneFileSystemLeavesNothingFromBeforeTheMount(t *testing.T) {
	t.Parallel()
	dest, src := testdest.New(t, "2G"), t.TempDir()
	testdest.Write(t, src+"/mnt/sub/old", "old")
	testdest.Write(t, src+"/file", "file")
	testdest.Backup(t, src, dest)
	testdest.Must(t, unix.Mount("none", src+"/mnt", "tmpfs", 0, "size=1M"))
	t.Cleanup(func() { testdest.Must(t, unix.Unmount(src+"/mnt", unix.MNT_DETACH)) })
	testdest.Write(t, src+"/mnt/new", "new")
	made := testdest.Backup(t, src, dest, "--one-file-system")
	if left, err := os.ReadDir(made + "/mnt"); err != nil || len(left) > 0 {
		t.Errorf("in the mount point: %v, %v", left, err)
	}
	if got := testdest.Read(t, made+"/file"); got != "file" {
		t.Errorf("file: %q", got)
	}
}

// A second pass, after a false alarm of rsync's, writes into links that the first has made.
func TestTheSecondPassSplitsLinksToo(t *testing.T) {
	t.Parallel()
	dest, src := testdest.New(t, "2G"), t.TempDir()
	testdest.Write(t, src+"/a", "1111")
	testdest.Must(t, os.Link(src+"/a", src+"/b"))
	script := `
case "$*" in *--version*) exec "$REAL" "$@";; esac
[ -e %[1]s/passed ] && exec "$REAL" "$@"
"$REAL" "$@" || exit
: > %[1]s/passed
rm %[2]s/b; echo 2222 > %[2]s/b; echo 1111 > %[2]s/a; touch -d @1000000000 %[2]s/a; touch -d @1000000001 %[2]s/b
echo 'rsync: [generator] get_acl: sys_acl_get_file(x, ACL_TYPE_DEFAULT): Permission denied (13)' >&2
exit 23`
	script = strings.NewReplacer("%[1]s", t.TempDir(), "%[2]s", src).Replace(script)
	r := invocation{env: fakeRsync(t, script)}.run(t, "backup", src, dest)
	if r.Exit != 0 {
		t.Fatalf("exit %d\n%s", r.Exit, r.Stderr)
	}
	testdest.WantSame(t, src, filepath.Join(dest, testdest.Current(t, dest)))
	if stats := newest(t, dest, 1).Record.Stats; stats.Transferred != 3 {
		t.Errorf("%d files transferred in both passes, want 3", stats.Transferred)
	}
}

// A subvolume that merely has the name of a backup costs no backup its life.
func TestAForeignSubvolumeIsNoBackup(t *testing.T) {
	t.Parallel()
	dest, src := testdest.New(t, "2G"), t.TempDir()
	testdest.Write(t, src+"/file", "1")
	made := filepath.Base(testdest.Backup(t, src, dest))
	testdest.Tool(t, "btrfs", "subvolume", "create", dest+"/2019-01-01-00:00")
	testdest.Tool(t, "btrfs", "subvolume", "snapshot", "-r", dest+"/"+made, dest+"/2020-01-01-00:00")
	for range 2 {
		r := testbin.Must(t, "prune", dest, "--keep-last=1")
		if len(testdest.Backups(t, dest)) != 3 || testdest.Current(t, dest) != made {
			t.Fatalf("left: %+v, cur %s\n%s%s", testdest.Backups(t, dest), testdest.Current(t, dest), r.Stdout, r.Stderr)
		}
		testbin.Run(t, "verify", dest) // writes down what it found
	}
	testbin.Must(t, "pin", dest, "2019-01-01-00:00")
	testbin.Must(t, "unpin", dest, "2019-01-01-00:00")
	testdest.Write(t, src+"/file", "2")
	testdest.WantSame(t, src, testdest.Backup(t, src, dest))
	testbin.Must(t, "delete", dest, "2019-01-01-00:00", "2020-01-01-00:00", "--force")
}

// rsync takes the rights of the group from the ACL of a directory that becomes sticky in the same run.
func TestStickyDirectoriesKeepTheirACLs(t *testing.T) {
	t.Parallel()
	dest, src := testdest.New(t, "2G"), t.TempDir()
	sticky := func(dir, group string) {
		testdest.MakeDir(t, dir)
		testdest.Tool(t, "setfacl", "-m", "u:1000:-,g::"+group+",m::rwx,o::rwx", dir)
		testdest.Tool(t, "chmod", "+t", dir)
	}
	sticky(src, "rwx")
	sticky(src+"/new", "r-x")
	sticky(src+"/none", "---")
	testdest.Write(t, src+"/new/file", "1")
	testdest.MakeDir(t, src+"/becomes")
	first := testdest.Backup(t, src, dest)
	testdest.WantSame(t, src, first)
	sticky(src+"/becomes", "rwx")
	second := testdest.Backup(t, src, dest)
	testdest.WantSame(t, src, second)
	target := dest + "-restored"
	testbin.Must(t, "restore", dest, "latest", "--no-reflink", "-t", target)
	testdest.WantSame(t, second, target)
	// With --checksum rsync looks at everything, however young it is.
	r := invocation{env: fakeRsync(t, `echo run >&2; exec "$REAL" "$@"`)}.must(t, "backup", src, dest, "--checksum")
	if n := strings.Count(r.Stderr, "says=run"); n != 1 {
		t.Errorf("an unchanged run: rsync ran %d times\n%s", n, r.Stderr)
	}
}

// SRC is "/", below which names have one slash only. The root is a tmpfs with the programs of the machine mounted in
// it.
func TestTheRootDirectoryOnOneFilesystem(t *testing.T) {
	t.Parallel()
	disk, root := loopfs.New(t, "512M"), t.TempDir()
	testdest.Must(t, unix.Mount("none", root, "tmpfs", 0, "size=32M"))
	t.Cleanup(func() { testdest.Must(t, unix.Unmount(root, unix.MNT_DETACH)) })
	for _, dir := range []string{"usr", "proc", "dev", "disk"} {
		testdest.MakeDir(t, root+"/"+dir)
		testdest.Must(t, unix.Mount(map[bool]string{true: disk, false: "/" + dir}[dir == "disk"], root+"/"+dir, "", unix.MS_BIND, ""))
	}
	for _, link := range []string{"bin", "lib", "lib64"} {
		testdest.Must(t, os.Symlink("usr/"+link, root+"/"+link))
	}
	testdest.Write(t, root+"/etc/file", "1")
	// Not a copy: a process that another test starts just then would hold it open for writing (ETXTBSY).
	testdest.Write(t, root+"/tool", "")
	testdest.Must(t, unix.Mount(testbin.Path(t), root+"/tool", "", unix.MS_BIND, ""))
	inside := func(args ...string) {
		t.Helper()
		cmd := exec.Command("/tool", args...)
		cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Chroot: root}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	inside("init", "/disk")
	for range 2 {
		inside("backup", "--one-file-system", "/", "/disk")
		made := filepath.Join(disk, testdest.Current(t, disk))
		if left, err := os.ReadDir(made + "/usr"); err != nil || len(left) > 0 || testdest.Read(t, made+"/etc/file") != "1" {
			t.Errorf("in usr: %v, %v", left, err)
		}
	}
}
