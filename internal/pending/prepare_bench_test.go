//go:build integration

package pending

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
)

// BenchmarkHardLinks measures what the protection of hard links adds to an unchanged run over 200,000 files of which
// 1,000 have two names (promised: at most a tenth): to prepare a fresh snapshot and run rsync onto it, against rsync
// alone onto another, which is as quick and can be wrong.
func BenchmarkHardLinks(b *testing.B) {
	fs := loopfs.New(b, "4G")
	src := b.TempDir()
	linkedFiles(b, src, 200_000, 1_000)
	root := benchDir(b, fs)
	if err := btrfs.CreateSubvolume(root, "base"); err != nil {
		b.Fatal(err)
	}
	benchRsync(b, src, filepath.Join(fs, "base"))
	var with, without []time.Duration
	for i := 0; b.Loop(); i++ {
		with = append(with, unchangedRun(b, root, src, fmt.Sprintf("with%d", i), true))
		without = append(without, unchangedRun(b, root, src, fmt.Sprintf("without%d", i), false))
	}
	slices.Sort(with)
	slices.Sort(without)
	ours, peer := with[len(with)/2], without[len(without)/2]
	b.ReportMetric(ours.Seconds()*1000, "ours-ms")
	b.ReportMetric(peer.Seconds()*1000, "peer-ms")
	b.ReportMetric(float64(ours)/float64(peer), "ratio")
}

// unchangedRun starts with nothing left to write and no inode of the snapshot in memory, and leaves none behind.
func unchangedRun(b *testing.B, root *os.File, src, name string, protect bool) time.Duration {
	b.Helper()
	if err := btrfs.CreateSnapshot(root, name, benchDir(b, filepath.Join(root.Name(), "base")), btrfs.SnapshotOptions{}); err != nil {
		b.Fatal(err)
	}
	if err := btrfs.SyncFS(root); err != nil {
		b.Fatal(err)
	}
	dir := benchDir(b, filepath.Join(root.Name(), name))
	start := time.Now()
	if protect {
		p, err := Prepare(b.Context(), dir, How{})
		if err != nil || p.Split.Load() != 1_000 {
			b.Fatalf("%d names split, %v", p.Split.Load(), err)
		}
	}
	benchRsync(b, src, dir.Name())
	took := time.Since(start)
	if err := btrfs.DeleteSubvolume(root, name); err != nil {
		b.Fatal(err)
	}
	return took
}

func benchRsync(b *testing.B, src, dest string) {
	b.Helper()
	out, err := exec.Command("rsync", "-aHAX", "--numeric-ids", "--delete", "--delete-excluded", "--modify-window=-1",
		"--inplace", "--no-whole-file", src+"/", dest+"/").CombinedOutput()
	if err != nil {
		b.Fatalf("rsync: %v: %s", err, out)
	}
}

func benchDir(b *testing.B, path string) *os.File {
	b.Helper()
	d, err := btrfs.OpenDir(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	return d
}

// linkedFiles makes n small files, a hundred in each directory, the first links of which have a second name.
func linkedFiles(b *testing.B, dir string, n, links int) {
	b.Helper()
	data := strings.Repeat("some text of a file ", 200)
	for i := range n {
		sub := filepath.Join(dir, fmt.Sprintf("d%05d", i/100))
		name := filepath.Join(sub, fmt.Sprintf("f%06d", i))
		if i%100 == 0 {
			if err := os.Mkdir(sub, 0o755); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(name, []byte(data[:100+i%3900]), 0o644); err != nil {
			b.Fatal(err)
		}
		if i < links {
			if err := os.Link(name, name+".link"); err != nil {
				b.Fatal(err)
			}
		}
	}
}
