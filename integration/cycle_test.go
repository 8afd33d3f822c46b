//go:build integration

package integration

import (
	"fmt"
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

// The source is a subvolume, so that what it was at each backup can be kept aside as a snapshot.
func TestEachBackupOfTheGoSourceIsWhatItWas(t *testing.T) {
	t.Parallel()
	disk := loopfs.New(t, "2G")
	src := filepath.Join(disk, "src")
	testdest.Tool(t, "btrfs", "subvolume", "create", src)
	testdest.Tool(t, "cp", "-a", goSource(t)+"/.", src)
	dest := testdest.New(t, "2G")

	var made, was []string
	for i, edit := range []func(testing.TB, string){addOddities, firstEdits, secondEdits} {
		edit(t, src)
		made = append(made, testdest.Backup(t, src, dest))
		was = append(was, filepath.Join(disk, fmt.Sprint("was", i)))
		testdest.Tool(t, "btrfs", "subvolume", "snapshot", "-r", src, was[i])
		wantReadOnly(t, made[i])
		wantTidy(t, dest)
	}
	for i := range made {
		testdest.WantSame(t, was[i], made[i])
	}
	for i, b := range testdest.Backups(t, dest) {
		if want := filepath.Base(made[i]); b.Name != want || b.Current != (i == 2) || b.Status != "complete" {
			t.Errorf("backup %d: %+v, want %s, complete", i, b, want)
		}
		if want := ""; i > 0 {
			want = filepath.Base(made[i-1])
			if b.Record.Base != want {
				t.Errorf("%s is based on %q, want %q", b.Name, b.Record.Base, want)
			}
		}
	}

	t.Run("an unchanged run adds less than 1 MB", func(t *testing.T) {
		// What changed less than two seconds before a run looked at it is compared by its content in the next one.
		time.Sleep(2100 * time.Millisecond)
		testdest.Backup(t, src, dest)
		before := testdest.Used(t, dest)
		last := testdest.Backup(t, src, dest)
		added := testdest.Used(t, dest) - before
		t.Logf("an unchanged run of %s files added %d bytes", strings.TrimSpace(testdest.Tool(t, "sh", "-c", `find "$0" | wc -l`, src)), added)
		if added >= 1_000_000 {
			t.Errorf("an unchanged run added %d bytes", added)
		}
		if n := newest(t, dest, 5).Record.Stats.Transferred; n != 0 {
			t.Errorf("an unchanged run transferred %d files", n)
		}
		testdest.WantSame(t, src, last)
		testdest.Tool(t, "btrfs", "subvolume", "show", last)
	})
}

func TestEtcIsBackedUpWhole(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "2G")
	testdest.WantSame(t, "/etc", testdest.Backup(t, "/etc", dest))
	testdest.WantSame(t, "/etc", testdest.Backup(t, "/etc", dest))
	if got := testbin.Must(t, "list", dest).Stdout; strings.Count(got, testdest.Current(t, dest)) == 0 {
		t.Errorf("list does not show %s:\n%s", testdest.Current(t, dest), got)
	}
}

// A changed block costs a block, not a file.
func TestAnEditInABigFileCostsLittle(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "2G")
	src := t.TempDir()
	testdest.Tool(t, "dd", "if=/dev/urandom", "of="+src+"/big", "bs=1M", "count=64", "status=none")
	testdest.Backup(t, src, dest)
	before := testdest.Used(t, dest)
	overwrite(t, filepath.Join(src, "big"), 32<<20, "edited")
	testdest.WantSame(t, src, testdest.Backup(t, src, dest))
	if added := testdest.Used(t, dest) - before; added > 2<<20 {
		t.Errorf("an edit of 6 bytes in 64 MiB added %d bytes", added)
	}
}

