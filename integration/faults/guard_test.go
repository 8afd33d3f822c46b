//go:build integration

package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// guarded asks that the command is refused by a guard with nothing touched but the log, and the note on who has the
// lock.
func guarded(t testing.TB, d *dest, args ...string) {
	t.Helper()
	before := d.untouched(t)
	r := run(t, append([]string{"backup"}, args...)...)
	wantExit(t, r, 13)
	wantOneError(t, r)
	if diff := cmp.Diff(before, d.untouched(t)); diff != "" {
		t.Errorf("a refused run changed DEST (-was +is):\n%s", diff)
	}
}

// untouched is what a refused run must leave as it is: every entry of DEST, of .log and of the records, by inode and
// time.
func (d *dest) untouched(t testing.TB) map[string]string {
	t.Helper()
	state := map[string]string{}
	for _, dir := range []string{d.path, d.join(".log"), d.join(".log", "records")} {
		if !testdest.Exists(dir) {
			continue
		}
		for _, name := range testdest.Entries(t, dir) {
			path := filepath.Join(dir, name)
			if slices.Contains([]string{"activity.log", "activity.log.1", "holder.json"}, name) {
				continue
			}
			var st unix.Stat_t
			testdest.Must(t, unix.Lstat(path, &st))
			state[path] = fmt.Sprint(st.Ino, st.Mode, st.Size)
			if st.Mode&unix.S_IFMT == unix.S_IFREG {
				state[path] += fmt.Sprint(st.Mtim, st.Ctim)
			}
		}
	}
	return state
}

// TestGuardEmptySource empties the source.
func TestGuardEmptySource(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	empty := &tree{dir: t.TempDir()}
	testdest.Must(t, os.Rename(src.dir, src.dir+".away"))
	testdest.Must(t, os.Rename(empty.dir, src.dir))
	guarded(t, d, src.dir, d.path)
	guarded(t, d, "--rsh="+fakeShell(t, `shift; exec "$@"`), "host:"+src.dir, d.path)
	testdest.Must(t, os.Remove(src.dir))
	testdest.Must(t, os.Rename(src.dir+".away", src.dir))
	d.check(t, src)

	testdest.Must(t, os.Rename(src.dir, src.dir+".away"))
	testdest.Must(t, os.Mkdir(src.dir, 0o755))
	wantExit(t, run(t, "backup", "--force", src.dir, d.path), 0)
	d.held(t, src)
	d.newestIsCur(t)
	testdest.Must(t, os.Remove(src.dir))
	testdest.Must(t, os.Rename(src.dir+".away", src.dir))
	d.check(t, src)
}

// TestGuardUnmountedSource unmounts the disk the source is on; its mount point is empty, or another filesystem stands
// there.
func TestGuardUnmountedSource(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	disk := loopfs.NewImage(t, "64M", "ext4")
	if out, err := exec.Command("cp", "-a", src.dir+"/.", disk.Mount).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	mounted := &tree{dir: disk.Mount, rng: src.rng}
	d := newDest(t, loopfs.New(t, "512M"), mounted, 1)
	disk.Unmount(t)
	guarded(t, d, disk.Mount, d.path)
	mountAnother(t, disk.Mount)
	guarded(t, d, disk.Mount, d.path)
	disk.Remount(t)
	d.check(t, mounted)

	disk.Unmount(t)
	mountAnother(t, disk.Mount)
	wantExit(t, run(t, "backup", "--force", disk.Mount, d.path), 0)
	d.held(t, mounted)
	d.newestIsCur(t)
}

func mountAnother(t testing.TB, path string) {
	t.Helper()
	testdest.Must(t, unix.Mount("tmpfs", path, "tmpfs", 0, "size=1M"))
	testdest.Must(t, os.WriteFile(filepath.Join(path, "another"), nil, 0o644))
}

// TestGuardManyDeletions removes most of the source.
func TestGuardManyDeletions(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	testdest.Must(t, os.RemoveAll(src.path("sub")))
	guarded(t, d, "--max-delete-percent=20", src.dir, d.path)
	d.held(t, src)
	wantExit(t, run(t, "backup", "--max-delete-percent=20", "--force", src.dir, d.path), 0)
	d.held(t, src)
	d.check(t, src)
}

