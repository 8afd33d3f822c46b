//go:build integration

package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

const bigFile = 32 << 20

// oldBackup adds what both predecessors made: a writable subvolume, a snapshot of the one before, under a name to the
// second, and cur.
func oldBackup(t testing.TB, src, dest, name string) {
	t.Helper()
	path := filepath.Join(dest, name)
	if testdest.Exists(dest + "/cur") {
		testdest.Tool(t, "btrfs", "subvolume", "snapshot", dest+"/cur/", path)
		testdest.Must(t, os.Remove(dest+"/cur"))
	} else {
		testdest.Tool(t, "btrfs", "subvolume", "create", path)
	}
	testdest.Tool(t, "rsync", "-aHAX", "--inplace", "--no-whole-file", "--delete", "--", src+"/", path+"/")
	testdest.Must(t, os.Symlink(name, dest+"/cur"))
}

func oldSource(t testing.TB) string {
	t.Helper()
	src := t.TempDir()
	addOddities(t, src)
	testdest.Tool(t, "dd", "if=/dev/urandom", "of="+src+"/big", "bs=1M", "count=32", "status=none")
	return src
}

// rsbtbackupDir is a destination as RsbtBackup 1.1 left it when it was killed in its third backup.
func rsbtbackupDir(t testing.TB, src string) string {
	t.Helper()
	dest := filepath.Join(loopfs.New(t, "1G"), "dest")
	testdest.MakeDir(t, dest)
	testdest.Tool(t, "btrfs", "subvolume", "create", dest+"/.log")
	testdest.Must(t, os.Chmod(dest+"/.log", 0o755))
	testdest.Write(t, dest+"/.log/rsbtbackup", "")
	testdest.Write(t, dest+"/.log/activity.log", "2020-01-01 09:00:00,000 INFO Backup started\n")
	oldBackup(t, src, dest, "2020-01-01-09:00:00")
	testdest.Write(t, src+"/odd/zero", "second")
	oldBackup(t, src, dest, "2020-01-02-09:00:00")
	testdest.Tool(t, "btrfs", "subvolume", "snapshot", dest+"/cur/", dest+"/pending")
	return dest
}

// rsyncbtrfsDir is a destination of rsyncbtrfs, with the work of a run that failed.
func rsyncbtrfsDir(t testing.TB, src string) string {
	t.Helper()
	dest := filepath.Join(loopfs.New(t, "1G"), "dest")
	testdest.MakeDir(t, dest)
	testdest.Write(t, dest+"/.rsyncbtrfs", "")
	oldBackup(t, src, dest, "2020-01-01-09:00:00")
	testdest.Write(t, src+"/odd/zero", "second")
	oldBackup(t, src, dest, "2020-01-02-09:00:00")
	testdest.MakeDir(t, dest+"/.inprog-aB3xY9z")
	testdest.Tool(t, "btrfs", "subvolume", "snapshot", dest+"/cur/", dest+"/.inprog-aB3xY9z/vol")
	testdest.Write(t, dest+"/.inprog-aB3xY9z/vol/half", "half")
	return dest
}

func TestADirectoryOfRsbtBackupOpensUnchanged(t *testing.T) {
	t.Parallel()
	src := oldSource(t)
	dest := rsbtbackupDir(t, src)
	wantOldDirectoryGoesOn(t, src, dest, "RsbtBackup")
	if got := testdest.Read(t, dest+"/.log/rsbtbackup"); got != "" {
		t.Errorf("the marker was changed to %q", got)
	}
	log := testdest.Read(t, dest+"/.log/activity.log")
	if !strings.HasPrefix(log, "2020-01-01 09:00:00,000 INFO Backup started\n") || strings.Count(log, "\n") < 2 {
		t.Errorf("the log was not continued: %q", log)
	}
	wantMode(t, dest+"/.log", 0o700)
	wantTidy(t, dest)
}

