//go:build integration

package restore

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// What an overwrite mode says of a file holds for every file: of every kind, hard-linked, and to the nanosecond.
// SEEDS=a:b tries others than the usual ones.
func TestOverwriteModesKeepTheirPromise(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	from, to := uint64(1), uint64(25)
	if text := os.Getenv("SEEDS"); text != "" {
		_, err := fmt.Sscanf(text, "%d:%d", &from, &to)
		testdest.Must(t, err)
	}
	for seed := from; seed < to; seed++ {
		r := rand.New(rand.NewPCG(seed, 15))
		src := filepath.Join(p.mount, "src"+strconv.FormatUint(seed, 10))
		testdest.Must(t, os.Mkdir(src, 0o755))
		source := randomWorld(r, nil)
		source.make(t, src)
		if _, err := rsbtbackup.Backup(t.Context(), rsbtbackup.BackupOptions{Source: src, Dest: p.dest, Force: true}); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, mode := range []string{"always", "if-changed", "if-newer", "never"} {
			for _, deletes := range []bool{false, true} {
				p.tryMode(t, r, seed, promise{mode: mode, deletes: deletes, backup: source})
			}
		}
	}
}

func (p place) tryMode(t *testing.T, r *rand.Rand, seed uint64, want promise) {
	t.Helper()
	want.target = randomWorld(r, want.backup)
	if len(want.target) == 0 {
		return
	}
	o := rsbtbackup.RestoreOptions{Dest: p.dest, Backup: "latest", Overwrite: rsbtbackup.Overwrite(want.mode), Delete: want.deletes}
	if paths := slices.Sorted(maps.Keys(want.backup)); len(paths) > 0 && r.IntN(4) == 0 {
		want.path = paths[r.IntN(len(paths))]
		o.Paths = []string{want.path}
	}
	o.Target = filepath.Join(p.mount, "target")
	testdest.Must(t, os.Mkdir(o.Target, 0o755))
	defer func() { testdest.Must(t, os.RemoveAll(o.Target)) }()
	want.target.make(t, o.Target)
	want.work()
	want.untouched()
	report, err := rsbtbackup.Restore(t.Context(), o)
	if len(want.barred) > 0 && errors.Is(err, rsbtbackup.ErrIncomplete) && errors.Is(err, rsbtbackup.ErrInTheWay) {
		err = nil
	} else if len(want.barred) > 0 {
		t.Errorf("seed %d: %s are in the way, and Restore says %v", seed, want.barred, err)
	}
	wrong := want.check(readWorld(t, o.Target))
	if err != nil || len(wrong) > 0 {
		t.Errorf("seed %d, %s, delete %v, path %q: %v %q", seed, want.mode, want.deletes, want.path, err, report.Complaints)
		for _, line := range wrong {
			t.Error("    ", line)
		}
		for _, path := range worldPaths() {
			if b, is := want.backup[path], want.target[path]; b != nil || is != nil {
				t.Logf("%-10s backup %p %v, target %p %v", path, b, b, is, is)
			}
		}
	}
}

