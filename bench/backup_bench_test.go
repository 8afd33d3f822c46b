//go:build integration

package bench

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }

// smallFiles makes n files of 100 to 4,000 bytes, a hundred in each directory. The first links files get a second name.
func smallFiles(b *testing.B, dir string, n, links int) {
	b.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 4000)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	for i := range n {
		sub := filepath.Join(dir, fmt.Sprintf("d%05d", i/100))
		if i%100 == 0 {
			check(b, os.MkdirAll(sub, 0o755))
		}
		name := filepath.Join(sub, fmt.Sprintf("f%06d", i))
		check(b, os.WriteFile(name, data[:100+r.IntN(3900)], 0o644))
		if i < links {
			check(b, os.Link(name, name+".link"))
		}
	}
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// timed runs a command and returns how long it took.
func timed(b *testing.B, name string, args ...string) time.Duration {
	b.Helper()
	start := time.Now()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		b.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return time.Since(start)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// report compares medians; the pairs were taken in turn.
func report(b *testing.B, ours, theirs []time.Duration) {
	b.Helper()
	o, t := median(ours), median(theirs)
	b.ReportMetric(float64(o.Microseconds())/1000, "ours-ms")
	b.ReportMetric(float64(t.Microseconds())/1000, "peer-ms")
	b.ReportMetric(float64(o)/float64(t), "ratio")
}

func subvolume(b *testing.B, fs, name string) string {
	b.Helper()
	dir, err := btrfs.OpenDir(fs)
	check(b, err)
	defer dir.Close()
	check(b, btrfs.CreateSubvolume(dir, name))
	return filepath.Join(fs, name)
}

// BenchmarkFirstBackup compares a whole first backup, which ends on the disk, with rsync into an empty subvolume and a
// syncfs: once with rsync's default options for an archive (-a), once with the attributes we keep (-aHAX).
func BenchmarkFirstBackup(b *testing.B) {
	for _, flags := range []string{"-a", "-aHAX"} {
		b.Run("rsync"+flags, func(b *testing.B) {
			src := b.TempDir()
			smallFiles(b, src, 30_000, 0)
			fs := loopfs.New(b, "4G")
			tool := testbin.Path(b)
			var ours, theirs []time.Duration
			for i := 0; b.Loop(); i++ {
				dest := subvolume(b, fs, fmt.Sprintf("ours%d", i))
				testbin.Must(b, "init", "-q", dest)
				timed(b, "sync", "-f", fs)
				ours = append(ours, timed(b, tool, "backup", "-q", src, dest))
				peer := subvolume(b, fs, fmt.Sprintf("peer%d", i))
				timed(b, "sync", "-f", fs)
				t := timed(b, "rsync", flags, src+"/", peer+"/")
				theirs = append(theirs, t+timed(b, "sync", "-f", fs))
			}
			report(b, ours, theirs)
		})
	}
}

// BenchmarkUnchanged compares a backup of a tree that has not changed with the same rsync run by hand onto a fresh
// snapshot. 60 ms are allowed on top of 1.10 times its time; "over-ms" is what is used of them.
func BenchmarkUnchanged(b *testing.B) {
	src := b.TempDir()
	smallFiles(b, src, 30_000, 0)
	unchanged(b, src, loopfs.New(b, "2G"))
}

func unchanged(b *testing.B, src, fs string) {
	dest := subvolume(b, fs, "dest")
	testbin.Must(b, "init", "-q", dest)
	testbin.Must(b, "backup", "-q", src, dest)
	dir, err := btrfs.OpenDir(dest)
	check(b, err)
	defer dir.Close()
	var ours, theirs []time.Duration
	for i := 0; b.Loop(); i++ {
		ours = append(ours, timed(b, testbin.Path(b), "backup", "-q", src, dest))
		name := "by-hand-" + strconv.Itoa(i)
		target, err := os.Readlink(filepath.Join(dest, "cur"))
		check(b, err)
		base, err := btrfs.OpenDirAt(dir, target)
		check(b, err)
		start := time.Now()
		check(b, btrfs.CreateSnapshot(dir, name, base, btrfs.SnapshotOptions{}))
		timed(b, "rsync", "-aHAX", "--numeric-ids", "--delete", "--delete-excluded", "--modify-window=-1",
			"--inplace", "--no-whole-file", src+"/", filepath.Join(dest, name)+"/")
		theirs = append(theirs, time.Since(start))
		check(b, base.Close())
	}
	report(b, ours, theirs)
	over := float64(median(ours)) - 1.10*float64(median(theirs))
	b.ReportMetric(over/1e6, "over-ms")
}

// BenchmarkMemory reports the largest resident set of our own process, in MB, over a first and a second backup of
// 30,000 and 200,000 files.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{30_000, 200_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			src := b.TempDir()
			smallFiles(b, src, n, 1_000)
			fs := loopfs.New(b, "4G")
			dest := subvolume(b, fs, "dest")
			testbin.Must(b, "init", "-q", dest)
			var most float64
			for b.Loop() {
				most = max(most, peak(b, "backup", "-q", src, dest))
			}
			b.ReportMetric(most, "MB")
		})
	}
}

// peak runs the command and returns the VmHWM of the process itself: its children are counted apart by the kernel.
func peak(b *testing.B, args ...string) float64 {
	b.Helper()
	cmd := exec.Command(testbin.Path(b), args...)
	check(b, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var most float64
	for {
		select {
		case err := <-done:
			check(b, err)
			return most
		case <-time.After(5 * time.Millisecond):
			most = max(most, highWater(cmd.Process.Pid))
		}
	}
}

func highWater(pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0 // it has just ended
	}
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(kb), " kB"))
			if err == nil {
				return float64(n) / 1024
			}
		}
	}
	return 0
}
