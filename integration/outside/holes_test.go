//go:build integration

package outside

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
)

// sparse makes a file of that size with a block of data every so often, or none.
func sparse(t testing.TB, path string, size int64, every int64) {
	t.Helper()
	testdest.Must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	testdest.Must(t, err)
	defer f.Close()
	testdest.Must(t, f.Truncate(size))
	for at := every; every > 0 && at < size; at += every {
		_, err := f.WriteAt(fmt.Appendf(nil, "data at %d of %s", at, path), at)
		testdest.Must(t, err)
	}
}

func blocks(t testing.TB, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	testdest.Must(t, unix.Stat(path, &st))
	return st.Blocks * 512
}

// wantSmall is that holes are holes.
func wantSmall(t testing.TB, path string, limit int64) {
	t.Helper()
	if got := blocks(t, path); got > limit {
		t.Errorf("%s takes %d B, want at most %d", path, got, limit)
	}
}

// New and grown files with holes need no space for their zeros, in a first backup and in later ones, with all rules and
// ways to compare. The disk has 1 GiB, the holes 3 each.
func TestHolesNeedNoSpace(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--no-inplace"}, {"--exclude=*.no"}, {"-x"}} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			src, dest := newSource(t), testdest.New(t, "1G")
			testdest.Write(t, filepath.Join(src, "small"), "x")
			sparse(t, filepath.Join(src, "first"), 3<<30, 1<<30)
			backup(t, 0, src, dest, args...)
			check := func() {
				t.Helper()
				wantHoles(t, src, testdest.CurrentPath(t, dest))
			}
			check()
			sparse(t, filepath.Join(src, "lastlog"), 3<<30, 0)
			sparse(t, filepath.Join(src, "new", "dir", "image"), 3<<30, 500<<20)
			sparse(t, filepath.Join(src, "excluded.no"), 3<<30, 500<<20)
			backup(t, 0, src, dest, append(args, "--exclude=/excluded.no")...)
			testdest.Must(t, os.Remove(filepath.Join(src, "excluded.no")))
			sparse(t, filepath.Join(src, "new", "dir", "image"), 6<<30, 700<<20)
			testdest.Must(t, os.Truncate(filepath.Join(src, "small"), 3<<30))
			backup(t, 0, src, dest, args...)
			check()
			testdest.Must(t, os.Truncate(filepath.Join(src, "new", "dir", "image"), 1<<30))
			backup(t, 0, src, dest, args...)
			check()
		})
	}
}

// wantHoles is that files have the same size, data and holes; reading gigabytes of holes would take long.
func wantHoles(t testing.TB, src, backup string) {
	t.Helper()
	testdest.Must(t, filepath.Walk(src, func(path string, fi os.FileInfo, err error) error {
		if err != nil || !fi.Mode().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(src, path)
		testdest.Must(t, err)
		if a, b := dataOf(t, path), dataOf(t, filepath.Join(backup, rel)); a != b {
			t.Errorf("%s: %s in the backup, %s in the source", rel, b, a)
		}
		wantSmall(t, filepath.Join(backup, rel), blocks(t, path)+1<<20)
		return nil
	}))
	if diff := testdest.Tool(t, "rsync", "-naHAX", "--numeric-ids", "--modify-window=-1", "--delete", "--itemize-changes", "--", src+"/", backup+"/"); diff != "" {
		t.Errorf("%s differs from %s:\n%s", backup, src, diff)
	}
}

// dataOf returns the ranges of a file that are not zeros.
func dataOf(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	testdest.Must(t, err)
	defer f.Close()
	fi, err := f.Stat()
	testdest.Must(t, err)
	text, buf := fmt.Sprint(fi.Size(), ":"), make([]byte, 1<<20)
	for at := int64(0); at < fi.Size(); {
		data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if err != nil {
			break
		}
		data = data / int64(len(buf)) * int64(len(buf))
		n, _ := f.ReadAt(buf, data)
		for i := 0; i < n; i++ {
			if buf[i] != 0 {
				end := i
				for end < n && buf[end] != 0 {
					end++
				}
				text += fmt.Sprintf(" %d=%s", data+int64(i), buf[i:end])
				i = end
			}
		}
		at = data + int64(n)
	}
	return text
}

// The holes of a remote source are not known, so zeros fill the disk; they become holes again and the run continues.
func TestHolesOfARemoteSource(t *testing.T) {
	t.Parallel()
	server := testserver.StartSSH(t)
	src, dest := newSource(t), testdest.New(t, "512M")
	testdest.Write(t, filepath.Join(src, "small"), "x")
	remote := "root@127.0.0.1:" + src
	backup(t, 0, remote, dest, "-e", server.Shell)
	sparse(t, filepath.Join(src, "image"), 1<<30, 300<<20)
	backup(t, 0, remote, dest, "-e", server.Shell)
	wantHoles(t, src, testdest.CurrentPath(t, dest))
}

