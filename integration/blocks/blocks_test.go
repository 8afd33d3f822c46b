//go:build integration

// Package blocks has tests of large files of which only what has changed is read: after each change, however it was
// made, the backup is compared with its source, byte by byte.
package blocks

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }

const (
	mib  = 1 << 20
	size = 12 * mib // of a large file
)

// world is a source on btrfs with large files in it, and a destination elsewhere.
type world struct {
	t     *testing.T
	mount string
	src   string
	dest  string
	made  int
	set   func(o *rsbtbackup.BackupOptions)
	log   bytes.Buffer
	r     *rand.ChaCha8
}

func newWorld(t *testing.T, mountOpts ...string) *world {
	t.Helper()
	mount := loopfs.NewFS(t, "2G", "btrfs", mountOpts...)
	w := &world{t: t, mount: mount, src: mount + "/src", dest: filepath.Join(loopfs.New(t, "2G"), "dest"), r: rand.NewChaCha8([32]byte{1}), set: func(*rsbtbackup.BackupOptions) {}}
	testdest.NewSubvolume(t, w.src)
	testdest.Must(t, os.Mkdir(w.dest, 0o700))
	_, err := rsbtbackup.Init(t.Context(), w.dest, rsbtbackup.InitOptions{})
	testdest.Must(t, err)
	return w
}

func (w *world) at(name string) string { return filepath.Join(w.src, name) }

// noise is data that is nowhere else.
func (w *world) noise(n int) []byte {
	data := make([]byte, n)
	_, _ = w.r.Read(data) // it never fails
	return data
}

func (w *world) create(name string, n int) {
	w.t.Helper()
	testdest.Must(w.t, os.MkdirAll(filepath.Dir(w.at(name)), 0o755))
	testdest.Must(w.t, os.WriteFile(w.at(name), w.noise(n), 0o644))
}

// with does something with a file that is open for reading and writing.
func (w *world) with(name string, do func(f *os.File) error) {
	w.t.Helper()
	f, err := os.OpenFile(w.at(name), os.O_RDWR|os.O_CREATE, 0o644)
	testdest.Must(w.t, err)
	testdest.Must(w.t, errors.Join(do(f), f.Close()))
}

func (w *world) write(name string, offset int64, n int) {
	w.t.Helper()
	w.with(name, func(f *os.File) error {
		_, err := f.WriteAt(w.noise(n), offset)
		return err
	})
}

// backup makes one, which must be equal to the source.
func (w *world) backup() *rsbtbackup.Scan {
	w.t.Helper()
	w.made++
	o := rsbtbackup.BackupOptions{
		Source: w.src, Dest: w.dest, Now: time.Now().Truncate(time.Second).Add(time.Duration(w.made) * time.Minute),
		Logger: slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	w.set(&o)
	report, err := rsbtbackup.Backup(w.t.Context(), o)
	if err != nil {
		w.t.Fatalf("%v\n%s", err, w.log.String())
	}
	w.same(report.Name)
	return report.Scan
}

// same compares a backup with the source.
func (w *world) same(name string) {
	w.t.Helper()
	got := filepath.Join(w.dest, name)
	testdest.WantSame(w.t, w.src, got)
	err := filepath.WalkDir(w.src, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(w.src, path)
		if err != nil {
			return err
		}
		if offset, err := difference(path, filepath.Join(got, rel)); err != nil || offset >= 0 {
			w.t.Errorf("%s differs at %d in %s: %v\n%s", rel, offset, name, err, w.log.String())
		}
		return nil
	})
	testdest.Must(w.t, err)
}

// difference is where two files differ first; -1 if they do not.
func difference(a, b string) (int64, error) {
	x, err := os.Open(a)
	if err != nil {
		return 0, err
	}
	defer x.Close()
	y, err := os.Open(b)
	if err != nil {
		return 0, err
	}
	defer y.Close()
	left, right := make([]byte, mib), make([]byte, mib)
	for offset := int64(0); ; offset += mib {
		n, err := io.ReadFull(x, left)
		m, other := io.ReadFull(y, right)
		for i := range min(n, m) {
			if left[i] != right[i] {
				return offset + int64(i), nil
			}
		}
		switch {
		case n != m:
			return offset + int64(min(n, m)), nil
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return -1, nil
		case err != nil || other != nil:
			return 0, errors.Join(err, other)
		}
	}
}

