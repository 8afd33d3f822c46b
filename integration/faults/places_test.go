//go:build integration

package faults

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// bindFile shows a file at path, which is made for it; undo takes the mount away.
func bindFile(t testing.TB, file, path string) (undo func()) {
	t.Helper()
	if !testdest.Exists(path) {
		testdest.Must(t, os.WriteFile(path, nil, 0o644))
	}
	testdest.Must(t, unix.Mount(file, path, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	return func() { testdest.Must(t, unix.Unmount(path, unix.MNT_DETACH)) }
}

// newSourceWithFile is a source with a file of another disk mounted on one of its own, and a DEST with one backup of
// it.
func newSourceWithFile(t *testing.T, flags ...string) (src, file string, undo func(), d *dest) {
	t.Helper()
	d = newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
	src, file = t.TempDir(), filepath.Join(loopfs.NewFS(t, "64M", "ext4"), "file")
	testdest.Write(t, file, "content")
	testdest.Write(t, filepath.Join(src, "other"), "x")
	undo = bindFile(t, file, filepath.Join(src, "file"))
	wantExit(t, run(t, append([]string{"backup", src, d.path}, flags...)...), 0)
	return src, file, undo, d
}

// TestAFileMountBelowTheSourceIsMissing unmounts a single file: its content must not go from the backup.
func TestAFileMountBelowTheSourceIsMissing(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"all": nil, "on one filesystem": {"-x"}} {
		t.Run(name, func(t *testing.T) {
			src, file, undo, d := newSourceWithFile(t, flags...)
			again := append([]string{src, d.path}, flags...)
			undo()
			guarded(t, d, again...)
			testdest.Must(t, os.Remove(filepath.Join(src, "file")))
			guarded(t, d, again...)
			if r := run(t, append([]string{"backup"}, again...)...); !strings.Contains(r.stderr, filepath.Join(src, "file")) {
				t.Errorf("the file is not named:\n%s", r.stderr)
			}
			bindFile(t, file, filepath.Join(src, "file"))()
			guarded(t, d, again...)
			wantExit(t, run(t, append([]string{"backup", "--force"}, again...)...), 0)
			wantExit(t, run(t, append([]string{"backup"}, again...)...), 0)
		})
	}
}

// TestFileMountsThatMayChange is what happens to healthy ones.
func TestFileMountsThatMayChange(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, src, file string, undo func()){
		"replaced by another file, as editors do": func(t *testing.T, src, file string, undo func()) {
			testdest.Write(t, file+".new", "changed")
			testdest.Must(t, os.Rename(file+".new", file))
			undo()
			bindFile(t, file, filepath.Join(src, "file"))
		},
		"a file of another disk": func(t *testing.T, src, _ string, undo func()) {
			undo()
			file := filepath.Join(loopfs.NewFS(t, "64M", "ext4"), "file")
			testdest.Write(t, file, "changed")
			bindFile(t, file, filepath.Join(src, "file"))
		},
		"moved to where it was shown": func(t *testing.T, src, _ string, undo func()) {
			undo()
			testdest.Write(t, filepath.Join(src, "file"), "changed")
		},
	} {
		t.Run(name, func(t *testing.T) {
			src, file, undo, d := newSourceWithFile(t)
			change(t, src, file, undo)
			r := run(t, "backup", src, d.path)
			wantExit(t, r, 0)
			if strings.Contains(r.stderr, "contents are compared") {
				t.Errorf("everything was read:\n%s", r.stderr)
			}
			if got := read(t, filepath.Join(d.join("cur"), "file")); got != "changed" {
				t.Errorf("the backup has %q", got)
			}
		})
	}
}

// TestAMountIsGoneWithTheDirectoryAboveIt was unmounted and tidied away: what is on it must not go from the backup,
// unless somebody has removed more than the place of a mount.
func TestAMountIsGoneWithTheDirectoryAboveIt(t *testing.T) {
	t.Parallel()
	for name, others := range map[string][]string{"nothing else": nil, "other files": {"media/user/readme"}} {
		t.Run(name, func(t *testing.T) {
			d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
			src := t.TempDir()
			for _, path := range append(others, "file") {
				testdest.Write(t, filepath.Join(src, path), "x")
			}
			var undo []func()
			for _, disk := range []string{"one", "two"} {
				point := filepath.Join(src, "media/user", disk)
				testdest.MakeDir(t, point)
				undo = append(undo, attach(t, ownLoop(t), makeDisk(t, "ext4", twin{fill: 'a'}), "ext4", point))
			}
			wantExit(t, run(t, "backup", src, d.path), 0)
			for _, detach := range undo {
				detach()
			}
			testdest.Must(t, os.RemoveAll(filepath.Join(src, "media")))
			if others == nil {
				guarded(t, d, src, d.path)
				wantExit(t, run(t, "backup", "--force", src, d.path), 0)
			} else if r := run(t, "backup", src, d.path); r.exit != 0 || !strings.Contains(r.stderr, "media/user/one") {
				t.Errorf("the disks are not named:\n%s", r)
			}
			if r := run(t, "backup", src, d.path); r.exit != 0 || strings.Contains(r.stderr, "media/user") {
				t.Errorf("they are named again:\n%s", r)
			}
		})
	}
}