// rsync's --ignore-existing waits forever for the names of a hard link that it does not reach; and it gives what it
// leaves alone the time of the directory.
func TestNeverEndsAtABlockedDirectory(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	testdest.Write(t, src+"/a", "x")
	testdest.Must(t, os.Mkdir(src+"/d", 0o755))
	testdest.Must(t, os.Link(src+"/a", src+"/d/a"))
	testdest.Write(t, src+"/z/deep/file", "z")
	p.backup(t, src)
	old := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
	for i, obstacle := range []func(name string) error{
		func(name string) error { return os.WriteFile(name, []byte("f"), 0o600) },
		func(name string) error { return os.Symlink("/nowhere", name) },
		func(name string) error { return os.Symlink("../outside", name) },
		func(name string) error { return unix.Mkfifo(name, 0o600) },
	} {
		target := filepath.Join(p.mount, strconv.Itoa(i))
		testdest.Must(t, os.MkdirAll(p.mount+"/outside", 0o755))
		testdest.Must(t, os.Mkdir(target, 0o755))
		for _, name := range []string{"/d", "/z"} {
			testdest.Must(t, obstacle(target+name))
			testdest.Must(t, unix.UtimesNanoAt(unix.AT_FDCWD, target+name, twice(t, old.Add(7-time.Duration(old.Nanosecond()))), unix.AT_SYMLINK_NOFOLLOW))
		}
		before := testdest.Tool(t, "stat", "-c%n %i %F %a %u %.9Y", target+"/d", target+"/z")
		p.restore(t, "-t", target, "--overwrite=never", "-n")
		r := testbin.Run(t, "restore", p.dest, "latest", "-t", target, "--overwrite=never")
		wantOneLine(t, r, 3, target+"/d stays, and the backup has a directory in its place: ")
		if after := testdest.Tool(t, "stat", "-c%n %i %F %a %u %.9Y", target+"/d", target+"/z"); after != before {
			t.Errorf("now %swas %s", after, before)
		}
		if !strings.Contains(r.Stderr, "hint: to restore it elsewhere: ") || testdest.Read(t, target+"/a") != "x" || len(names(p.mount+"/outside")) > 0 {
			t.Errorf("a is not restored, or nothing is said: %s", r.Stderr)
		}
		for _, args := range [][]string{{"z/deep", "d/a"}, {"--delete"}} {
			r := testbin.Run(t, append([]string{"restore", p.dest, "latest", "-t", target, "--overwrite=never"}, args...)...)
			wantOneLine(t, r, 3, target+"/d stays")
		}
		if after := testdest.Tool(t, "stat", "-c%n %i %F %a %u %.9Y", target+"/d", target+"/z"); after != before {
			t.Errorf("a second time: now %swas %s", after, before)
		}
	}
}

