//go:build integration

package replica

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
	"github.com/rsbtbackup/rsbtbackup/sendstream"
	"golang.org/x/sys/unix"
)

// TestCopyToAnotherDisk: all of it arrives, later runs send what is new, and only the difference.
func TestCopyToAnotherDisk(t *testing.T) {
	t.Parallel()
	src, dest, target := source(t), testdest.New(t, "1G", "compress=zstd"), testdest.New(t, "1G")
	backups(t, src, dest, 3)
	testbin.Must(t, "pin", "-q", dest, "latest~1", "--note=why")
	if r := testbin.Must(t, "copy", dest, target); r.Stderr != "" {
		t.Errorf("notices of a copy to another disk:\n%s", r.Stderr)
	}
	wantCopies(t, dest, target)
	backups(t, src, dest, 2)
	report, err := rsbtbackup.Copy(t.Context(), dest, target, nil, rsbtbackup.CopyOptions{})
	testdest.Must(t, err)
	wantCopies(t, dest, target)
	wantNothingLeft(t, target)
	for i, b := range report.Backups {
		want := rsbtbackup.CopyHad
		if i >= 3 {
			want = rsbtbackup.Copied
		}
		if b.Result != want || want == rsbtbackup.Copied && (b.Parent != report.Backups[i-1].Name || b.Bytes > 1<<20 || b.Bytes == 0) {
			t.Errorf("backup %d: %+v, want %s", i, b, want)
		}
	}
	note := testdest.Backups(t, target)[1].Record
	if note.Pin == nil || note.Pin.Note != "why" || note.Copied == nil || note.Copied.Dest != dest || note.Copied.At.IsZero() {
		t.Errorf("record of the copy: %+v", note)
	}
}

// TestATargetOfAnotherSource: what was made from another source is not mixed in, here, by push and by pull; cur stays.
func TestATargetOfAnotherSource(t *testing.T) {
	t.Parallel()
	ssh := testserver.StartSSH(t)
	disk := loopfs.New(t, "1G")
	work, home := freshDest(t, disk, "work", 0), freshDest(t, disk, "home", 0)
	testbin.Must(t, "backup", "-q", small(t), home)
	src := small(t)
	testbin.Must(t, "backup", "-q", src, work)
	change(t, src, 1) // the first may have the name of that of home
	testbin.Must(t, "backup", "-q", src, work)
	cur := func() string {
		name, err := os.Readlink(filepath.Join(home, "cur"))
		testdest.Must(t, err)
		return name
	}
	was := cur()
	over := []string{"-e", ssh.Shell, "--program", testbin.Path(t)}
	for _, args := range [][]string{
		{"copy", work, home, "--keep-last=1"},
		{"copy", work, home, "-n"},
		append([]string{"copy", work, "root@127.0.0.1:" + home, "--keep-last=1"}, over...),
		append([]string{"copy", work, "root@127.0.0.1:" + home, "-n"}, over...),
		append([]string{"copy", "root@127.0.0.1:" + work, home, "--keep-last=1"}, over...),
	} {
		r := testbin.Run(t, args...)
		wantExit(t, r, 13, "refused: TARGET holds backups of /")
		if !strings.Contains(r.Stderr, "hint: to mix them nevertheless: rsbtbackup copy ") || len(testdest.Backups(t, home)) != 1 || cur() != was {
			t.Errorf("%q: cur is %s, was %s\n%s", args, cur(), was, r.Stderr)
		}
	}
	testbin.Must(t, append([]string{"copy", work, "root@127.0.0.1:" + home, "latest", "--force"}, over...)...)
	testbin.Must(t, "copy", work, home, "latest") // they have a backup in common
	if n := len(testdest.Backups(t, home)); n != 2 {
		t.Errorf("%d backups after --force", n)
	}
}

// small is a source of little, of a path of its own.
func small(t testing.TB) string {
	t.Helper()
	src := t.TempDir()
	shell(t, src, "mkdir d; echo one >d/noise")
	return src
}