// A file in place keeps the blocks it shares with the backup before.
func TestHolesKeepSharedBlocks(t *testing.T) {
	t.Parallel()
	src := newSource(t)
	disk := loopfs.New(t, "1G")
	dest := filepath.Join(disk, "dest")
	testdest.Must(t, os.Mkdir(dest, 0o755))
	testbin.Must(t, "init", dest)
	image := filepath.Join(src, "image")
	f, err := os.Create(image)
	testdest.Must(t, err)
	data := make([]byte, 100<<20)
	for i := range data {
		data[i] = byte(i>>12) ^ byte(i*7) | 1
	}
	_, err = f.WriteAt(data, 0)
	testdest.Must(t, err)
	testdest.Must(t, f.Truncate(300<<20))
	backup(t, 0, src, dest)
	before := used(t, disk)
	for i := range 3 {
		_, err = f.WriteAt([]byte("changed"), int64(10<<20*(i+1)))
		testdest.Must(t, err)
		testdest.Must(t, f.Truncate(int64(400+i)<<20))
		backup(t, 0, src, dest)
		testdest.WantSame(t, src, testdest.CurrentPath(t, dest))
	}
	testdest.Must(t, f.Close())
	took := used(t, disk) - before
	t.Logf("three changes of one block in 100 MiB: %d B", took)
	if took > 4<<20 {
		t.Errorf("three changes of one block took %d B", took)
	}
}

// used is what the data of a btrfs takes.
func used(t testing.TB, dir string) int64 {
	t.Helper()
	testdest.Tool(t, "sync", "-f", dir)
	var st unix.Statfs_t
	testdest.Must(t, unix.Statfs(dir, &st))
	return int64(st.Blocks-st.Bfree) * int64(st.Bsize)
}

// Blocks that are allocated but were never written are holes, too, although they count as blocks of the file.
func TestPreallocatedFilesNeedNoSpace(t *testing.T) {
	t.Parallel()
	for _, fstype := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(fstype, func(t *testing.T) {
			t.Parallel()
			src, dest := filepath.Join(loopfs.NewFS(t, "12G", fstype), "source"), testdest.New(t, "1G")
			testdest.Must(t, os.Mkdir(src, 0o755))
			allocate := func(name string, size int64) {
				t.Helper()
				f, err := os.OpenFile(filepath.Join(src, name), os.O_RDWR|os.O_CREATE, 0o640)
				testdest.Must(t, err)
				defer f.Close()
				testdest.Must(t, unix.Fallocate(int(f.Fd()), 0, 0, size))
				_, err = f.WriteAt([]byte("data"), size-500<<20)
				testdest.Must(t, err)
			}
			check := func() {
				t.Helper()
				backup(t, 0, src, dest)
				cur := testdest.CurrentPath(t, dest)
				testdest.Must(t, filepath.Walk(src, func(path string, fi os.FileInfo, err error) error {
					if err != nil || fi.IsDir() {
						return err
					}
					copied := filepath.Join(cur, filepath.Base(path))
					if a, b := dataOf(t, path), dataOf(t, copied); a != b {
						t.Errorf("%s: %s in the backup, %s in the source", path, b, a)
					}
					wantSmall(t, copied, 1<<20)
					return nil
				}))
			}
			allocate("first", 3<<30)
			check()
			allocate("second", 2<<30)
			check()
			allocate("first", 5<<30)
			check()
		})
	}
}

// The work depends on the data, not on the size: bytes read and written are counted.
func TestHolesCostNoTime(t *testing.T) {
	t.Parallel()
	src, dest := newSource(t), testdest.New(t, "1G")
	testdest.Write(t, filepath.Join(src, "small"), "x")
	sparse(t, filepath.Join(src, "image"), 20<<30, 5<<30)
	first := traffic(t, "backup", src, dest)
	sparse(t, filepath.Join(src, "image"), 20<<30, 3<<30)
	second := traffic(t, "backup", src, dest)
	t.Logf("20 GiB of holes: %d B read and written by the first backup, %d by a changed one", first, second)
	const limit = 64 << 20 // rsync reads all the zeros
	if first > limit || second > limit {
		t.Errorf("20 GiB of holes: %d B read and written, then %d", first, second)
	}
	if a, b := dataOf(t, filepath.Join(src, "image")), dataOf(t, filepath.Join(testdest.CurrentPath(t, dest), "image")); a != b {
		t.Errorf("%s in the backup, %s in the source", b, a)
	}
}