// rsync -H --inplace alone writes both files into the one inode they were at the last backup, and exits 0 (rsync
// 3.5.0).
func TestSplitHardLinksKeepTheirOwnContent(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "2G")
	src := t.TempDir()
	testdest.Write(t, src+"/a", strings.Repeat("shared\n", 20_000))
	testdest.Must(t, os.Link(src+"/a", src+"/b"))
	testdest.Write(t, src+"/x", "linked later")
	first := testdest.Backup(t, src, dest)

	testdest.Must(t, os.Remove(src+"/b"))
	testdest.Write(t, src+"/b", strings.Repeat("parted\n", 20_000))
	overwrite(t, src+"/a", 70_000, "edited")
	testdest.Must(t, os.Link(src+"/x", src+"/y"))
	second := testdest.Backup(t, src, dest)
	testdest.WantSame(t, src, second)
	if got := testdest.Read(t, first+"/b"); !strings.HasPrefix(got, "shared") {
		t.Error("the first backup changed")
	}
}

// A quick check by whole seconds would keep the old content forever.
func TestARewriteWithinOneSecondIsSeen(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "2G")
	src := t.TempDir()
	second := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i, content := range []string{"one", "two"} {
		testdest.Write(t, src+"/file", content)
		mtime := second.Add(time.Duration(i) * time.Millisecond)
		testdest.Must(t, os.Chtimes(src+"/file", mtime, mtime))
		if got := testdest.Read(t, testdest.Backup(t, src, dest)+"/file"); got != content {
			t.Errorf("backup %d holds %q, want %q", i, got, content)
		}
	}
}

func TestWholeFilesBackupIsTheSame(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "2G")
	src := t.TempDir()
	addOddities(t, src)
	testdest.Backup(t, src, dest, "--no-inplace")
	testdest.Write(t, src+"/odd/plain", "edited")
	testdest.WantSame(t, src, testdest.Backup(t, src, dest, "--no-inplace"))
	testdest.Write(t, src+"/odd/plain", "edited again")
	testdest.WantSame(t, src, testdest.Backup(t, src, dest, "-i"))
	testdest.WantSame(t, src, testdest.Backup(t, src, dest, "--inplace"))
}

func goSource(t testing.TB) string {
	t.Helper()
	return filepath.Join(strings.TrimSpace(testdest.Tool(t, "go", "env", "GOROOT")), "src")
}

