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
	"golang.org/x/sys/unix"
)

// The source is a subvolume, so that what it was at each backup can be kept aside as a snapshot.
func TestEachBackupOfTheGoSourceIsWhatItWas(t *testing.T) {
	t.Parallel()
	disk := loopfs.New(t, "2G")
	src := filepath.Join(disk, "src")
	tool(t, "btrfs", "subvolume", "create", src)
	tool(t, "cp", "-a", goSource(t)+"/.", src)
	dest := newDest(t)

	var made, was []string
	for i, edit := range []func(testing.TB, string){addOddities, firstEdits, secondEdits} {
		edit(t, src)
		made = append(made, backup(t, src, dest))
		was = append(was, filepath.Join(disk, fmt.Sprint("was", i)))
		tool(t, "btrfs", "subvolume", "snapshot", "-r", src, was[i])
		wantReadOnly(t, made[i])
		wantTidy(t, dest)
	}
	for i := range made {
		wantSame(t, was[i], made[i])
	}
	for i, b := range backups(t, dest) {
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
		before := used(t, dest)
		last := backup(t, src, dest)
		added := used(t, dest) - before
		t.Logf("an unchanged run of %s files added %d bytes", strings.TrimSpace(tool(t, "sh", "-c", `find "$0" | wc -l`, src)), added)
		if added >= 1_000_000 {
			t.Errorf("an unchanged run added %d bytes", added)
		}
		if n := newest(t, dest, 4).Record.Stats.Transferred; n != 0 {
			t.Errorf("an unchanged run transferred %d files", n)
		}
		wantSame(t, src, last)
		tool(t, "btrfs", "subvolume", "show", last)
	})
}

func TestEtcIsBackedUpWhole(t *testing.T) {
	t.Parallel()
	dest := newDest(t)
	wantSame(t, "/etc", backup(t, "/etc", dest))
	wantSame(t, "/etc", backup(t, "/etc", dest))
	if got := testbin.Must(t, "list", dest).Stdout; strings.Count(got, current(t, dest)) == 0 {
		t.Errorf("list does not show %s:\n%s", current(t, dest), got)
	}
}

// A changed block costs a block, not a file.
func TestAnEditInABigFileCostsLittle(t *testing.T) {
	t.Parallel()
	dest := newDest(t)
	src := t.TempDir()
	tool(t, "dd", "if=/dev/urandom", "of="+src+"/big", "bs=1M", "count=64", "status=none")
	backup(t, src, dest)
	before := used(t, dest)
	overwrite(t, filepath.Join(src, "big"), 32<<20, "edited")
	wantSame(t, src, backup(t, src, dest))
	if added := used(t, dest) - before; added > 2<<20 {
		t.Errorf("an edit of 6 bytes in 64 MiB added %d bytes", added)
	}
}

// rsync -H --inplace alone writes both files into the one inode they were at the last backup, and
// exits 0 (rsync 3.5.0).
func TestHardLinksThatPartedKeepTheirOwnContent(t *testing.T) {
	t.Parallel()
	dest := newDest(t)
	src := t.TempDir()
	write(t, src+"/a", strings.Repeat("shared\n", 20_000))
	check(t, os.Link(src+"/a", src+"/b"))
	write(t, src+"/x", "linked later")
	first := backup(t, src, dest)

	check(t, os.Remove(src+"/b"))
	write(t, src+"/b", strings.Repeat("parted\n", 20_000))
	overwrite(t, src+"/a", 70_000, "edited")
	check(t, os.Link(src+"/x", src+"/y"))
	second := backup(t, src, dest)
	wantSame(t, src, second)
	if got := read(t, first+"/b"); !strings.HasPrefix(got, "shared") {
		t.Error("the first backup changed")
	}
}

// A quick check by whole seconds would keep the old content for ever.
func TestARewriteWithinOneSecondIsSeen(t *testing.T) {
	t.Parallel()
	dest := newDest(t)
	src := t.TempDir()
	second := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i, content := range []string{"one", "two"} {
		write(t, src+"/file", content)
		mtime := second.Add(time.Duration(i) * time.Millisecond)
		check(t, os.Chtimes(src+"/file", mtime, mtime))
		if got := read(t, backup(t, src, dest)+"/file"); got != content {
			t.Errorf("backup %d holds %q, want %q", i, got, content)
		}
	}
}

func TestWholeFilesBackupIsTheSame(t *testing.T) {
	t.Parallel()
	dest := newDest(t)
	src := t.TempDir()
	addOddities(t, src)
	backup(t, src, dest, "--no-inplace")
	write(t, src+"/odd/plain", "edited")
	wantSame(t, src, backup(t, src, dest, "--no-inplace"))
	write(t, src+"/odd/plain", "edited again")
	wantSame(t, src, backup(t, src, dest, "-i"))
	wantSame(t, src, backup(t, src, dest, "--inplace"))
}

func goSource(t testing.TB) string {
	t.Helper()
	return filepath.Join(strings.TrimSpace(tool(t, "go", "env", "GOROOT")), "src")
}