// TestGuardAnotherSource backs up something else to a DEST that is in use, and the same files under another path.
func TestGuardAnotherSource(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	another := t.TempDir()
	for i := range 30 {
		testdest.Must(t, os.WriteFile(filepath.Join(another, fmt.Sprint(i)), nil, 0o644))
	}
	guarded(t, d, "--prune", "--keep-last=1", another, d.path)
	for _, hiding := range []int{23, 24} {
		r := runEnv(t, fakeRsync(t, fmt.Sprintf(`"$REAL" "$@"; exit %d`, hiding)), "backup", another, d.path)
		wantExit(t, r, 13)
		if strings.Contains(r.stderr, "max-delete") {
			t.Errorf("stderr names a limit that nobody has set:\n%s", r.stderr)
		}
		d.held(t, src)
	}
	moved := &tree{dir: src.dir + " moved", rng: src.rng}
	testdest.Must(t, os.Rename(src.dir, moved.dir))
	wantExit(t, run(t, "backup", moved.dir, d.path), 0)
	d.held(t, moved)
	wantExit(t, run(t, "backup", "--force", another, d.path), 0)
}

// TestGuardOverlap lets SRC and DEST be the same, or one lie in the other, by plain paths, symlinks and bind mounts.
func TestGuardOverlap(t *testing.T) {
	t.Parallel()
	mount := loopfs.New(t, "512M")
	src := newTree(t)
	d := newDest(t, mount, src, 1)
	link := filepath.Join(t.TempDir(), "link")
	testdest.Must(t, os.Symlink(d.path, link))
	bound, boundMount := bind(t, d.path), bind(t, mount)
	for _, source := range []string{d.path, d.join(".log"), d.join("cur"), link, link + "/cur", mount, bound, bound + "/cur", boundMount} {
		t.Run(filepath.Base(source), func(t *testing.T) { guarded(t, d, source, d.path) })
	}
	d.check(t, src)
}

// TestGuardDestByAnotherMount lets SRC show DEST by a mount that is on no path between the two.
func TestGuardDestByAnotherMount(t *testing.T) {
	t.Parallel()
	mount := loopfs.New(t, "512M")
	fresh := func(t *testing.T) *dest { return newDestAt(t, newDir(t, mount)) }

	t.Run("a bind mount of its filesystem", func(t *testing.T) {
		d := fresh(t)
		shown := bindAt(t, mount, filepath.Join(t.TempDir(), "sub", "bk [1]"))
		guarded(t, d, filepath.Dir(filepath.Dir(shown)), d.path)
		guarded(t, d, filepath.Dir(shown), d.path)
		guarded(t, d, "-x", shown, d.path)
	})
	t.Run("a bind mount of itself", func(t *testing.T) {
		d := fresh(t)
		shown := bindAt(t, d.path, filepath.Join(t.TempDir(), "bk"))
		guarded(t, d, filepath.Dir(shown), d.path)
	})
	t.Run("the filesystem is mounted again, whole", func(t *testing.T) {
		w := t.TempDir()
		top := bindAt(t, mount, filepath.Join(w, "top"))
		out, err := exec.Command("btrfs", "subvolume", "create", filepath.Join(mount, "sub")).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		d := newDestAt(t, mountSubvolume(t, top, "sub", filepath.Join(w, "b")))
		guarded(t, d, w, d.path)
		guarded(t, d, "--exclude=/b", w, d.path)
		guarded(t, d, "--exclude=/top/sub", w, d.path)
	})
	t.Run("SRC is in a bind mount of a part of DEST", func(t *testing.T) {
		d := fresh(t)
		guarded(t, d, bind(t, d.join(".log")), d.path)
		testdest.Must(t, os.MkdirAll(d.join("mine", "deeper"), 0o755))
		guarded(t, d, bind(t, d.join("mine"))+"/deeper", d.path)
	})
}

