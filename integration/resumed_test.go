//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// Another directory is at a path of the source than when it was copied, by a run that was cut, incomplete, or compared
// contents. Its files have the names, sizes and times of those that were copied, and are older than that run: only that
// they are other files tells that their content may differ.
func TestAnotherDirectoryIsThereThanWasCopied(t *testing.T) {
	t.Parallel()
	for name, place := range map[string]func(t *testing.T) (src string, put func(which string)){
		"a directory renamed":   renamedDirs,
		"a disk mounted":        otherDisks,
		"an unidentified mount": unidentifiedMounts,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, put := place(t)
			disk := loopfs.New(t, "512M")
			time.Sleep(2100 * time.Millisecond) // no file is so young that it is doubtful
			after, incomplete, before := endsWith(t, "exit 12"), endsWith(t, "exit 23"), invocation{env: fakeRsync(t, `case " $* " in *" --version "*) exec $REAL "$@" ;; esac; exit 12`)}
			for _, s := range []struct {
				name  string
				steps string // what is at src/sub, and a run: "!" is cut after rsync, "?" before it, "%" incomplete
			}{
				{"in the first run", "a! b."},
				{"in a later run", "-. a! b."},
				{"the last backup has it", "a. b! a."},
				{"a third one was seen, and not copied", "a! c? b."},
				{"a third one was seen, and the last backup has none", "-. a! c? b."},
				{"nothing was seen for one run", "a! -? b."},
				{"the last backup is incomplete", "a% b."},
				{"the last two backups are incomplete", "-. a% b% a."},
				{"the last backup compared contents", "a= b."},
			} {
				t.Run(s.name, func(t *testing.T) {
					dest := testdest.Init(t, filepath.Join(disk, filepath.Base(t.Name())))
					ends := func(exit int, rsync invocation, args ...string) {
						if r := rsync.run(t, append([]string{"backup", src, dest}, args...)...); r.Exit != exit {
							t.Fatalf("exit %d\n%s", r.Exit, r.Stderr)
						}
					}
					for step := range strings.FieldsSeq(s.steps) {
						put(step[:1])
						switch step[1:] {
						case "!":
							ends(1, after)
							if got := testdest.Read(t, filepath.Join(dest, "pending", "sub", "dir", "file")); got != step[:1] {
								t.Fatalf("%q was copied", got)
							}
						case "?":
							ends(1, before)
						case "%":
							ends(3, incomplete)
							testdest.WantSame(t, src, filepath.Join(dest, testdest.Names(t, dest)[len(testdest.Names(t, dest))-1]))
						case "=":
							ends(0, invocation{}, "--checksum")
						default:
							testdest.WantSame(t, src, testdest.Backup(t, src, dest))
						}
					}
				})
			}
		})
	}
}

// twins makes directories a and b with equal files but for the content, c with another size, and an empty one.
func twins(t *testing.T, in string) {
	t.Helper()
	for which, content := range map[string]string{"a": "a", "b": "b", "c": "ccc", "-": ""} {
		testdest.Must(t, os.MkdirAll(filepath.Join(in, which), 0o755))
		if content == "" {
			continue
		}
		file := filepath.Join(in, which, "dir", "file")
		testdest.Write(t, file, content)
		testdest.Must(t, os.Chtimes(file, time.Unix(1e9, 0), time.Unix(1e9, 0)))
	}
}

// A directory is renamed to be there.
func renamedDirs(t *testing.T) (src string, put func(which string)) {
	disk := loopfs.NewFS(t, "64M", "ext4")
	twins(t, disk)
	src = filepath.Join(disk, "src")
	testdest.Write(t, filepath.Join(src, "other"), "other")
	sub, is := filepath.Join(src, "sub"), ""
	return src, func(which string) {
		if is != "" {
			testdest.Must(t, os.Rename(sub, filepath.Join(disk, is)))
		}
		testdest.Must(t, os.Rename(filepath.Join(disk, which), sub))
		is = which
	}
}

// A disk is mounted there.
func otherDisks(t *testing.T) (src string, put func(which string)) {
	disks := map[string]string{}
	for _, which := range []string{"a", "b", "c", "-"} {
		disks[which] = loopfs.NewFS(t, "32M", "ext4")
		twins(t, disks[which])
	}
	src, sub := newMountPoint(t)
	return src, func(which string) {
		_ = unix.Unmount(sub, 0)
		testdest.Must(t, unix.Mount(filepath.Join(disks[which], which), sub, "", unix.MS_BIND, ""))
	}
}

// A program shows a directory there, of which it says always the same, in whole seconds as of an archive.
func unidentifiedMounts(t *testing.T) (src string, put func(which string)) {
	disk, shown := t.TempDir(), t.TempDir()
	testdest.Must(t, unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1M"))
	t.Cleanup(func() { testdest.Must(t, unix.Unmount(disk, unix.MNT_DETACH)) })
	twins(t, disk)
	src, sub := newMountPoint(t)
	hide := func() {}
	t.Cleanup(func() { hide() })
	return src, func(which string) {
		hide()
		hide = testdest.ShowNameless(t, filepath.Join(disk, which), shown, sub)
	}
}

func newMountPoint(t *testing.T) (src, sub string) {
	src = filepath.Join(loopfs.NewFS(t, "64M", "ext4"), "src")
	testdest.Write(t, filepath.Join(src, "other"), "other")
	sub = filepath.Join(src, "sub")
	testdest.Must(t, os.Mkdir(sub, 0o755))
	t.Cleanup(func() { _ = unix.Unmount(sub, unix.MNT_DETACH) })
	return src, sub
}