// TestStreamsOfBothAreTheSame: the kernel finds the same in a copy as in its backup.
func TestStreamsOfBothAreTheSame(t *testing.T) {
	t.Parallel()
	src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "1G")
	backups(t, src, dest, 1)
	testbin.Must(t, "copy", dest, target)
	name := testdest.Backups(t, dest)[0].Name
	commands := func(dir string) map[string]int {
		root, err := btrfs.OpenDir(filepath.Join(dir, name))
		testdest.Must(t, err)
		defer root.Close()
		r, w, err := os.Pipe()
		testdest.Must(t, err)
		go func() { _ = btrfs.Send(t.Context(), root, nil, w, btrfs.SendOptions{}); w.Close() }()
		found := map[string]int{}
		for c, err := range sendstream.Commands(r) {
			testdest.Must(t, err)
			switch c := c.(type) {
			case sendstream.Chown, sendstream.Chmod, sendstream.SetXattr, sendstream.Truncate, sendstream.Write:
				found[fmt.Sprintf("%T %+v", c, c)]++
			case sendstream.Utimes:
				found[fmt.Sprintf("%T %s %v", c, c.Path, c.Mtime)]++
			}
		}
		return found
	}
	want, got := commands(dest), commands(target)
	if len(want) < 30 {
		t.Fatalf("%d commands are too few", len(want))
	}
	for c := range want {
		if got[c] == 0 {
			t.Errorf("not in the stream of the copy: %.200s", c)
		}
	}
}

// TestWhenTheFirstDiskIsLost: backup goes on in the copy, incremental on it, and all verbs work.
func TestWhenTheFirstDiskIsLost(t *testing.T) {
	t.Parallel()
	src, dest, target, third := source(t), testdest.New(t, "1G"), testdest.New(t, "1G"), testdest.New(t, "1G")
	backups(t, src, dest, 2)
	testbin.Must(t, "copy", "-q", dest, target)
	names := testdest.Backups(t, dest)
	testdest.Must(t, os.RemoveAll(filepath.Join(dest, ".log", "rsbtbackup"))) // it is gone
	change(t, src, 7)
	out := testbin.Must(t, "backup", src, target).Stdout
	if !strings.Contains(out, "incremental on "+names[1].Name) {
		t.Errorf("the backup in the copy is not incremental:\n%s", out)
	}
	testdest.WantSame(t, src, filepath.Join(target, "cur"))
	back := filepath.Join(t.TempDir(), "back")
	testbin.Must(t, "restore", target, "latest~1", "--target="+back)
	testdest.WantSame(t, filepath.Join(target, names[1].Name), back)
	testbin.Must(t, "verify", target)
	testbin.Must(t, "copy", target, third)
	wantCopies(t, target, third)
	testbin.Must(t, "prune", target, "--keep-last=1")
	testbin.Must(t, "copy", target, third) // retention of one is not that of the other
	if n := len(testdest.Backups(t, third)); n != 3 {
		t.Errorf("%d backups in the third, want 3", n)
	}
}

