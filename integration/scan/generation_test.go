//go:build integration

package scan

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

const noCow = 0x800000 // FS_NOCOW_FL of linux/fs.h

// newBtrfsPair has a subvolume for a source, on a filesystem that no backup is on.
func newBtrfsPair(t *testing.T, names ...string) *pair {
	t.Helper()
	mount := loopfs.NewFS(t, "1G", "btrfs")
	subvolume(t, mount+"/src")
	p := newPairOf(t, mount+"/src", names...)
	p.set = func(o *rsbtbackup.BackupOptions) { o.Force = true }
	return p
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	dir, err := btrfs.OpenDir(path)
	testdest.Must(t, err)
	t.Cleanup(func() { dir.Close() })
	return dir
}

func subvolume(t *testing.T, path string) {
	t.Helper()
	testdest.Must(t, btrfs.CreateSubvolume(open(t, filepath.Dir(path)), filepath.Base(path)))
}

func snapshot(t *testing.T, of, path string) {
	t.Helper()
	testdest.Must(t, btrfs.CreateSnapshot(open(t, filepath.Dir(path)), filepath.Base(path), open(t, of), btrfs.SnapshotOptions{}))
}

// TestEveryChangeHasAGeneration does one thing after the other, each alone between two runs: btrfs must report it.
func TestEveryChangeHasAGeneration(t *testing.T) {
	p := newBtrfsPair(t, "d/f", "d/g", "d/gone", "d/sub/h", "e/f", "large")
	testdest.Must(t, os.Truncate(p.src+"/large", 1<<20))
	nocow, err := os.Create(p.src + "/nocow")
	testdest.Must(t, err)
	testdest.Must(t, errors.Join(btrfs.SetFileFlags(nocow, noCow), nocow.Truncate(64<<10), nocow.Close()))
	long := time.Unix(1e9, 1)
	testdest.Must(t, os.Chtimes(p.src+"/d/g", long, long))
	p.backup()
	want(t, p.backup(), rsbtbackup.ScanGeneration, "")
	at := func(name string) string { return filepath.Join(p.src, name) }
	write := func(name string, offset int64, text string) error {
		f, err := os.OpenFile(at(name), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte(text), offset)
		return errors.Join(err, f.Close())
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"written to", func() error { return write("large", 70000, "x") }},
		{"written without copy on write", func() error { return write("nocow", 5000, "x") }},
		{"written through a mapping", func() error { return throughMapping(at("large")) }},
		{"written with the time put back", func() error {
			return errors.Join(write("d/g", 0, "X"), os.Chtimes(at("d/g"), long, long))
		}},
		{"cut off", func() error { return os.Truncate(at("d/f"), 1) }},
		{"a hole", func() error { return punch(at("large")) }},
		{"mode", func() error { return os.Chmod(at("d/sub"), 0o700) }},
		{"owner", func() error { return os.Lchown(at("d/f"), 1, 2) }},
		{"time", func() error { return os.Chtimes(at("d/f"), long, long) }},
		{"attribute", func() error { return unix.Setxattr(at("d/f"), "user.x", []byte("1"), 0) }},
		{"attribute removed", func() error { return unix.Removexattr(at("d/f"), "user.x") }},
		{"attribute of a directory", func() error { return unix.Setxattr(at("d/sub"), "user.x", []byte("1"), 0) }},
		{"new file", func() error { return os.WriteFile(at("e/new"), nil, 0o600) }},
		{"new directory", func() error { return os.MkdirAll(at("e/n/m"), 0o750) }},
		{"in the new directory", func() error { return os.WriteFile(at("e/n/m/f"), []byte("f"), 0o600) }},
		{"symlink", func() error { return os.Symlink("x", at("e/link")) }},
		{"fifo", func() error { return unix.Mkfifo(at("e/fifo"), 0o600) }},
		{"another name", func() error { return os.Link(at("d/f"), at("e/n/linked")) }},
		{"written by one name", func() error { return write("d/f", 0, "Y") }},
		{"a name less", func() error { return os.Remove(at("e/n/linked")) }},
		{"gone", func() error { return os.Remove(at("d/gone")) }},
		{"renamed", func() error { return os.Rename(at("d/sub"), at("e/sub")) }},
		{"renamed over", func() error { return os.Rename(at("d/g"), at("d/f")) }},
		{"swapped", func() error {
			return unix.Renameat2(unix.AT_FDCWD, at("d"), unix.AT_FDCWD, at("e"), unix.RENAME_EXCHANGE)
		}},
		{"of the root", func() error { return os.Chmod(p.src, 0o711) }},
		{"new subvolume", func() error { subvolume(t, at("e/v")); return nil }},
		{"in the subvolume", func() error { return os.WriteFile(at("e/v/f"), []byte("1"), 0o600) }},
		{"and again", func() error { return os.WriteFile(at("e/v/f"), []byte("22"), 0o600) }},
		{"of the subvolume", func() error { return os.Chmod(at("e/v"), 0o700) }},
		{"the subvolume renamed", func() error { return os.Rename(at("e/v"), at("d/w")) }},
		{"another in the subvolume", func() error {
			subvolume(t, at("d/w/deep"))
			return os.WriteFile(at("d/w/deep/f"), []byte("deep"), 0o600)
		}},
		{"in that one", func() error { return os.WriteFile(at("d/w/deep/g"), []byte("g"), 0o600) }},
		{"rolled back", func() error {
			snapshot(t, at("d/w/deep"), at("d/w/kept"))
			return errors.Join(os.WriteFile(at("d/w/deep/g"), []byte("GG"), 0o600), os.Rename(at("d/w/deep"), at("d/w/x")), os.Rename(at("d/w/kept"), at("d/w/deep")), os.RemoveAll(at("d/w/x")))
		}},
		{"the subvolume is gone", func() error { return os.RemoveAll(at("d/w")) }},
		{"a snapshot of the source", func() error { snapshot(t, p.src, p.src+".kept"); return nil }},
	} {
		t.Run(step.what, func(t *testing.T) {
			testdest.Must(t, step.do())
			s := p.backup()
			if s.Mode != rsbtbackup.ScanGeneration && !strings.HasPrefix(s.Why, "the scan is checked") {
				t.Errorf("%+v", s)
			}
		})
	}
	want(t, p.backup(), rsbtbackup.ScanGeneration, "")
}