// rsync's --update, with times compared to the nanosecond, takes a file for newer from two seconds on only, and no
// symlink, fifo or second name of a file at all.
func TestIfNewerLeavesWhatIsNewerByANanosecond(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	for _, name := range []string{"file", "linked"} {
		testdest.Write(t, src+"/"+name, "backup")
	}
	testdest.Must(t, os.Link(src+"/linked", src+"/linked 2"))
	testdest.Must(t, os.Symlink("backup", src+"/symlink"))
	testdest.Must(t, unix.Mkfifo(src+"/fifo", 0o640))
	testdest.Write(t, src+"/kind", "backup")
	testdest.Write(t, src+"/dir/inside", "backup")
	all := []string{"file", "linked", "linked 2", "symlink", "fifo", "kind", "dir"}
	stamp := func(dir string, at time.Time) {
		ts, err := unix.TimeToTimespec(at)
		testdest.Must(t, err)
		for _, name := range all {
			testdest.Must(t, unix.UtimesNanoAt(unix.AT_FDCWD, dir+"/"+name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
		}
	}
	stamp(src, epoch)
	backup := p.backup(t, src)
	for after, stays := range map[time.Duration]bool{1: true, 400 * time.Millisecond: true, 1100 * time.Millisecond: true, time.Minute: true, -1: false, -time.Minute: false} {
		target := p.mount + "/" + after.String()
		for _, name := range []string{"file", "linked", "linked 2", "dir"} {
			testdest.Write(t, target+"/"+name, "target")
		}
		testdest.Must(t, os.Symlink("target", target+"/symlink"))
		testdest.Must(t, os.Symlink("target", target+"/kind"))
		testdest.Must(t, unix.Mkfifo(target+"/fifo", 0o600))
		stamp(target, epoch.Add(after))
		before := listing(t, target)
		r := testbin.Run(t, "restore", p.dest, "latest", "-t", target, "--overwrite=if-newer")
		if !stays {
			testdest.WantSame(t, backup, target)
			continue
		}
		wantOneLine(t, r, 3, target+"/dir stays, and the backup has a directory in its place")
		// The directory itself has the attributes of that in the backup.
		if now := listing(t, target); withoutTop(now) != withoutTop(before) {
			t.Errorf("%v: now\n%swas\n%s", after, now, before)
		}
	}
}

func withoutTop(digest string) string {
	_, rest, _ := strings.Cut(digest, "\n")
	return rest
}

// Splitting two names must not touch files that the backup does not have, or that must be kept.
func TestNamesOfOneFileAreSplit(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	testdest.Write(t, src+"/a", "same")
	testdest.Write(t, src+"/b", "same")
	testdest.Must(t, os.Chmod(src+"/a", 0o600))
	testdest.Must(t, os.Chown(src+"/b", 1000, 1000))
	testdest.Must(t, os.Symlink("same", src+"/la"))
	testdest.Must(t, os.Symlink("same", src+"/lb"))
	testdest.Must(t, os.Lchown(src+"/lb", 1000, 1000))
	testdest.Tool(t, "touch", "-h", "-d", "2001-02-03 04:05:06.123456789", src+"/a", src+"/b", src+"/la", src+"/lb")
	backup := p.backup(t, src)
	for _, mode := range []string{"if-changed", "if-newer", "always"} {
		target := p.mount + "/" + mode
		testdest.Must(t, os.Mkdir(target, 0o755))
		testdest.Tool(t, "cp", "-a", src+"/a", src+"/la", target)
		testdest.Must(t, os.Chmod(target+"/a", 0o644))
		testdest.Must(t, os.Link(target+"/a", target+"/b"))
		testdest.Must(t, os.Link(target+"/la", target+"/lb"))
		p.restore(t, "-t", target, "--overwrite", mode)
		testdest.WantSame(t, backup, target)

		// A name that the backup does not have keeps what it is.
		outside := p.mount + "/outside " + mode
		testdest.Must(t, os.Chmod(target+"/a", 0o640))
		testdest.Must(t, os.Link(target+"/a", outside))
		p.restore(t, "-t", target, "--overwrite", mode)
		testdest.WantSame(t, backup, target)
		if got := testdest.Tool(t, "stat", "-c%a %u", outside); got != "640 0\n" {
			t.Errorf("%s: outside is %s", mode, got)
		}
	}
	// What is excluded keeps what it is.
	target := p.mount + "/excluding"
	testdest.Must(t, os.Mkdir(target, 0o755))
	for _, dir := range []string{src, target} {
		testdest.Write(t, dir+"/x", "linked")
		testdest.Tool(t, "touch", "-d", "2001-02-03", dir+"/x")
		testdest.Must(t, os.Link(dir+"/x", dir+"/y"))
	}
	testdest.Must(t, os.Chmod(src+"/x", 0o600))
	p.backup(t, src)
	p.restore(t, "-t", target, "--overwrite=if-changed", "--exclude=y")
	if got := testdest.Tool(t, "stat", "-c%a", target+"/x", target+"/y"); got != "600\n644\n" {
		t.Errorf("x and y have %s", got)
	}
	// What needs no change stays linked.
	testdest.Must(t, os.Link(src+"/a", p.mount+"/beside"))
	p.restore(t, "--in-place", "--overwrite=if-changed")
	if got := testdest.Tool(t, "stat", "-c%h", src+"/a"); got != "2\n" {
		t.Errorf("a has %s names", got)
	}
}

// rsync 3.5.0 compares the number of a device and not its kind.
func TestADeviceGetsItsKind(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src, target := p.mount+"/src", p.mount+"/target"
	testdest.Must(t, os.Mkdir(src, 0o755))
	testdest.Must(t, unix.Mknod(src+"/dev", unix.S_IFBLK|0o600, int(unix.Mkdev(1, 3))))
	backup := p.backup(t, src)
	testdest.Must(t, os.Mkdir(target, 0o755))
	testdest.Must(t, unix.Mknod(target+"/dev", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	p.restore(t, "-t", target, "--overwrite=if-changed")
	testdest.WantSame(t, backup, target)
	if got := testdest.Tool(t, "stat", "-c%F", target+"/dev"); got != "block special file\n" {
		t.Errorf("dev is a %s", got)
	}
}

// A directory that may not be emptied is named, and the rest restored; rsync 3.5.0 gives up there if the file is a hard
// link.
func TestADirectoryInTheWayOfAHardLink(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src, target := p.mount+"/src", p.mount+"/target"
	testdest.Write(t, src+"/a", "x")
	testdest.Write(t, src+"/c/d", "y")
	testdest.Must(t, os.Link(src+"/a", src+"/c/a"))
	backup := p.backup(t, src)
	testdest.Write(t, target+"/a/file", "kept")
	r := testbin.Run(t, "restore", p.dest, "latest", "-t", target, "--overwrite=if-changed")
	wantOneLine(t, r, 3, target+"/a has another kind in the backup: Directory not empty (39)")
	if testdest.Read(t, target+"/c/a") != "x" || testdest.Read(t, target+"/c/d") != "y" || testdest.Read(t, target+"/a/file") != "kept" {
		t.Error("the rest is not restored, or the directory is gone")
	}
	if !strings.Contains(r.Stderr, "hint: ") || !strings.Contains(r.Stderr, "--delete") {
		t.Errorf("no hint: %s", r.Stderr)
	}
	testdest.Must(t, os.RemoveAll(target+"/c"))
	r = testbin.Run(t, "restore", p.dest, "latest", "-t", target, "--overwrite=if-changed", "--delete", "--exclude=file")
	wantOneLine(t, r, 3, target+"/a has another kind in the backup: Directory not empty (39)")
	if testdest.Read(t, target+"/c/a") != "x" || testdest.Read(t, target+"/c/d") != "y" || testdest.Read(t, target+"/a/file") != "kept" {
		t.Error("the rest is not restored, or what is excluded is gone")
	}
	p.restore(t, "-t", target, "--overwrite=if-changed", "--delete")
	testdest.WantSame(t, backup, target)
}

// The same holds for an ordinary user, for the files that the user owns.
func TestAnOrdinaryUserIsPromisedTheSame(t *testing.T) {
	t.Parallel()
	p := place{mount: newPlace(t).mount}
	testdest.Must(t, os.Chmod(p.mount, 0o755))
	p.dest = p.mount + "/theirs"
	src, target := p.mount+"/src", p.mount+"/target"
	for _, dir := range []string{src, target} {
		for _, name := range []string{"a", "b", "newer"} {
			testdest.Write(t, dir+"/"+name, filepath.Base(dir)[:3])
			testdest.Tool(t, "touch", "-d", "2001-02-03 04:05:06.5", dir+"/"+name)
		}
	}
	testdest.Must(t, os.Chmod(src+"/a", 0o600))
	testdest.Must(t, os.Remove(target+"/b"))
	testdest.Must(t, os.Link(target+"/a", target+"/b"))
	testdest.Tool(t, "touch", "-d", "2001-02-03 04:05:06.500000001", target+"/newer")
	testdest.Write(t, target+"/roots", "x")
	testdest.Write(t, src+"/roots", "y")
	testdest.Tool(t, "touch", "-d", "2001-02-03", target+"/roots")
	testdest.Must(t, os.Link(target+"/roots", p.mount+"/roots"))
	testdest.Must(t, os.Mkdir(p.dest, 0o700))
	testdest.Tool(t, "chown", "-R", "65534:65534", p.dest, src, target)
	testdest.Must(t, os.Chown(p.mount+"/roots", 0, 0))
	testdest.WantExit(t, testbin.AsNobody(t, "init", p.dest), 0)
	testdest.WantExit(t, testbin.AsNobody(t, "backup", src, p.dest), 0)
	testdest.WantExit(t, testbin.AsNobody(t, "restore", p.dest, "latest", "-t", target, "--overwrite=if-newer"), 0)
	if got := testdest.Tool(t, "stat", "-c%a %h %U", target+"/a", target+"/b"); got != "600 1 nobody\n644 1 nobody\n" {
		t.Errorf("a and b have %s", got)
	}
	if got := testdest.Tool(t, "cat", target+"/newer", p.mount+"/roots"); got != "tarx" {
		t.Errorf("what is newer, or not theirs, has %q", got)
	}
}

// twice is a time as access and modification time.
func twice(t *testing.T, at time.Time) []unix.Timespec {
	t.Helper()
	ts, err := unix.TimeToTimespec(at)
	testdest.Must(t, err)
	return []unix.Timespec{ts, ts}
}
