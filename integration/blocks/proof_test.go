//go:build integration

package blocks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// rsyncThat lets a shell do something before, and after, rsync copies.
func (w *world) rsyncThat(before, after string) {
	w.t.Helper()
	script := filepath.Join(w.t.TempDir(), "rsync")
	text := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in *--version*) exec rsync \"$@\";; esac\n%s\nrsync \"$@\"\nrc=$?\n%s\nexit $rc\n", before, after)
	testdest.Must(w.t, os.WriteFile(script, []byte(text), 0o755))
	w.set = func(o *rsbtbackup.BackupOptions) { o.RsyncProgram = script }
}

func (w *world) plainRsync() { w.set = func(*rsbtbackup.BackupOptions) {} }

// A file that is written without copy on write changes where it lies.
func TestAFileWithoutCopyOnWrite(t *testing.T) {
	w := newWorld(t)
	w.with("f", func(f *os.File) error { return btrfs.SetFileFlags(f, 0x800000) }) // FS_NOCOW_FL
	w.write("f", 0, size)
	w.backup()
	for i := range int64(3) {
		w.write("f", i*mib, 4096)
		w.patched(w.backup(), 0, 0)
	}
}

// Where data lies says nothing beyond the life of a mount: the disk may have been put back, and have gone on from
// there.
func TestAnotherLifeOfTheSource(t *testing.T) {
	image := loopfs.NewImage(t, "2G", "btrfs")
	w := newWorld(t)
	w.mount, w.src = image.Mount, image.Mount+"/src"
	w.set = func(o *rsbtbackup.BackupOptions) { o.Force = true }
	testdest.NewSubvolume(t, w.src)
	w.create("f", size)
	w.create("g", size)
	w.backup()
	w.write("f", mib, 4096)
	w.patched(w.backup(), 1, 4096)
	time.Sleep(2100 * time.Millisecond)
	w.backup()
	image.Remount(t)
	w.write("f", 2*mib, 4096)
	if s := w.backup(); s.Patched > 0 || s.Mode != rsbtbackup.ScanWalk {
		t.Errorf("%+v", s)
	}
	w.write("f", 3*mib, 4096)
	w.write("g", 3*mib, 4096) // where it lies was found out by the run before
	w.patched(w.backup(), 2, 2*4096)
}

// TestAFileThatIsSomethingElseMeanwhile: rsync sees other data than there was when it was found out where the file
// lies. It comes back to the old place later; the backup has not got it.
func TestAFileThatIsSomethingElseMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.create("f", size)
	testdest.Tool(t, "cp", "--reflink=always", w.at("f"), w.mount+"/kept")
	clone := func(from string) string {
		return fmt.Sprintf("cp --reflink=always %s %s", from, w.at("f"))
	}
	testdest.Must(t, os.WriteFile(w.mount+"/other", w.noise(size), 0o600))
	w.rsyncThat(clone(w.mount+"/other"), "")
	// The first backup gets the other one, and notes nothing.
	w.backup()
	w.plainRsync()
	testdest.Tool(t, "sh", "-c", clone(w.mount+"/kept"))
	w.patched(w.backup(), 0, 0)
	w.write("f", mib, 4096)
	w.patched(w.backup(), 1, 4096)
}

// ... and is again what it was, with its old time, before rsync has ended.
func TestAFileThatIsBackAgain(t *testing.T) {
	w := newWorld(t)
	w.create("f", size)
	testdest.Must(t, os.WriteFile(w.mount+"/other", w.noise(size), 0o600))
	testdest.Tool(t, "cp", "--reflink=always", "--preserve=timestamps", w.at("f"), w.mount+"/kept")
	clone := func(from string) string {
		return fmt.Sprintf("cp --reflink=always %s %s; touch -r %s %s", from, w.at("f"), w.mount+"/kept", w.at("f"))
	}
	w.rsyncThat(clone(w.mount+"/other"), clone(w.mount+"/kept"))
	o := rsbtbackup.BackupOptions{Source: w.src, Dest: w.dest}
	w.set(&o)
	_, err := rsbtbackup.Backup(t.Context(), o)
	testdest.Must(t, err)
	w.plainRsync()
	w.made += 5
	w.patched(w.backup(), 0, 0)
}