// patched wants so many files to be copied by what has changed in them, with no more than most bytes read.
func (w *world) patched(s *rsbtbackup.Scan, n int, most int64) {
	w.t.Helper()
	if strings.HasPrefix(s.Why, "the scan is checked") {
		return
	}
	if s.Patched != n || s.PatchedRead > most || s.Mode != rsbtbackup.ScanGeneration {
		w.t.Errorf("want %d files and %d bytes read at most: %+v\n%s", n, most, s, w.log.String())
	}
}

func (w *world) fallocate(name string, mode uint32, offset, n int64) {
	w.t.Helper()
	w.with(name, func(f *os.File) error { return unix.Fallocate(int(f.Fd()), mode, offset, n) })
}

func (w *world) clone(from string, at, n int64, to string, offset int64) {
	w.t.Helper()
	source, err := os.Open(from)
	testdest.Must(w.t, err)
	defer source.Close()
	w.with(to, func(f *os.File) error {
		return unix.IoctlFileCloneRange(int(f.Fd()), &unix.FileCloneRange{Src_fd: int64(source.Fd()), Src_offset: uint64(at), Src_length: uint64(n), Dest_offset: uint64(offset)})
	})
}

func (w *world) dedupe(from string, at, n int64, to string, offset int64) {
	w.t.Helper()
	source, err := os.Open(from)
	testdest.Must(w.t, err)
	defer source.Close()
	w.with(to, func(f *os.File) error {
		r := unix.FileDedupeRange{Src_offset: uint64(at), Src_length: uint64(n), Info: []unix.FileDedupeRangeInfo{{Dest_fd: int64(f.Fd()), Dest_offset: uint64(offset)}}}
		err := unix.IoctlFileDedupeRange(int(source.Fd()), &r)
		if err == nil && r.Info[0].Status != 0 {
			w.t.Errorf("deduplication: status %d", r.Info[0].Status)
		}
		return err
	})
}

// keepTimes does something to a file and gives it its time back.
func (w *world) keepTimes(name string, do func()) {
	w.t.Helper()
	info, err := os.Stat(w.at(name))
	testdest.Must(w.t, err)
	do()
	testdest.Must(w.t, os.Chtimes(w.at(name), time.Time{}, info.ModTime()))
}

func (w *world) snapshot(name string) {
	w.t.Helper()
	testdest.Snapshot(w.t, w.src, filepath.Join(w.mount, name), true)
}

const (
	punchHole = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	zeroRange = unix.FALLOC_FL_ZERO_RANGE
)