// TestAVerdictStaysWithItsDisk: what was found clean on the first disk is read on the second all the same.
func TestAVerdictStaysWithItsDisk(t *testing.T) {
	t.Parallel()
	src, dest := source(t), testdest.New(t, "1G")
	image := loopfs.NewImage(t, "1G", "btrfs")
	target := testdest.On(t, image.Mount)
	backups(t, src, dest, 1)
	testbin.Must(t, "verify", "-q", dest)
	testbin.Must(t, "copy", "-q", dest, target)
	b := testdest.Backups(t, target)[0]
	if b.Record.Verified != nil || b.Record.Copied.Verified == nil || b.Record.Copied.Verified.Result != rsbtbackup.Clean {
		t.Errorf("record of the copy: %+v", b.Record)
	}
	damage(t, image, filepath.Join(target, b.Name, "d/noise"))
	r := testbin.Run(t, "verify", target, "--new-only")
	if r.Exit != 1 || !strings.Contains(r.Stdout, "d/noise") {
		t.Errorf("verify --new-only of a damaged copy: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
}

// damage overwrites the first block of a file on the disk.
func damage(t testing.TB, image *loopfs.Image, path string) {
	t.Helper()
	f, err := os.Open(path)
	testdest.Must(t, err)
	extents, err := btrfs.Extents(f, 0, 4096)
	testdest.Must(t, err)
	testdest.Must(t, f.Close())
	// With one device and a single data chunk after mkfs the logical address needs the chunk tree.
	physical := strings.Fields(testdest.Tool(t, "btrfs-map-logical", "-l", fmt.Sprint(extents[0].Address), "-b", "4096", image.Image))
	var at string
	for i, word := range physical {
		if word == "physical" {
			at = physical[i+1]
		}
	}
	image.Unmount(t)
	testdest.Tool(t, "dd", "if=/dev/urandom", "of="+image.Image, "bs=1", "count=4096", "seek="+at, "conv=notrunc")
	image.Remount(t)
}

// TestWhatIsNotCopied is refused by name, and the others are copied.
func TestWhatIsNotCopied(t *testing.T) {
	t.Parallel()
	src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "1G")
	backups(t, src, dest, 3)
	all := testdest.Backups(t, dest)
	makeWritable(t, filepath.Join(dest, all[0].Name))
	testbin.Must(t, "backup", "-q", src, target)
	testdest.Must(t, os.Rename(filepath.Join(target, testdest.Backups(t, target)[0].Name), filepath.Join(target, all[1].Name)))
	r := testbin.Run(t, "copy", dest, target)
	if r.Exit != 1 || !strings.Contains(r.Stderr, all[0].Name+": it can be written to") || !strings.Contains(r.Stderr, all[1].Name+": the target has another backup of that name") {
		t.Errorf("exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
	if !strings.Contains(r.Stdout, "copied "+all[2].Name) {
		t.Errorf("the third is not copied:\n%s", r.Stdout)
	}
	testdest.WantSame(t, filepath.Join(dest, all[2].Name), filepath.Join(target, all[2].Name))
}

func makeWritable(t testing.TB, path string) {
	t.Helper()
	f, err := btrfs.OpenDir(path)
	testdest.Must(t, err)
	defer f.Close()
	testdest.Must(t, btrfs.SetReadOnly(f, false))
}

// TestACopyThatWasChanged is no base of an increment: the next is sent whole, or on another.
func TestACopyThatWasChanged(t *testing.T) {
	t.Parallel()
	src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "1G")
	backups(t, src, dest, 1)
	testbin.Must(t, "copy", "-q", dest, target)
	copied := filepath.Join(target, testdest.Backups(t, dest)[0].Name)
	makeWritable(t, copied)
	testdest.Must(t, os.WriteFile(filepath.Join(copied, "changed"), nil, 0o600))
	f, err := btrfs.OpenDir(copied)
	testdest.Must(t, err)
	testdest.Must(t, btrfs.SetReadOnly(f, true))
	testdest.Must(t, f.Close())
	backups(t, src, dest, 1)
	out := testbin.Must(t, "copy", dest, target).Stdout
	if strings.Contains(out, "incremental") {
		t.Errorf("an increment on a copy that was changed:\n%s", out)
	}
	second := testdest.Backups(t, dest)[1].Name
	testdest.WantSame(t, filepath.Join(dest, second), filepath.Join(target, second))
}

// TestCompressedOtherwise: LZO is kept where it can be, and decompressed where the target cannot take it.
func TestCompressedOtherwise(t *testing.T) {
	t.Parallel()
	src, dest := source(t), testdest.New(t, "1G", "compress-force=lzo")
	backups(t, src, dest, 2)
	for _, options := range [][]string{nil, {"nodatasum"}} {
		target := testdest.New(t, "1G", options...)
		testbin.Must(t, "copy", dest, target)
		wantCopies(t, dest, target)
	}
}

// TestALaterPinOrVerdictIsPassedOn: a pin and a verdict of a backup that was copied already go along with the next
// copy, here, to another host and from one. An unpin does not, and a pin that was removed in the target does not come
// again.
func TestALaterPinOrVerdictIsPassedOn(t *testing.T) {
	t.Parallel()
	ssh := testserver.StartSSH(t)
	src, dest := source(t), testdest.New(t, "1G")
	backups(t, src, dest, 2)
	disk := loopfs.New(t, "2G")
	over := []string{"-e", ssh.Shell, "--program", testbin.Path(t)}
	for i, way := range []string{"here", "push", "pull"} {
		target := freshDest(t, disk, way, 0)
		args := [][]string{
			{"copy", dest, target},
			append([]string{"copy", dest, "127.0.0.1:" + target}, over...),
			append([]string{"copy", "127.0.0.1:" + dest, target}, over...),
		}[i]
		name := testdest.Names(t, dest)[0]
		record := func() *rsbtbackup.Record { return testdest.Backups(t, target)[0].Record }
		testbin.Run(t, "unpin", "-q", dest, name)
		testbin.Must(t, args...)
		testbin.Must(t, "pin", "-q", dest, name, "--note=evidence")
		testbin.Must(t, "verify", "-q", dest, name)
		if out := testbin.Must(t, append(args, "-n")...).Stdout; !strings.Contains(out, "would pass on for "+name) || record().Pin != nil {
			t.Errorf("%s: dry run: %+v\n%s", way, record().Pin, out)
		}
		out := testbin.Must(t, args...).Stdout
		r := record()
		if !strings.Contains(out, "passed on for "+name+": pin, verdict") || r.Pin == nil || r.Pin.Note != "evidence" || r.Copied.Verified == nil || r.Verified != nil {
			t.Errorf("%s: %+v\n%s", way, r, out)
		}
		if out := testbin.Must(t, args...).Stdout; strings.Contains(out, "passed on") {
			t.Errorf("%s: it was known:\n%s", way, out)
		}
		testbin.Must(t, "unpin", "-q", dest, name)
		testbin.Must(t, args...)
		if record().Pin == nil {
			t.Errorf("%s: an unpin has travelled", way)
		}
		testbin.Must(t, "pin", "-q", dest, name)
		testbin.Must(t, args...)
		testbin.Must(t, "unpin", "-q", target, name)
		testbin.Must(t, args...)
		if record().Pin != nil {
			t.Errorf("%s: a pin that was removed in the target has come again", way)
		}
		wantNothingLeft(t, target)
	}
}

// TestADryRunChangesNothing, on another host neither: no lock, no repair, no log.
func TestADryRunChangesNothing(t *testing.T) {
	t.Parallel()
	ssh := testserver.StartSSH(t)
	src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "1G")
	backups(t, src, dest, 2)
	testbin.Must(t, "copy", "-q", dest, target, "latest~1")
	testdest.Must(t, os.Remove(filepath.Join(target, "cur"))) // a run would put it right
	lock, err := os.Open(target)
	testdest.Must(t, err)
	defer lock.Close()
	testdest.Must(t, unix.Flock(int(lock.Fd()), unix.LOCK_EX))
	look := func() string { return testdest.Tool(t, "find", target, "-printf", "%p %i %s %T@ %C@\n") }
	before := look()
	for _, args := range [][]string{
		{"copy", dest, target, "-n", "--keep-last=1"},
		{"copy", dest, "127.0.0.1:" + target, "-n", "--keep-last=1", "-e", ssh.Shell, "--program", testbin.Path(t)},
	} {
		if out := testbin.Must(t, args...).Stdout; !strings.Contains(out, "would copy "+testdest.Names(t, dest)[1]) {
			t.Errorf("%q:\n%s", args, out)
		}
		if after := look(); after != before {
			t.Errorf("%q: before:\n%s\nafter:\n%s", args, before, after)
		}
	}
}