// addOddities makes below dir/odd one of everything a file system has.
func addOddities(t testing.TB, dir string) {
	t.Helper()
	odd := filepath.Join(dir, "odd")
	testdest.Write(t, odd+"/plain", "plain")
	testdest.Write(t, odd+"/deep/er/and/deeper/file", "deep")
	testdest.MakeDir(t, odd+"/empty")
	testdest.Write(t, odd+"/zero", "")
	testdest.Must(t, os.Symlink("plain", odd+"/link"))
	testdest.Must(t, os.Symlink("/nowhere\nat all", odd+"/dangling"))
	testdest.Must(t, os.Link(odd+"/plain", odd+"/deep/hard"))
	testdest.Must(t, os.Link(odd+"/plain", odd+"/hard"))
	testdest.Must(t, unix.Mkfifo(odd+"/fifo", 0o640))
	testdest.Must(t, unix.Mknod(odd+"/null", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	for name, mode := range map[string]os.FileMode{"setuid": 0o755 | os.ModeSetuid, "setgid": 0o755 | os.ModeSetgid, "secret": 0, "group": 0o660} {
		testdest.Write(t, odd+"/"+name, name)
		testdest.Must(t, os.Chown(odd+"/"+name, 4711, 4712))
		testdest.Must(t, os.Chmod(odd+"/"+name, mode))
	}
	testdest.MakeDir(t, odd+"/sticky")
	testdest.Must(t, os.Chmod(odd+"/sticky", 0o777|os.ModeSticky))
	testdest.MakeDir(t, odd+"/inherits")
	testdest.Tool(t, "setfacl", "-m", "d:u:4711:rwx,u:4712:r-x", odd+"/inherits")
	testdest.Tool(t, "setfacl", "-m", "u:4711:r--", odd+"/zero")
	testdest.Must(t, unix.Setxattr(odd+"/zero", "user.note", []byte("a\x00b\xff"), 0))
	testdest.Must(t, unix.Setxattr(odd, "user.on a directory", []byte("x"), 0))
	testdest.Must(t, unix.Lsetxattr(odd+"/link", "trusted.on-a-link", []byte("x"), 0))
	testdest.Write(t, odd+"/capable", "program")
	testdest.Tool(t, "setcap", "cap_net_raw+ep", odd+"/capable")
	testdest.Write(t, odd+"/sparse", "start")
	testdest.Must(t, os.Truncate(odd+"/sparse", 1<<20))
	past := time.Date(1969, 7, 20, 20, 17, 40, 123456789, time.UTC)
	testdest.Must(t, os.Chtimes(odd+"/empty", past, past))
	testdest.Must(t, os.Chtimes(odd+"/zero", past, past))
}

func firstEdits(t testing.TB, src string) {
	t.Helper()
	overwrite(t, src+"/fmt/print.go", 5000, "EDITED")
	appendTo(t, src+"/fmt/scan.go", "// appended\n")
	testdest.Must(t, os.Truncate(src+"/go.mod", 3))
	testdest.Must(t, os.Rename(src+"/strings", src+"/strings renamed"))
	testdest.Must(t, os.Rename(src+"/sort/sort.go", src+"/sort/moved.go"))
	testdest.Must(t, os.RemoveAll(src+"/archive"))
	testdest.Must(t, os.Remove(src+"/errors/errors.go"))
	testdest.Must(t, os.Chmod(src+"/bytes/bytes.go", 0o600))
	testdest.Must(t, os.Chmod(src+"/bytes", 0o700))
	testdest.Must(t, os.Chown(src+"/bufio/bufio.go", 1234, 5678))
	testdest.Write(t, src+"/new/in/depth/file", "new")
	testdest.Must(t, os.Symlink("../fmt", src+"/new/link"))
	testdest.Must(t, os.Link(src+"/fmt/print.go", src+"/new/print.go"))
	testdest.Must(t, unix.Setxattr(src+"/os/file.go", "user.added", []byte("value"), 0))
	testdest.Tool(t, "setfacl", "-m", "u:4711:rw-", src+"/os/file.go")
	testdest.Tool(t, "setfacl", "-b", src+"/odd/zero")
}

// secondEdits change kinds: what was a file is a directory now, and so on.
func secondEdits(t testing.TB, src string) {
	t.Helper()
	testdest.Must(t, os.Remove(src+"/new/print.go"))
	testdest.Write(t, src+"/new/print.go", "no longer a link to fmt/print.go")
	appendTo(t, src+"/fmt/print.go", "// appended after the link was broken\n")
	testdest.Must(t, os.RemoveAll(src+"/bytes"))
	testdest.Must(t, os.Symlink("strings renamed", src+"/bytes"))
	testdest.Must(t, os.Remove(src+"/odd/link"))
	testdest.Write(t, src+"/odd/link/now a directory", "x")
	testdest.Must(t, os.Remove(src+"/odd/plain"))
	testdest.MakeDir(t, src+"/odd/plain")
	testdest.Must(t, os.Remove(src+"/odd/fifo"))
	testdest.Write(t, src+"/odd/fifo", "a file now")
	testdest.Must(t, unix.Removexattr(src+"/os/file.go", "user.added"))
	testdest.Must(t, unix.Setxattr(src+"/odd/zero", "user.note", []byte("changed"), 0))
	testdest.Tool(t, "setfacl", "-b", src+"/os/file.go")
	testdest.Tool(t, "setfacl", "-x", "d:u:4711", src+"/odd/inherits")
	testdest.Tool(t, "setcap", "-r", src+"/odd/capable")
	overwrite(t, src+"/odd/sparse", 1<<19, "in the hole")
	testdest.Tool(t, "touch", src+"/unicode/tables.go")
	testdest.Must(t, os.Rename(src+"/strings renamed", src+"/strings"))
}

func overwrite(t testing.TB, name string, offset int64, text string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	testdest.Must(t, err)
	_, err = f.WriteAt([]byte(text), offset)
	testdest.Must(t, err)
	testdest.Must(t, f.Close())
}

func appendTo(t testing.TB, name, text string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	testdest.Must(t, err)
	_, err = f.WriteString(text)
	testdest.Must(t, err)
	testdest.Must(t, f.Close())
}
