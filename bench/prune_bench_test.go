//go:build integration

package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"golang.org/x/sys/unix"
)

// BenchmarkPrune deletes 190 of 200 snapshots of a tree of 20,000 files, each with 20 changed files, beside one call of
// btrfs-progs on a twin: how long the command takes (promised: 1.2 times theirs), and when the space can be seen, with
// a sync before every look (promised: no later than theirs).
func BenchmarkPrune(b *testing.B) {
	var ours, theirs deletions
	tool := testbin.Path(b)
	testbin.Must(b, "version") // the program is read from disk
	for i := range b.N {
		a, _ := manySnapshots(b, 200)
		c, made := manySnapshots(b, 200)
		prune := exec.Command(tool, "prune", a, "--keep-last=10")
		progs := exec.Command("btrfs", append([]string{"subvolume", "delete"}, made[:190]...)...)
		if i%2 == 0 {
			ours.measure(b, a, prune)
		}
		theirs.measure(b, c, progs)
		if i%2 == 1 {
			ours.measure(b, a, prune)
		}
	}
	report(b, ours.command, theirs.command)
	o, t := median(ours.space), median(theirs.space)
	b.ReportMetric(o.Seconds()*1000, "ours-space-ms")
	b.ReportMetric(t.Seconds()*1000, "peer-space-ms")
	b.ReportMetric(float64(o)/float64(t), "space-ratio")
}

// deletions are how long the command took, and when the space was back.
type deletions struct{ command, space []time.Duration }

// measure starts with nothing left to write and the cleaner asleep.
func (d *deletions) measure(b *testing.B, dest string, cmd *exec.Cmd) {
	b.Helper()
	unix.Sync()
	time.Sleep(time.Second)
	want := freeNow(b, dest) + 190*20*4096*9/10
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	d.command = append(d.command, time.Since(start))
	for freeNow(b, dest) < want {
		if time.Since(start) > time.Minute {
			b.Fatalf("%v: the space is not back", cmd.Args[:2])
		}
		time.Sleep(2 * time.Millisecond)
	}
	d.space = append(d.space, time.Since(start))
}

func pruneDest(b *testing.B) string {
	b.Helper()
	dest := filepath.Join(loopfs.New(b, "4G"), "dest")
	if err := os.Mkdir(dest, 0o700); err != nil {
		b.Fatal(err)
	}
	testbin.Must(b, "init", dest)
	return dest
}

// manySnapshots makes backups with records, as n runs would.
func manySnapshots(b *testing.B, n int) (dest string, made []string) {
	b.Helper()
	dest = pruneDest(b)
	work := filepath.Join(filepath.Dir(dest), "work")
	parent := openForBench(b, filepath.Dir(dest))
	if err := btrfs.CreateSubvolume(parent, "work"); err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 4096)
	put := func(i, version int) {
		data[0], data[1], data[2] = byte(i), byte(version), byte(version>>8)
		if err := os.WriteFile(fmt.Sprintf("%s/%03d/%05d", work, i/100, i), data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for i := range 20_000 {
		if i%100 == 0 {
			if err := os.Mkdir(fmt.Sprintf("%s/%03d", work, i/100), 0o755); err != nil {
				b.Fatal(err)
			}
		}
		put(i, 0)
	}
	src, into := openForBench(b, work), openForBench(b, dest)
	for i := range n {
		for k := range 20 {
			put(k*997, i+1)
		}
		name := time.Date(2020, 1, 1, 0, i, 0, 0, time.UTC).Format("2006-01-02-15:04")
		benchRecord(b, dest, name)
		if err := btrfs.CreateSnapshot(into, name, src, btrfs.SnapshotOptions{ReadOnly: true}); err != nil {
			b.Fatal(err)
		}
		made = append(made, filepath.Join(dest, name))
	}
	if err := os.Symlink(filepath.Base(made[n-1]), filepath.Join(dest, "cur")); err != nil {
		b.Fatal(err)
	}
	if err := btrfs.Sync(parent); err != nil {
		b.Fatal(err)
	}
	return dest, made
}

func openForBench(b *testing.B, path string) *os.File {
	b.Helper()
	f, err := btrfs.OpenDir(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return f
}

// benchRecord is as long as a real one.
func benchRecord(b *testing.B, dest, name string) {
	b.Helper()
	added := uint64(123456)
	r := rsbtbackup.Record{
		Version: 1, Name: name, Status: rsbtbackup.Complete, Source: "/home/somebody/documents", Host: "host.example.org",
		Started: time.Now().UTC(), Ended: time.Now().UTC(), Base: name, RsbtbackupVersion: "v1.0.0", RsyncVersion: "3.5.0", AddedBytes: &added,
		SourceFS: &rsbtbackup.SourceIdentity{FSType: 0x9123683e, FSID: "0123456789abcdef"},
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(dest, ".log", "records")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".json"), data, 0o600); err != nil {
		b.Fatal(err)
	}
}

func freeNow(b *testing.B, dir string) uint64 {
	b.Helper()
	f, err := btrfs.OpenDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := btrfs.Sync(f); err != nil {
		b.Fatal(err)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		b.Fatal(err)
	}
	return st.Bfree * uint64(st.Bsize)
}

// BenchmarkList lists 2,000 backups with a warm cache, beside the least that has to be done: to read the directory and
// ask for each subvolume once.
func BenchmarkList(b *testing.B) {
	dest := pruneDest(b)
	into := openForBench(b, dest)
	if err := btrfs.CreateSubvolume(into, "work"); err != nil {
		b.Fatal(err)
	}
	src := openForBench(b, filepath.Join(dest, "work"))
	for i := range 2000 {
		name := time.Date(2020, 1, 1, 0, i, 0, 0, time.UTC).Format("2006-01-02-15:04")
		benchRecord(b, dest, name)
		if err := btrfs.CreateSnapshot(into, name, src, btrfs.SnapshotOptions{ReadOnly: true}); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("readdir and one ioctl each", func(b *testing.B) {
		for b.Loop() {
			readdirAndInfo(b, dest)
		}
	})
	b.Run("in process", func(b *testing.B) {
		for b.Loop() {
			l, err := rsbtbackup.List(b.Context(), dest)
			if err != nil || len(l.Backups) != 2000 {
				b.Fatalf("%d, %v", len(l.Backups), err)
			}
		}
	})
	b.Run("command", func(b *testing.B) {
		for b.Loop() {
			testbin.Must(b, "list", dest)
		}
	})
}

func readdirAndInfo(b *testing.B, dest string) {
	b.Helper()
	dir, err := btrfs.OpenDir(dest)
	if err != nil {
		b.Fatal(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range names {
		f, err := btrfs.OpenDirAt(dir, name)
		if err != nil {
			continue // cur
		}
		if _, err := btrfs.SubvolumeInfo(f); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}