func throughMapping(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	copy(data[300000:], "through a mapping")
	return errors.Join(unix.Munmap(data), f.Close())
}

func punch(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 64<<10, 64<<10), f.Close())
}

// What is unchanged is not looked at; what was only read is not listed.
func TestNothingIsNewer(t *testing.T) {
	p := newBtrfsPair(t, "a/b/f", "a/g", "c/")
	subvolume(t, p.src+"/c/v")
	p.write("c/v/f")
	p.backup()
	p.write("a/b/f") // so that the catalog is written
	time.Sleep(2100 * time.Millisecond)
	p.backup()
	p.backup() // the one it is compared with has read files, which got another time of access
	for range 2 {
		s := p.backup()
		want(t, s, rsbtbackup.ScanGeneration, "")
		if s.Looked != 0 || s.Listed != 0 {
			t.Errorf("%+v\n%s", s, p.log.String())
		}
	}
	for _, name := range []string{"a/g", "c/v/f", "c"} {
		f, err := os.Open(p.src + "/" + name)
		testdest.Must(t, err)
		_, _ = f.Read(make([]byte, 1)) // a directory says no
		_, _ = f.ReadDir(1)
		testdest.Must(t, f.Close())
	}
	s := p.backup()
	want(t, s, rsbtbackup.ScanGeneration, "")
	if s.Listed != 0 {
		t.Errorf("%+v", s)
	}
}

// Beyond the life of a mount, and where the numbers cannot be right, the source is walked.
func TestUnusableGenerations(t *testing.T) {
	image := loopfs.NewImage(t, "1G", "btrfs")
	subvolume(t, image.Mount+"/src")
	p := newPairOf(t, image.Mount+"/src", "a/f", "b/g")
	p.set = func(o *rsbtbackup.BackupOptions) { o.Force = true }
	want(t, p.backup(), rsbtbackup.ScanGeneration, "")
	change := func(what string, edit func(g map[string]any)) {
		p.editRecord(p.newest(p.walk), func(scan map[string]any) { edit(scan["generations"].(map[string]any)) })
		p.write("a/f", "b/new-"+what)
		s := p.backup()
		want(t, s, rsbtbackup.ScanWalk, "")
		if s.Generations == nil {
			t.Errorf("%s: %+v", what, s)
		}
		want(t, p.backup(), rsbtbackup.ScanGeneration, "")
	}
	change("another life", func(g map[string]any) { g["life"] = "x" })
	change("a generation to come", func(g map[string]any) { g["subvolumes"].([]any)[0].(map[string]any)["generation"] = int64(1 << 40) })
	change("another subvolume", func(g map[string]any) { g["subvolumes"].([]any)[0].(map[string]any)["id"] = "x" })
	change("none", func(g map[string]any) { g["subvolumes"] = nil })
	testdest.Must(t, os.Mkdir(p.src+"/b/at", 0o700))
	p.backup()
	testdest.Must(t, unix.Mount("none", p.src+"/b/at", "tmpfs", 0, ""))
	want(t, p.backup(), rsbtbackup.ScanWalk, "")
	testdest.Must(t, os.WriteFile(p.src+"/b/at/f", []byte("x"), 0o600))
	if s := p.backup(); s.Mode != rsbtbackup.ScanGeneration || s.Generations.Apart == 0 {
		t.Errorf("%+v", s)
	}
	testdest.Must(t, unix.Unmount(p.src+"/b/at", 0))
	p.backupAnyhow()
}