// addOddities makes below dir/odd one of everything a file system has.
func addOddities(t testing.TB, dir string) {
	t.Helper()
	odd := filepath.Join(dir, "odd")
	write(t, odd+"/plain", "plain")
	write(t, odd+"/deep/er/and/deeper/file", "deep")
	makeDir(t, odd+"/empty")
	write(t, odd+"/zero", "")
	check(t, os.Symlink("plain", odd+"/link"))
	check(t, os.Symlink("/nowhere\nat all", odd+"/dangling"))
	check(t, os.Link(odd+"/plain", odd+"/deep/hard"))
	check(t, os.Link(odd+"/plain", odd+"/hard"))
	check(t, unix.Mkfifo(odd+"/fifo", 0o640))
	check(t, unix.Mknod(odd+"/null", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	for name, mode := range map[string]os.FileMode{"setuid": 0o755 | os.ModeSetuid, "setgid": 0o755 | os.ModeSetgid, "secret": 0, "group": 0o660} {
		write(t, odd+"/"+name, name)
		check(t, os.Chown(odd+"/"+name, 4711, 4712))
		check(t, os.Chmod(odd+"/"+name, mode))
	}
	makeDir(t, odd+"/sticky")
	check(t, os.Chmod(odd+"/sticky", 0o777|os.ModeSticky))
	makeDir(t, odd+"/inherits")
	tool(t, "setfacl", "-m", "d:u:4711:rwx,u:4712:r-x", odd+"/inherits")
	tool(t, "setfacl", "-m", "u:4711:r--", odd+"/zero")
	check(t, unix.Setxattr(odd+"/zero", "user.note", []byte("a\x00b\xff"), 0))
	check(t, unix.Setxattr(odd, "user.on a directory", []byte("x"), 0))
	check(t, unix.Lsetxattr(odd+"/link", "trusted.on-a-link", []byte("x"), 0))
	write(t, odd+"/capable", "program")
	tool(t, "setcap", "cap_net_raw+ep", odd+"/capable")
	write(t, odd+"/sparse", "start")
	check(t, os.Truncate(odd+"/sparse", 1<<20))
	past := time.Date(1969, 7, 20, 20, 17, 40, 123456789, time.UTC)
	check(t, os.Chtimes(odd+"/empty", past, past))
	check(t, os.Chtimes(odd+"/zero", past, past))
}

func firstEdits(t testing.TB, src string) {
	t.Helper()
	overwrite(t, src+"/fmt/print.go", 5000, "EDITED")
	appendTo(t, src+"/fmt/scan.go", "// appended\n")
	check(t, os.Truncate(src+"/go.mod", 3))
	check(t, os.Rename(src+"/strings", src+"/strings renamed"))
	check(t, os.Rename(src+"/sort/sort.go", src+"/sort/moved.go"))
	check(t, os.RemoveAll(src+"/archive"))
	check(t, os.Remove(src+"/errors/errors.go"))
	check(t, os.Chmod(src+"/bytes/bytes.go", 0o600))
	check(t, os.Chmod(src+"/bytes", 0o700))
	check(t, os.Chown(src+"/bufio/bufio.go", 1234, 5678))
	write(t, src+"/new/in/depth/file", "new")
	check(t, os.Symlink("../fmt", src+"/new/link"))
	check(t, os.Link(src+"/fmt/print.go", src+"/new/print.go"))
	check(t, unix.Setxattr(src+"/os/file.go", "user.added", []byte("value"), 0))
	tool(t, "setfacl", "-m", "u:4711:rw-", src+"/os/file.go")
	tool(t, "setfacl", "-b", src+"/odd/zero")
}

// secondEdits change kinds: what was a file is a directory now, and so on.
func secondEdits(t testing.TB, src string) {
	t.Helper()
	check(t, os.Remove(src+"/new/print.go"))
	write(t, src+"/new/print.go", "no longer a link to fmt/print.go")
	appendTo(t, src+"/fmt/print.go", "// appended after the link was broken\n")
	check(t, os.RemoveAll(src+"/bytes"))
	check(t, os.Symlink("strings renamed", src+"/bytes"))
	check(t, os.Remove(src+"/odd/link"))
	write(t, src+"/odd/link/now a directory", "x")
	check(t, os.Remove(src+"/odd/plain"))
	makeDir(t, src+"/odd/plain")
	check(t, os.Remove(src+"/odd/fifo"))
	write(t, src+"/odd/fifo", "a file now")
	check(t, unix.Removexattr(src+"/os/file.go", "user.added"))
	check(t, unix.Setxattr(src+"/odd/zero", "user.note", []byte("changed"), 0))
	tool(t, "setfacl", "-b", src+"/os/file.go")
	tool(t, "setfacl", "-x", "d:u:4711", src+"/odd/inherits")
	tool(t, "setcap", "-r", src+"/odd/capable")
	overwrite(t, src+"/odd/sparse", 1<<19, "in the hole")
	tool(t, "touch", src+"/unicode/tables.go")
	check(t, os.Rename(src+"/strings renamed", src+"/strings"))
}

func overwrite(t testing.TB, name string, offset int64, text string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	check(t, err)
	_, err = f.WriteAt([]byte(text), offset)
	check(t, err)
	check(t, f.Close())
}

func appendTo(t testing.TB, name, text string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	check(t, err)
	_, err = f.WriteString(text)
	check(t, err)
	check(t, f.Close())
}