// TestDestInSourceIsLeftOut backs up a source that shows DEST twice, with a rule that leaves both out, with
// --one-file-system where that does, and by force: nothing of DEST may be in a backup, and the other guards still
// apply, except in the last case.
func TestDestInSourceIsLeftOut(t *testing.T) {
	t.Parallel()
	mount := loopfs.New(t, "512M")
	w := filepath.Join(mount, "w")
	d := newDestAt(t, filepath.Join(w, "on the way", "b*[1]"))
	testdest.Must(t, os.WriteFile(filepath.Join(w, "data"), []byte("data"), 0o644))
	again := bindAt(t, filepath.Dir(d.path), filepath.Join(w, "again"))
	outs := [][]string{
		{`--exclude=/on the way/b\*\[1]`, `--exclude=/again`},
		{`--filter=- /on the way`, "--", `--exclude`, `/again/b\*\[1]/`},
		{"--", `-f- /again`, `--filter=exclude /on the way/`},
		{"--force"},
	}
	backup := func(out []string) result {
		return run(t, slices.Concat([]string{"backup"}, []string{w, d.path}, out)...)
	}
	guarded(t, d, w, d.path)
	guarded(t, d, outs[0][0], w, d.path)
	guarded(t, d, "--exclude=/on the way/b*", "--exclude=/again", w, d.path)
	for _, out := range outs {
		wantExit(t, backup(out), 0)
		for _, name := range []string{`on the way/b*[1]`, `again/b*[1]`} {
			if testdest.Exists(filepath.Join(d.join("cur"), name)) {
				t.Errorf("%q: the backup holds %s", out, name)
			}
		}
		if !testdest.Exists(filepath.Join(d.join("cur"), "data")) {
			t.Errorf("%q: the backup lacks what is beside DEST", out)
		}
	}
	testdest.Must(t, os.Remove(filepath.Join(w, "data")))
	for _, out := range outs[:len(outs)-1] {
		wantExit(t, backup(out), 13)
	}
	if !testdest.Exists(filepath.Join(d.join("cur"), "data")) {
		t.Error("cur names a backup of the emptied source")
	}
	testdest.Must(t, unix.Unmount(again, unix.MNT_DETACH))
	testdest.Must(t, os.WriteFile(filepath.Join(w, "data"), []byte("data"), 0o644))
	disk := bind(t, w) // what lies on the way is not mounted there any more
	wantExit(t, run(t, "backup", "--exclude=/on the way", disk, d.path), 0)
}

// TestRulesThatIncludeDest names DEST in a rule, and takes it in again by others: "!" forgets what came before it, and
// may stand in a file.
func TestRulesThatIncludeDest(t *testing.T) {
	t.Parallel()
	w := filepath.Join(loopfs.New(t, "512M"), "w")
	d := newDestAt(t, filepath.Join(w, "backup"))
	testdest.Must(t, os.WriteFile(filepath.Join(w, "data"), []byte("data"), 0o644))
	wantExit(t, run(t, "backup", w, d.path, "--exclude=/backup"), 0)
	rules := filepath.Join(t.TempDir(), "rules")
	testdest.Must(t, os.WriteFile(rules, []byte("!\n+ */\n+ *\n"), 0o644))
	for _, out := range [][]string{
		{"--exclude=/backup", "--exclude-from=" + rules},
		{"--filter=- /backup", "--filter=!", "--filter=+ */"},
		{"--force", "--filter=!", "--filter=+ */"},
	} {
		guarded(t, d, slices.Concat(out, []string{w, d.path})...)
		if testdest.Exists(d.join("pending")) {
			t.Errorf("%q: pending is kept", out)
		}
	}
	wantExit(t, run(t, "backup", w, d.path, "--exclude=/backup"), 0)
}