// TestEachWayToChangeAFile does one thing after the other to a large file, each alone between two backups.
func TestEachWayToChangeAFile(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"f", "older", "d/other"} {
		w.create(name, size)
	}
	testdest.Must(t, os.WriteFile(w.at("small"), []byte("x"), 0o644))
	w.snapshot("first")
	time.Sleep(2100 * time.Millisecond) // what is younger is looked at again by the next run
	w.backup()
	const block, some, all = 4096, mib, size + 8*mib
	for _, step := range []struct {
		name string
		do   func()
		n    int
		most int64
	}{
		{"a block written", func() { w.write("f", 5*mib, block) }, 1, block},
		{"some bytes written", func() { w.write("f", 3*mib+77, 5) }, 1, block},
		{"written and not flushed", func() { w.write("f", 9*mib, 300000) }, 1, some},
		{"a range cloned from an older file", func() { w.clone(w.at("older"), 2*mib, 65536, "f", 6*mib) }, 1, 65536},
		{"a range cloned from the first state", func() { w.clone(w.mount+"/first/f", 5*mib, block, "f", 5*mib) }, 1, block},
		{"a range cloned within the file", func() { w.clone(w.at("f"), mib, 65536, "f", 8*mib) }, 1, 65536},
		{"a range cloned, with the time put back", func() { w.keepTimes("f", func() { w.clone(w.at("older"), mib, 65536, "f", 7*mib) }) }, 1, 65536},
		{"written, with the time put back", func() { w.keepTimes("f", func() { w.write("f", 4*mib, block) }) }, 1, block},
		{"deduplicated", func() {
			w.with("d/other", func(f *os.File) error {
				data := make([]byte, 65536)
				older, err := os.Open(w.at("older"))
				testdest.Must(t, err)
				_, err = older.ReadAt(data, 0)
				testdest.Must(t, errors.Join(err, older.Close()))
				_, err = f.WriteAt(data, mib)
				return err
			})
			w.backup()
			w.dedupe(w.at("older"), 0, 65536, "d/other", mib)
			w.write("d/other", 0, block)
		}, 1, some},
		{"a hole", func() { w.fallocate("f", punchHole, 2*mib, mib) }, 1, some},
		{"a hole of odd ends", func() { w.fallocate("f", punchHole, 4*mib+100, 50000) }, 1, some},
		{"a hole filled", func() { w.write("f", 2*mib+block, block) }, 1, some},
		{"zeros", func() { w.fallocate("f", zeroRange, 6*mib, mib) }, 1, some},
		{"written in the zeros", func() { w.write("f", 6*mib+block, block) }, 1, some},
		{"set aside beyond the end", func() { w.fallocate("f", unix.FALLOC_FL_KEEP_SIZE, size, mib) }, 1, some},
		{"written in what was set aside", func() { w.write("f", size+100, 5000) }, 1, some},
		{"appended", func() { w.write("f", size+5100, mib) }, 1, 2 * mib},
		{"cut off", func() { testdest.Must(t, os.Truncate(w.at("f"), 11*mib+777)) }, 1, some},
		{"longer, with a hole", func() { testdest.Must(t, os.Truncate(w.at("f"), size+333)) }, 1, some},
		{"cut off and made longer", func() {
			testdest.Must(t, os.Truncate(w.at("f"), 10*mib+5))
			testdest.Must(t, os.Truncate(w.at("f"), size))
		}, 1, some},
		{"cut off and written beyond the end", func() {
			testdest.Must(t, os.Truncate(w.at("f"), 9*mib+5))
			w.write("f", 11*mib, mib)
		}, 1, 2 * mib},
		{"through a mapping that stays", func() { w.mapped("f", false) }, 1, some},
		{"through a mapping, flushed", func() { w.mapped("f", true) }, 1, some},
		{"past the page cache", func() { w.direct("f", 5*mib) }, 1, some},
		{"all cloned from an older file", func() { w.clone(w.at("older"), 0, 0, "f", 0) }, 1, all},
		{"all of the first state, with its time", func() {
			info, err := os.Stat(w.mount + "/first/f")
			testdest.Must(t, err)
			w.clone(w.mount+"/first/f", 0, 0, "f", 0)
			testdest.Must(t, os.Chtimes(w.at("f"), time.Time{}, info.ModTime()))
		}, 1, all},
		{"the same data written again", func() {
			w.with("f", func(f *os.File) error {
				data := make([]byte, mib)
				if _, err := f.ReadAt(data, mib); err != nil {
					return err
				}
				_, err := f.WriteAt(data, mib)
				return err
			})
		}, 1, mib},
		{"defragmented", func() {
			w.write("f", 2*mib, block)
			testdest.SyncAll(t, w.mount)
			testdest.Tool(t, "btrfs", "filesystem", "defragment", "-f", "-t", "256M", w.at("f"))
			w.write("f", 3*mib, block)
		}, 1, all},
		{"balanced", func() {
			testdest.Tool(t, "btrfs", "balance", "start", "-d", w.mount)
			w.write("f", 2*mib, block)
		}, 1, all},
		{"after the balance", func() { w.write("f", mib, block) }, 1, some},
		{"moved in the file by clones", func() { // as a range that is put in would
			w.clone(w.at("f"), 6*mib, 2*mib, "f", 8*mib)
			w.clone(w.at("f"), 4*mib, 2*mib, "f", 6*mib)
			w.clone(w.at("older"), 0, 2*mib, "f", 4*mib)
		}, 1, all},
		{"two of them", func() { w.write("f", mib, block); w.write("older", mib, block) }, 2, all},
		{"with other attributes", func() {
			w.write("f", 2*mib, block)
			testdest.Must(t, errors.Join(os.Chown(w.at("f"), 7, 8), os.Chmod(w.at("f"), 0o4755), unix.Setxattr(w.at("f"), "user.x", []byte("1"), 0)))
			testdest.Tool(t, "setfacl", "-m", "u:9:r", w.at("f"))
		}, 1, block},
		{"with a capability", func() {
			w.write("f", 3*mib, block)
			testdest.Tool(t, "setcap", "cap_net_raw+ep", w.at("f"))
		}, 1, block},
		{"attributes alone", func() { testdest.Must(t, os.Chmod(w.at("f"), 0o600)) }, 0, 0},
		{"after that", func() { w.write("f", 4*mib, block) }, 1, block},
		{"a name more", func() { w.write("f", 5*mib, block); testdest.Must(t, os.Link(w.at("f"), w.at("d/g"))) }, 0, 0},
		{"a name less", func() { w.write("f", mib, block); testdest.Must(t, os.Remove(w.at("d/g"))) }, 0, 0},
		{"of one name again", func() { w.write("f", mib, block) }, 1, some},
		{"another file of that name, size and time", func() {
			w.keepTimes("f", func() {
				w.create("new", size)
				testdest.Must(t, os.Rename(w.at("new"), w.at("f")))
			})
		}, 0, 0},
		{"that one written", func() { w.write("f", mib, block) }, 1, some},
		{"swapped with another of its size", func() {
			testdest.Must(t, unix.Renameat2(unix.AT_FDCWD, w.at("f"), unix.AT_FDCWD, w.at("older"), unix.RENAME_EXCHANGE))
			w.write("f", mib, block)
		}, 0, 0},
		{"renamed and written", func() {
			testdest.Must(t, os.Rename(w.at("f"), w.at("d/moved")))
			w.write("d/moved", mib, block)
		}, 0, 0},
		{"its directory renamed and it written", func() {
			testdest.Must(t, os.Rename(w.at("d"), w.at("e")))
			w.write("e/moved", mib, block)
		}, 0, 0},
	} {
		ok := t.Run(step.name, func(t *testing.T) {
			w.t = t
			step.do()
			w.patched(w.backup(), step.n, step.most)
		})
		w.t = t
		w.log.Reset()
		if !ok && t.Context().Err() != nil {
			return
		}
	}
	f, err := os.OpenFile(w.at("older"), os.O_RDWR, 0)
	testdest.Must(t, err)
	defer f.Close()
	for mode, want := range map[uint32]error{unix.FALLOC_FL_COLLAPSE_RANGE: unix.EOPNOTSUPP, unix.FALLOC_FL_INSERT_RANGE: unix.EOPNOTSUPP} {
		if err := unix.Fallocate(int(f.Fd()), mode, mib, mib); !errors.Is(err, want) {
			t.Errorf("btrfs can shift ranges now, which is to be tried as well: %v", err)
		}
	}
}