// TestAFileThatRsyncFindsChanged: during the scan the file is unchanged, so it is not examined again. But rsync lists
// its directory, and copies another content. Then the old content is back, with its old time.
func TestAFileThatRsyncFindsChanged(t *testing.T) {
	w := newWorld(t)
	w.create("d/f", size)
	testdest.Must(t, os.WriteFile(w.mount+"/other", w.noise(size), 0o600))
	time.Sleep(2100 * time.Millisecond)
	w.backup()
	testdest.Tool(t, "cp", "--reflink=always", "--preserve=timestamps", w.at("d/f"), w.mount+"/kept")
	testdest.Must(t, os.WriteFile(w.at("d/new"), []byte("x"), 0o600))
	w.rsyncThat(fmt.Sprintf("cp --reflink=always %s %s", w.mount+"/other", w.at("d/f")), "")
	w.backup()
	w.plainRsync()
	testdest.Tool(t, "sh", "-c", fmt.Sprintf("cp --reflink=always %[1]s %[2]s; touch -r %[1]s %[2]s", w.mount+"/kept", w.at("d/f")))
	w.patched(w.backup(), 0, 0)
}

// A file that is written to right after it was copied is compared by rsync.
func TestAFileThatIsWrittenMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.create("f", size)
	w.backup()
	for i := range int64(3) {
		w.rsyncThat(fmt.Sprintf("dd if=/dev/urandom of=%s bs=4096 count=1 seek=%d conv=notrunc status=none", w.at("f"), 500+i), "")
		w.write("f", mib*i, 4096)
		w.backup()
		w.plainRsync()
		w.write("f", mib*(i+4), 4096)
		w.patched(w.backup(), 0, 0) // where it lay when rsync read it is not known
		w.write("f", mib*(i+4), 4096)
		w.patched(w.backup(), 1, 4096)
	}
}

// Without a catalog it is not known what the backup has of a file.
func TestNothingIsKnownWithoutACatalog(t *testing.T) {
	w := newWorld(t)
	w.create("f", size)
	w.backup()
	testdest.Must(t, os.Remove(w.dest+"/.log/catalog"))
	info, err := os.Stat(w.at("f"))
	testdest.Must(t, err)
	w.write("f", 5*mib, 4096)
	testdest.Must(t, os.Chtimes(w.at("f"), time.Time{}, info.ModTime()))
	// rsync does not see that; the next change must not hide it.
	w.made++
	_, err = rsbtbackup.Backup(t.Context(), rsbtbackup.BackupOptions{Source: w.src, Dest: w.dest, Now: time.Now().Add(time.Hour)})
	testdest.Must(t, err)
	w.made += 120
	w.write("f", mib, 4096)
	w.patched(w.backup(), 0, 0)
	w.write("f", 2*mib, 4096)
	w.patched(w.backup(), 1, 4096)
}

// What lets rsync read everything, or write files anew, goes before.
func TestOptionsThatReadEverything(t *testing.T) {
	w := newWorld(t)
	w.create("f", size)
	w.backup()
	for i, set := range []func(o *rsbtbackup.BackupOptions){
		func(o *rsbtbackup.BackupOptions) { o.Checksum = true },
		func(o *rsbtbackup.BackupOptions) { o.WholeFiles = true },
		func(o *rsbtbackup.BackupOptions) { o.Scan = rsbtbackup.ScanFull },
		func(o *rsbtbackup.BackupOptions) { o.Scan = rsbtbackup.ScanWalk },
		func(o *rsbtbackup.BackupOptions) { o.RsyncArgs = []string{"--fuzzy"} },
		func(o *rsbtbackup.BackupOptions) { o.Filter = []string{"- x"} },
	} {
		w.set = set
		w.write("f", int64(i)*mib, 4096)
		if s := w.backup(); s.Patched > 0 {
			t.Errorf("%d: %+v", i, s)
		}
		w.plainRsync()
		w.backup()
	}
}

// A rule leaves a file out.
func TestAFileThatIsLeftOut(t *testing.T) {
	w := newWorld(t)
	w.create("f", size)
	w.create("d/g", size)
	w.set = func(o *rsbtbackup.BackupOptions) { o.Exclude = []string{"/d/g"} }
	for i := range int64(3) {
		w.write("f", i*mib, 4096)
		w.write("d/g", i*mib, 4096)
		w.made++
		o := rsbtbackup.BackupOptions{Source: w.src, Dest: w.dest, Now: time.Now().Truncate(time.Second).Add(time.Duration(w.made) * time.Minute)}
		w.set(&o)
		r, err := rsbtbackup.Backup(t.Context(), o)
		testdest.Must(t, err)
		got := filepath.Join(w.dest, r.Name)
		if at, err := difference(w.at("f"), got+"/f"); err != nil || at >= 0 {
			t.Errorf("%d %v", at, err)
		}
		if testdest.Exists(got + "/d/g") {
			t.Error("it is there")
		}
		if i > 0 {
			w.patched(r.Scan, 1, 4096)
		}
	}
}

