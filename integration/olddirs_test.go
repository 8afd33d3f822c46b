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
	"golang.org/x/sys/unix"
)

const bigFile = 32 << 20

// oldBackup adds what both predecessors made: a writable subvolume, a snapshot of the one before,
// under a name to the second, and cur.
func oldBackup(t testing.TB, src, dest, name string) {
	t.Helper()
	path := filepath.Join(dest, name)
	if exists(dest + "/cur") {
		tool(t, "btrfs", "subvolume", "snapshot", dest+"/cur/", path)
		check(t, os.Remove(dest+"/cur"))
	} else {
		tool(t, "btrfs", "subvolume", "create", path)
	}
	tool(t, "rsync", "-aHAX", "--inplace", "--no-whole-file", "--delete", "--", src+"/", path+"/")
	check(t, os.Symlink(name, dest+"/cur"))
}

func oldSource(t testing.TB) string {
	t.Helper()
	src := t.TempDir()
	addOddities(t, src)
	tool(t, "dd", "if=/dev/urandom", "of="+src+"/big", "bs=1M", "count=32", "status=none")
	return src
}

// rsbtbackupDir is a destination as RsbtBackup 1.1 left it when it was killed in its third backup.
func rsbtbackupDir(t testing.TB, src string) string {
	t.Helper()
	dest := filepath.Join(loopfs.New(t, "1G"), "dest")
	makeDir(t, dest)
	tool(t, "btrfs", "subvolume", "create", dest+"/.log")
	check(t, os.Chmod(dest+"/.log", 0o755))
	write(t, dest+"/.log/rsbtbackup", "")
	write(t, dest+"/.log/activity.log", "2020-01-01 09:00:00,000 INFO Backup started\n")
	oldBackup(t, src, dest, "2020-01-01-09:00:00")
	write(t, src+"/odd/zero", "second")
	oldBackup(t, src, dest, "2020-01-02-09:00:00")
	tool(t, "btrfs", "subvolume", "snapshot", dest+"/cur/", dest+"/pending")
	return dest
}

// rsyncbtrfsDir is a destination of rsyncbtrfs, with the work of a run that failed.
func rsyncbtrfsDir(t testing.TB, src string) string {
	t.Helper()
	dest := filepath.Join(loopfs.New(t, "1G"), "dest")
	makeDir(t, dest)
	write(t, dest+"/.rsyncbtrfs", "")
	oldBackup(t, src, dest, "2020-01-01-09:00:00")
	write(t, src+"/odd/zero", "second")
	oldBackup(t, src, dest, "2020-01-02-09:00:00")
	makeDir(t, dest+"/.inprog-aB3xY9z")
	tool(t, "btrfs", "subvolume", "snapshot", dest+"/cur/", dest+"/.inprog-aB3xY9z/vol")
	write(t, dest+"/.inprog-aB3xY9z/vol/half", "half")
	return dest
}

func TestADirectoryOfRsbtBackupOpensUnchanged(t *testing.T) {
	t.Parallel()
	src := oldSource(t)
	dest := rsbtbackupDir(t, src)
	wantOldDirectoryGoesOn(t, src, dest, "RsbtBackup")
	if got := read(t, dest+"/.log/rsbtbackup"); got != "" {
		t.Errorf("the marker was changed to %q", got)
	}
	log := read(t, dest+"/.log/activity.log")
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
	if got := read(t, dest+"/.rsyncbtrfs"); got != "" {
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
	check(t, json.Unmarshal([]byte(r.Stdout), &said))
	if said.Adopted != adopted || said.Backups != 2 {
		t.Errorf("init said %s, want 2 backups adopted from %s", r.Stdout, adopted)
	}
	if got := describeAll(t, old); got != before {
		t.Errorf("init changed old backups:\n%s\nwas\n%s", got, before)
	}

	space := used(t, dest)
	overwrite(t, src+"/big", bigFile/2, "edited")
	made := backup(t, src, dest)
	wantSame(t, src, made)
	wantReadOnly(t, made)
	if b := newest(t, dest, 3); b.Record.Base != filepath.Base(old[1]) {
		t.Errorf("the first backup of ours is based on %q, want %s", b.Record.Base, filepath.Base(old[1]))
	}
	if added := used(t, dest) - space; added > bigFile/8 {
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
	wantSame(t, src, backup(t, src, dest))
}

func describeAll(t testing.TB, dirs []string) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range dirs {
		all.WriteString(tool(t, "find", dir, "-printf", "%i %y %m %U:%G %n %s %T@ %C@ %p -> %l\n"))
		all.WriteString(tool(t, "btrfs", "property", "get", "-ts", dir, "ro"))
	}
	return all.String()
}

// Of a pending that RsbtBackup left nobody knows what a power cut made of it: sizes and times may
// be those of the source over old bytes.
func TestAPendingOfUnknownOriginIsNotBelieved(t *testing.T) {
	t.Parallel()
	src := oldSource(t)
	dest := rsbtbackupDir(t, src)
	info, err := os.Stat(src + "/odd/deep/er/and/deeper/file")
	check(t, err)
	lie := dest + "/pending/odd/deep/er/and/deeper/file"
	overwrite(t, lie, 0, "lies")
	check(t, os.Chtimes(lie, time.Now(), info.ModTime()))
	testbin.Must(t, "init", dest)
	wantSame(t, src, backup(t, src, dest))
	wantTidy(t, dest)
}

func TestInitTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	write(t, src+"/file", "x")
	dest := newDest(t)
	backup(t, src, dest)
	before := everything(t, dest)
	testbin.Must(t, "init", dest)
	if got := everything(t, dest); got != before {
		t.Errorf("the second init changed something:\n%s\nwas\n%s", got, before)
	}
}

func wantMode(t testing.TB, name string, want uint32) {
	t.Helper()
	var st unix.Stat_t
	check(t, unix.Lstat(name, &st))
	if got := uint32(st.Mode) & 0o7777; got != want {
		t.Errorf("%s has mode %04o, want %04o", name, got, want)
	}
}