func TestADirectoryOfRsyncbtrfsIsAdopted(t *testing.T) {
	t.Parallel()
	src := oldSource(t)
	dest := rsyncbtrfsDir(t, src)
	if r := testbin.Run(t, "backup", src, dest); r.Exit != 10 {
		t.Errorf("backup before init: exit %d, want 10", r.Exit)
	}
	unfinished := everything(t, dest+"/.inprog-aB3xY9z")
	wantOldDirectoryGoesOn(t, src, dest, "rsyncbtrfs")
	if got := everything(t, dest+"/.inprog-aB3xY9z"); clean(got) != clean(unfinished) {
		t.Errorf("the unfinished work of rsyncbtrfs was touched:\n%s\nwas\n%s", got, unfinished)
	}
	if got := testdest.Read(t, dest+"/.rsyncbtrfs"); got != "" {
		t.Errorf("the marker of rsyncbtrfs was changed to %q", got)
	}
}

// clean leaves out the list of subvolumes, which is that of the whole file system.
func clean(listing string) string {
	before, _, _ := strings.Cut(listing, "\nID ")
	return before
}

func wantOldDirectoryGoesOn(t *testing.T, src, dest, adopted string) {
	t.Helper()
	old := []string{dest + "/2020-01-01-09:00:00", dest + "/2020-01-02-09:00:00"}
	before := describeAll(t, old)
	r := testbin.Must(t, "init", "--json", dest)
	var said struct {
		Adopted string
		Backups int
	}
	testdest.Must(t, json.Unmarshal([]byte(r.Stdout), &said))
	if said.Adopted != adopted || said.Backups != 2 {
		t.Errorf("init said %s, want 2 backups adopted from %s", r.Stdout, adopted)
	}
	if got := describeAll(t, old); got != before {
		t.Errorf("init changed old backups:\n%s\nwas\n%s", got, before)
	}

	space := testdest.Used(t, dest)
	overwrite(t, src+"/big", bigFile/2, "edited")
	made := testdest.Backup(t, src, dest)
	testdest.WantSame(t, src, made)
	wantReadOnly(t, made)
	if b := newest(t, dest, 3); b.Record.Base != filepath.Base(old[1]) {
		t.Errorf("the first backup of ours is based on %q, want %s", b.Record.Base, filepath.Base(old[1]))
	}
	if added := testdest.Used(t, dest) - space; added > bigFile/8 {
		t.Errorf("it shares nothing: %d bytes added", added)
	}
	if got := describeAll(t, old); got != before {
		t.Errorf("a backup changed old ones:\n%s\nwas\n%s", got, before)
	}
	for _, name := range old {
		if !strings.Contains(testbin.Must(t, "list", dest).Stdout, filepath.Base(name)) {
			t.Errorf("list does not show %s", name)
		}
	}
	testdest.WantSame(t, src, testdest.Backup(t, src, dest))
}

func describeAll(t testing.TB, dirs []string) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range dirs {
		all.WriteString(testdest.Tool(t, "find", dir, "-printf", "%i %y %m %U:%G %n %s %T@ %C@ %p -> %l\n"))
		all.WriteString(testdest.Tool(t, "btrfs", "property", "get", "-ts", dir, "ro"))
	}
	return all.String()
}

// A power cut may have damaged a pending that RsbtBackup left: sizes and times may be those of the source over old
// data.
func TestAPendingOfUnknownOriginIsNotBelieved(t *testing.T) {
	t.Parallel()
	src := oldSource(t)
	dest := rsbtbackupDir(t, src)
	info, err := os.Stat(src + "/odd/deep/er/and/deeper/file")
	testdest.Must(t, err)
	lie := dest + "/pending/odd/deep/er/and/deeper/file"
	overwrite(t, lie, 0, "lies")
	testdest.Must(t, os.Chtimes(lie, time.Now(), info.ModTime()))
	testbin.Must(t, "init", dest)
	testdest.WantSame(t, src, testdest.Backup(t, src, dest))
	wantTidy(t, dest)
}

func TestInitTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	testdest.Write(t, src+"/file", "x")
	dest := testdest.New(t, "2G")
	testdest.Backup(t, src, dest)
	before := everything(t, dest)
	testbin.Must(t, "init", dest)
	if got := everything(t, dest); got != before {
		t.Errorf("the second init changed something:\n%s\nwas\n%s", got, before)
	}
}

func wantMode(t testing.TB, name string, want uint32) {
	t.Helper()
	var st unix.Stat_t
	testdest.Must(t, unix.Lstat(name, &st))
	if got := uint32(st.Mode) & 0o7777; got != want {
		t.Errorf("%s has mode %04o, want %04o", name, got, want)
	}
}