// traffic runs the command, and returns how many bytes it and its children read and wrote.
func traffic(t testing.TB, args ...string) (sum int64) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	argv := append([]string{"-f", "-qq", "-s", "0", "-o", trace, "-e", "trace=read,write,pread64,pwrite64,readv,writev,copy_file_range", testbin.Path(t)}, args...)
	testdest.Tool(t, "strace", argv...)
	calls, err := os.ReadFile(trace)
	testdest.Must(t, err)
	for line := range strings.Lines(string(calls)) {
		var n int64
		if _, result, ok := strings.Cut(line, ") = "); ok {
			_, _ = fmt.Sscan(strings.TrimLeft(result, " "), &n)
		} else if i := strings.LastIndex(line, "= "); i >= 0 {
			_, _ = fmt.Sscan(line[i+2:], &n)
		}
		sum += max(n, 0)
	}
	if sum == 0 {
		t.Fatalf("nothing was traced:\n%s", calls)
	}
	return sum
}

// What the rules leave out is not copied, and costs nothing; what takes its place, or stands in its way, is right.
func TestHolesAndTheRest(t *testing.T) {
	t.Parallel()
	src, dest := newSource(t), testdest.New(t, "512M")
	at := func(name string) string { return filepath.Join(src, name) }
	sparse(t, at("dir/image"), 40<<20, 9<<20)
	sparse(t, at("link/a"), 40<<20, 9<<20)
	testdest.Must(t, os.Link(at("link/a"), at("link/b")))
	testdest.Must(t, os.Symlink("image", at("dir/symlink")))
	testdest.Must(t, unix.Mkfifo(at("dir/fifo"), 0o600))
	sparse(t, at("skip/image"), 40<<20, 1<<20)
	args := []string{"--exclude=/skip", "--exclude=*.tmp"}
	backup(t, 0, src, dest, args...)
	same := func() {
		t.Helper()
		testdest.WantSame(t, src, testdest.CurrentPath(t, dest), "--exclude=/skip", "--exclude=*.tmp")
	}
	same()
	for i, change := range []func(){
		func() { testdest.Must(t, os.Remove(at("dir/symlink"))); sparse(t, at("dir/symlink"), 20<<20, 5<<20) },
		func() { testdest.Must(t, os.Remove(at("dir/fifo"))); sparse(t, at("dir/fifo"), 20<<20, 5<<20) },
		func() {
			testdest.Must(t, os.Remove(at("dir/fifo")))
			sparse(t, at("dir/fifo/now a dir"), 20<<20, 5<<20)
		},
		func() { testdest.Must(t, os.RemoveAll(at("dir/fifo"))); sparse(t, at("dir/fifo"), 20<<20, 5<<20) },
		func() { sparse(t, at("link/a"), 44<<20, 7<<20) },
		func() { testdest.Must(t, os.Remove(at("link/b"))); sparse(t, at("link/b"), 44<<20, 6<<20) },
		func() { testdest.Must(t, os.Chmod(at("dir/image"), 0o4755)); sparse(t, at("dir/image"), 45<<20, 8<<20) },
		func() {
			testdest.Must(t, unix.Setxattr(at("dir/image"), "user.x", []byte("y"), 0))
			testdest.Must(t, os.Truncate(at("dir/image"), 20<<20))
		},
		func() { sparse(t, at("dir/new.tmp"), 20<<20, 1<<20); sparse(t, at("skip/more"), 20<<20, 1<<20) },
		func() { testdest.Must(t, os.RemoveAll(at("dir"))); testdest.Must(t, os.Symlink("link", at("dir"))) },
		func() { testdest.Must(t, os.Remove(at("dir"))); sparse(t, at("dir/a"), 20<<20, 5<<20) },
		// A hole where data was, and the other way round.
		func() {
			f, err := os.OpenFile(at("link/a"), os.O_RDWR, 0)
			testdest.Must(t, err)
			testdest.Must(t, unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 20<<20))
			testdest.Must(t, f.Close())
		},
	} {
		change()
		backup(t, 0, src, dest, args...)
		same()
		if t.Failed() {
			t.Fatalf("after change %d", i)
		}
	}
}

// An ordinary user's files with holes are no other matter.
func TestHolesOfAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	src, dest := ofNobody(t, "1G")
	run := func(args ...string) {
		t.Helper()
		if r := through(t, nobody, args...); r.Exit != 0 {
			t.Fatalf("%q: exit %d\n%s", args, r.Exit, r.Stderr)
		}
	}
	run("init", dest)
	for i := range 3 {
		sparse(t, filepath.Join(src, "closed", "image"), 3<<30, int64(500+i)<<20)
		sparse(t, filepath.Join(src, fmt.Sprint("new", i), "image"), 3<<30, 500<<20)
		testdest.Must(t, os.Chmod(filepath.Join(src, "closed", "image"), 0o444))
		testdest.Must(t, os.Chmod(filepath.Join(src, "closed"), 0o555))
		testdest.Tool(t, "chown", "-R", "65534:65534", src)
		run("backup", src, dest)
		wantHoles(t, src, testdest.CurrentPath(t, dest))
	}
}
