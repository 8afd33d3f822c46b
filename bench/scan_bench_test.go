//go:build integration

package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"golang.org/x/sys/unix"
)

// BenchmarkScan compares the whole command on an unchanged tree of 200,000 small files with rsync by hand, with the
// attributes we keep (-aHAX) and without (-a): from ext4, which is walked, and from btrfs, which is asked.
func BenchmarkScan(b *testing.B) {
	for fstype, mode := range map[string]string{"ext4": rsbtbackup.ScanWalk, "btrfs": rsbtbackup.ScanGeneration} {
		b.Run(fstype, func(b *testing.B) {
			src := filepath.Join(loopfs.NewFS(b, "4G", fstype), "src")
			smallFiles(b, src, 200_000, 0)
			dest := subvolume(b, loopfs.New(b, "8G"), "dest")
			testbin.Must(b, "init", "-q", dest)
			for range 2 { // the first one reads the files, and gives them a time of access
				testbin.Must(b, "backup", "-q", src, dest)
			}
			var ours, all, plain []time.Duration
			for b.Loop() {
				ours = append(ours, timed(b, testbin.Path(b), "backup", "-q", src, dest))
				plain = append(plain, byHand(b, src, dest, "-a"))
				all = append(all, byHand(b, src, dest, "-aHAX"))
			}
			if got := newest(b, dest).Record.Scan.Mode; got != mode && got != rsbtbackup.ScanFull {
				b.Fatalf("scanned by %s, want %s", got, mode)
			}
			report(b, ours, all)
			b.ReportMetric(float64(median(ours))/float64(median(plain)), "of-rsync-a")
		})
	}
}

// byHand times rsync onto a snapshot of the newest backup.
func byHand(b *testing.B, src, dest, flags string) time.Duration {
	b.Helper()
	dir, err := btrfs.OpenDir(dest)
	check(b, err)
	defer dir.Close()
	base, err := btrfs.OpenDirAt(dir, newest(b, dest).Name)
	check(b, err)
	defer base.Close()
	check(b, btrfs.CreateSnapshot(dir, "by-hand", base, btrfs.SnapshotOptions{}))
	took := timed(b, "rsync", flags, "--numeric-ids", "--delete", src+"/", filepath.Join(dest, "by-hand")+"/")
	check(b, btrfs.DeleteSubvolume(dir, "by-hand"))
	return took
}

func newest(b *testing.B, dest string) rsbtbackup.Snapshot {
	b.Helper()
	list, err := rsbtbackup.List(context.Background(), dest)
	check(b, err)
	return list.Backups[len(list.Backups)-1]
}

// BenchmarkRenamed renames a directory of 1 GB from one run to the next: how much of DEST that takes, metadata
// included, and how long, beside rsync by hand, which copies.
func BenchmarkRenamed(b *testing.B) {
	src := filepath.Join(loopfs.NewFS(b, "3G", "ext4"), "src")
	check(b, os.MkdirAll(filepath.Join(src, "0"), 0o755))
	for i := range 64 {
		check(b, os.WriteFile(filepath.Join(src, "0", fmt.Sprint(i)), []byte(strings.Repeat(fmt.Sprintf("%015d\n", i), 1<<20)), 0o644))
	}
	fs := loopfs.New(b, "6G")
	dest := subvolume(b, fs, "dest")
	testbin.Must(b, "init", "-q", dest)
	testbin.Must(b, "backup", "-q", src, dest)
	var ours, theirs []time.Duration
	most := int64(0)
	for i := 0; b.Loop(); i++ {
		check(b, os.Rename(filepath.Join(src, strconv.Itoa(i)), filepath.Join(src, strconv.Itoa(i+1))))
		theirs = append(theirs, byHand(b, src, dest, "-aHAX"))
		timed(b, "btrfs", "subvolume", "sync", fs)
		before := used(b, fs)
		ours = append(ours, timed(b, testbin.Path(b), "backup", "-q", src, dest))
		timed(b, "btrfs", "subvolume", "sync", fs)
		most = max(most, used(b, fs)-before)
	}
	report(b, ours, theirs)
	b.ReportMetric(float64(most)/1024, "added-KB")
}

// used is what is taken of a filesystem, once all is written.
func used(b *testing.B, fs string) int64 {
	b.Helper()
	timed(b, "sync", "-f", fs)
	var st unix.Statfs_t
	check(b, unix.Statfs(fs, &st))
	return int64(st.Blocks-st.Bfree) * int64(st.Bsize)
}