// TestGuardDestInAChroot has no line in the table of mounts for what DEST lies in: / of a chroot is no mount point.
func TestGuardDestInAChroot(t *testing.T) {
	t.Parallel()
	mount := loopfs.New(t, "512M")
	root := filepath.Join(mount, "root")
	testdest.Must(t, os.Mkdir(root, 0o755))
	in := func(command string) result {
		script := `set -e; cd "$1"
mkdir -p usr proc dev mnt/src backup; ln -sfn usr/bin bin; ln -sfn usr/lib lib; ln -sfn usr/lib64 lib64
cp "$2" rsbtbackup
mount --rbind /usr usr; mount -t proc proc proc; mount --rbind /dev dev; mount --bind . mnt/src
exec chroot . /rsbtbackup ` + command
		return start(t, nil, append(loopfs.Apart(t, mount), "sh", "-c", script, "sh", root, program(t))...).wait(t)
	}
	wantExit(t, in("init /backup"), 0)
	wantExit(t, in("backup /mnt /backup"), 13)
	wantExit(t, in("backup --exclude=/src /mnt /backup"), 0)
	testdest.Must(t, os.WriteFile(filepath.Join(root, "mnt", "data"), nil, 0o644))
	wantExit(t, in("backup --exclude=/src/backup --exclude=/src/usr --exclude=/src/proc --exclude=/src/dev /mnt /backup"), 0)
	if got := testdest.Entries(t, filepath.Join(root, "backup", "cur", "src")); slices.Contains(got, "backup") || !slices.Contains(got, "mnt") {
		t.Errorf("src in the backup: %q", got)
	}
}

// TestMountsThatHideDest has nothing to refuse: what would show DEST is hidden by another mount, or is not where
// --one-file-system comes.
func TestMountsThatHideDest(t *testing.T) {
	t.Parallel()
	mount := loopfs.New(t, "512M")
	src := newTree(t)
	d := newDest(t, mount, src, 1)
	hidden := bindAt(t, mount, src.path("hidden/bk"))
	testdest.Must(t, unix.Mount("tmpfs", filepath.Dir(hidden), "tmpfs", 0, "size=1M"))
	t.Cleanup(func() { testdest.Must(t, unix.Unmount(filepath.Dir(hidden), unix.MNT_DETACH)) })
	wantExit(t, run(t, "backup", src.dir, d.path), 0)
	d.held(t, src)

	shown := bindAt(t, mount, src.path("shown"))
	guarded(t, d, src.dir, d.path)
	wantExit(t, run(t, "backup", "-x", src.dir, d.path), 0)
	if found := testdest.Entries(t, filepath.Join(d.join("cur"), "shown")); len(found) > 0 {
		t.Errorf("with --one-file-system the backup holds %q of another one", found)
	}
	apart := bindAt(t, d.path, src.path("apart"))
	wantExit(t, run(t, "backup", "-x", src.dir, d.path), 0)
	if !testdest.Exists(filepath.Join(d.join("cur"), "apart")) {
		t.Error("with --one-file-system the mount point of DEST is not in the backup")
	}
	testdest.Must(t, unix.Unmount(apart, unix.MNT_DETACH))
	testdest.Must(t, unix.Unmount(shown, unix.MNT_DETACH))
}

// newDestAt initialises path.
func newDestAt(t testing.TB, path string) *dest {
	t.Helper()
	testdest.Must(t, os.MkdirAll(path, 0o755))
	wantExit(t, run(t, "init", path), 0)
	return &dest{path: path, backups: map[string]string{}}
}

// bind gives a directory a second path.
func bind(t testing.TB, dir string) string {
	t.Helper()
	return bindAt(t, dir, t.TempDir())
}

func bindAt(t testing.TB, dir, path string) string {
	t.Helper()
	testdest.Must(t, os.MkdirAll(path, 0o755))
	testdest.Must(t, unix.Mount(dir, path, "", unix.MS_BIND, ""))
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			t.Error(err)
		}
	})
	return path
}

// mountSubvolume mounts the filesystem of which top is the top once more, from the subvolume sub on.
func mountSubvolume(t testing.TB, top, sub, path string) string {
	t.Helper()
	testdest.Must(t, os.MkdirAll(path, 0o755))
	device, err := exec.Command("findmnt", "-no", "SOURCE", "-v", "--mountpoint", top).Output()
	testdest.Must(t, err)
	out, err := exec.Command("mount", "-o", "subvol="+sub, strings.TrimSpace(string(device)), path).CombinedOutput()
	if err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() { testdest.Must(t, unix.Unmount(path, unix.MNT_DETACH)) })
	return path
}