// mapped stores through a mapping that is there before, and after, all is written out.
func (w *world) mapped(name string, flush bool) {
	w.t.Helper()
	f, err := os.OpenFile(w.at(name), os.O_RDWR, 0)
	testdest.Must(w.t, err)
	defer f.Close()
	data, err := unix.Mmap(int(f.Fd()), 0, size/2, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	testdest.Must(w.t, err)
	w.t.Cleanup(func() { testdest.Must(w.t, unix.Munmap(data)) })
	copy(data[mib:], w.noise(100))
	dir, err := btrfs.OpenDir(w.mount)
	testdest.Must(w.t, err)
	testdest.Must(w.t, errors.Join(btrfs.Sync(dir), dir.Close()))
	w.backup()
	copy(data[2*mib+4000:], w.noise(300))
	if flush {
		testdest.Must(w.t, unix.Msync(data, unix.MS_SYNC))
	}
}

// direct writes with O_DIRECT.
func (w *world) direct(name string, offset int64) {
	w.t.Helper()
	f, err := os.OpenFile(w.at(name), os.O_RDWR|unix.O_DIRECT, 0)
	testdest.Must(w.t, err)
	data, err := unix.Mmap(-1, 0, 65536, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON) // as it is aligned
	testdest.Must(w.t, err)
	copy(data, w.noise(len(data)))
	_, err = f.WriteAt(data, offset)
	testdest.Must(w.t, errors.Join(err, f.Close(), unix.Munmap(data)))
}