// A snapshot of the source is read in its place.
func TestFilesInASnapshotOfTheSource(t *testing.T) {
	w := newWorld(t)
	w.create("f", size)
	w.set = func(o *rsbtbackup.BackupOptions) { o.SnapshotSource = true }
	w.backup()
	for i := range int64(3) {
		w.write("f", i*mib, 4096)
		w.patched(w.backup(), 1, 4096)
	}
	w.plainRsync()
	w.write("f", 4*mib, 4096)
	w.patched(w.backup(), 1, 4096)
}

// A subvolume that was rolled back is another one; nested ones have generations of their own.
func TestSubvolumesOfTheSource(t *testing.T) {
	w := newWorld(t)
	testdest.NewSubvolume(t, w.at("v"))
	w.create("v/f", size)
	w.create("g", size)
	testdest.Snapshot(t, w.at("v"), w.mount+"/v.first", false)
	w.backup()
	w.write("v/f", mib, 4096)
	w.write("g", mib, 4096)
	w.patched(w.backup(), 2, 2*4096)
	testdest.Must(t, errors.Join(os.Rename(w.at("v"), w.mount+"/v.old"), os.Rename(w.mount+"/v.first", w.at("v"))))
	w.write("v/f", 2*mib, 4096)
	w.patched(w.backup(), 0, 0)
	w.write("v/f", 3*mib, 4096)
	w.patched(w.backup(), 1, size)
}

// A new file, of a size that pays, is known from the first time it is backed up.
func TestNewFiles(t *testing.T) {
	w := newWorld(t)
	w.create("small", mib)
	w.backup()
	w.create("d/new", size)
	w.write("small", size, mib) // grows
	w.patched(w.backup(), 0, 0)
	w.write("d/new", mib, 4096)
	w.write("small", mib, 4096)
	w.patched(w.backup(), 2, 2*4096)
	testdest.Must(t, os.Remove(w.at("small")))
	w.write("d/new", 2*mib, 4096)
	w.patched(w.backup(), 1, 4096)
	testdest.Must(t, os.Truncate(w.at("d/new"), mib))
	w.patched(w.backup(), 0, 0) // too small
}

// TestASparseImage: of 20 GB with little in it as little is read.
func TestASparseImage(t *testing.T) {
	w := newWorld(t)
	w.with("image", func(f *os.File) error {
		for i := range int64(20) {
			if _, err := f.WriteAt(w.noise(mib), i<<30); err != nil {
				return err
			}
		}
		return f.Truncate(20 << 30)
	})
	back := func() *rsbtbackup.Scan { // 20 GB are not compared
		w.made++
		r, err := rsbtbackup.Backup(t.Context(), rsbtbackup.BackupOptions{Source: w.src, Dest: w.dest, Now: time.Now().Truncate(time.Second).Add(time.Duration(w.made) * time.Minute)})
		testdest.Must(t, err)
		got := filepath.Join(w.dest, r.Name, "image")
		for i := range int64(20) {
			a, b := part(t, w.at("image"), i<<30), part(t, got, i<<30)
			if string(a) != string(b) {
				t.Errorf("differs at %d GiB", i)
			}
		}
		var st unix.Stat_t
		testdest.Must(t, unix.Stat(got, &st))
		if st.Blocks*512 > 40<<20 {
			t.Errorf("the copy has %d bytes", st.Blocks*512)
		}
		return r.Scan
	}
	back()
	w.write("image", 7<<30+4096, 4096)
	w.patched(back(), 1, 4096)
	w.write("image", 8<<30+2*mib, 4096)
	w.patched(back(), 1, 4096)
	w.fallocate("image", punchHole, 3<<30, mib)
	w.patched(back(), 1, 0)
}

func part(t *testing.T, path string, offset int64) []byte {
	t.Helper()
	f, err := os.Open(path)
	testdest.Must(t, err)
	defer f.Close()
	data := make([]byte, 4*mib)
	n, err := f.ReadAt(data, offset)
	testdest.Must(t, err)
	return data[:n]
}