// TestASymlinkHasReplacedAMount moves a disk elsewhere and leaves a symlink: that was meant, but the next backup does
// not have its files, which is said once.
func TestASymlinkHasReplacedAMount(t *testing.T) {
	t.Parallel()
	d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
	src, disk := t.TempDir(), loopfs.NewFS(t, "64M", "ext4")
	testdest.Write(t, filepath.Join(src, "file"), "x")
	testdest.Write(t, filepath.Join(disk, "user", "file"), "x")
	point := bindAt(t, disk, filepath.Join(src, "home"))
	wantExit(t, run(t, "backup", src, d.path), 0)
	testdest.Must(t, unix.Unmount(point, unix.MNT_DETACH))
	testdest.Must(t, os.Remove(point))
	testdest.Must(t, os.Symlink(disk, point))
	if r := run(t, "backup", src, d.path); r.exit != 0 || !strings.Contains(r.stderr, `a symlink has replaced what was mounted at home `) {
		t.Errorf("it is not named:\n%s", r)
	}
	if r := run(t, "backup", src, d.path); r.exit != 0 || strings.Contains(r.stderr, "symlink") {
		t.Errorf("it is named again:\n%s", r)
	}
}

// TestAMountPointHasAnEmptyTree has a directory of the same name as the disk that is not mounted.
func TestAMountPointHasAnEmptyTree(t *testing.T) {
	t.Parallel()
	d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
	src, disk := t.TempDir(), loopfs.NewFS(t, "64M", "ext4")
	testdest.Write(t, filepath.Join(src, "file"), "x")
	testdest.Must(t, os.Remove(filepath.Join(disk, "lost+found")))
	testdest.Must(t, os.Mkdir(filepath.Join(disk, "always empty"), 0o755))
	testdest.Write(t, filepath.Join(disk, "user", "file"), "x")
	testdest.Write(t, filepath.Join(disk, "other", "file"), "x")
	point := bindAt(t, disk, filepath.Join(src, "home"))
	wantExit(t, run(t, "backup", src, d.path), 0)
	testdest.Must(t, unix.Unmount(point, unix.MNT_DETACH))
	for _, dir := range []string{"always empty", "user", "other"} {
		testdest.Must(t, os.Mkdir(filepath.Join(point, dir), 0o755))
	}
	guarded(t, d, src, d.path)
	bindAt(t, disk, point)
	wantExit(t, run(t, "backup", src, d.path), 0)
}

// TestAnotherDirectoryIsMounted binds directories of one filesystem, which has one UUID for all of them.
func TestAnotherDirectoryIsMounted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		at    string
		flags []string
	}{
		"as SRC": {at: "."}, "below SRC": {at: "data"}, "on one filesystem": {at: "data", flags: []string{"-x"}},
	} {
		t.Run(name, func(t *testing.T) {
			disk := loopfs.NewFS(t, "64M", "ext4")
			d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
			src := filepath.Join(disk, "src")
			for dir, content := range map[string]twin{"one": {fill: 'a'}, "same": {fill: 'b'}, "other": {fill: 'c', name: "z"}} {
				content.write(t, filepath.Join(disk, dir))
			}
			for i := range 8 {
				testdest.Must(t, os.Remove(filepath.Join(disk, "other", "file"+string(rune('0'+i)))))
			}
			point := filepath.Join(src, c.at)
			testdest.Write(t, filepath.Join(point, "stray"), "x") // below the mount
			if c.at != "." {
				testdest.Write(t, filepath.Join(src, "more"), "x")
			}
			show := func(dir string) (undo func()) {
				bindAt(t, filepath.Join(disk, dir), point)
				return func() { testdest.Must(t, unix.Unmount(point, unix.MNT_DETACH)) }
			}
			again := append([]string{src, d.path}, c.flags...)
			backup := func(code int) {
				t.Helper()
				if code == 13 {
					guarded(t, d, again...)
					return
				}
				wantExit(t, run(t, append([]string{"backup"}, again...)...), code)
			}
			undo := show("one")
			backup(0)
			undo()
			if c.at == "." {
				wantExit(t, run(t, append([]string{"backup"}, again...)...), 13)
			} else {
				backup(13)
			}
			undo = show("other")
			wantExit(t, run(t, append([]string{"backup"}, again...)...), 13)
			undo()
			undo = show("same")
			backup(0)
			if got := read(t, filepath.Join(d.join("cur"), c.at, "file3")); got[0] != 'b' {
				t.Errorf("the backup has %q of the directory before", got[0])
			}
			undo()
			testdest.Must(t, os.Rename(filepath.Join(disk, "same"), filepath.Join(disk, "old")))
			twin{fill: 'd'}.write(t, filepath.Join(disk, "same")) // restored, or made anew
			show("same")
			backup(0)
			backup(0)
		})
	}
}