func TestOneFileSystemByGeneration(t *testing.T) {
	p := newBtrfsPair(t, "a/f", "b/g", "c/")
	p.set = func(o *rsbtbackup.BackupOptions) { o.Force, o.OneFileSystem = true, true }
	subvolume(t, p.src+"/c/v")
	p.write("c/v/f")
	p.backup()
	for _, step := range []func() error{
		func() error { return nil },
		func() error { return os.WriteFile(p.src+"/c/v/new", nil, 0o600) }, // the directory it is gets another time
		func() error { return os.WriteFile(p.src+"/a/f", []byte("changed"), 0o600) },
		func() error { subvolume(t, p.src+"/a/w"); return os.WriteFile(p.src+"/a/w/x", nil, 0o600) },
		func() error { return os.RemoveAll(p.src + "/c/v") },
	} {
		testdest.Must(t, step())
		want(t, p.backup(), rsbtbackup.ScanGeneration, "")
	}
}

// If btrfs did not report a change, the next full run finds it, says so, and is followed by another one.
func TestAChangeThatBtrfsHides(t *testing.T) {
	p := newBtrfsPair(t, "a/f", "b/g")
	p.backup()
	want(t, p.backup(), rsbtbackup.ScanGeneration, "")
	p.write("a/f")
	root := open(t, p.src)
	testdest.Must(t, btrfs.Sync(root))
	info, err := btrfs.SubvolumeInfo(root)
	testdest.Must(t, err)
	p.editRecord(p.newest(p.walk), func(scan map[string]any) {
		scan["since_full"] = 9
		scan["generations"].(map[string]any)["subvolumes"].([]any)[0].(map[string]any)["generation"] = info.Generation
	})
	time.Sleep(2100 * time.Millisecond)
	p.log.Reset()
	p.misses = true
	if s := p.backup(); s.Missed == 0 || s.Mode != rsbtbackup.ScanFull {
		t.Errorf("%+v", s)
	}
	if text := p.log.String(); !strings.Contains(text, "btrfs did not report a change") || !strings.Contains(text, "directory=a") {
		t.Errorf("the log says:\n%s", text)
	}
	want(t, p.backup(), rsbtbackup.ScanFull, "the last scan missed a change")
	want(t, p.backup(), rsbtbackup.ScanGeneration, "")
}

// A catalog that is handed on by runs that read little of the source is that of a run that read all of it.
func TestTheCatalogIsHandedOn(t *testing.T) {
	p := newBtrfsPair(t, "a/f", "b/g", "c/h/i", "d/x")
	p.backup()
	for _, name := range []string{"a/f", "c/h/j", "d/y", "a/f"} {
		p.write(name)
		want(t, p.backup(), rsbtbackup.ScanGeneration, "")
	}
	p.write("b/g") // so that the catalog is written
	time.Sleep(2100 * time.Millisecond)
	want(t, p.backup(), rsbtbackup.ScanGeneration, "")
	p.set = func(o *rsbtbackup.BackupOptions) {
		if o.Force = true; o.Scan == rsbtbackup.ScanAuto {
			o.Scan = rsbtbackup.ScanWalk
		}
	}
	s := p.backup()
	want(t, s, rsbtbackup.ScanWalk, "")
	// The walk compared everything with what was handed on. Nothing was young then, to be listed again.
	if s.Listed != 0 {
		t.Errorf("%+v", s)
	}
}
