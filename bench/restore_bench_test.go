//go:build integration

package bench

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

// BenchmarkRestore compares restoring 15,000 files with the same rsync run by hand: by rsync, at most 1.05 times its
// time, and by reflink, less than 0.2 times. What a reflink costs depends on the number of files alone, so the share
// depends on their size: the Go distribution has 15 kB in a file, a home directory more. cp --reflink tells what the
// kernel needs for it at least. A restore ends when the disk has it all, so sync follows the others; each starts with
// nothing left to write.
func BenchmarkRestore(b *testing.B) {
	for _, tt := range []struct {
		name, how string
		source    func(*testing.B) string
	}{
		{"rsync, Go distribution", "--no-reflink", goRoot},
		{"reflink, Go distribution", "--reflink", goRoot},
		{"reflink, files of 100 kB", "--reflink", filesOf100kB},
	} {
		b.Run(tt.name, func(b *testing.B) {
			fs := loopfs.New(b, "8G")
			dest := subvolume(b, fs, "dest")
			testbin.Must(b, "init", "-q", dest)
			testbin.Must(b, "backup", "-q", tt.source(b), dest)
			backup := filepath.Join(dest, "cur") + "/"
			target := filepath.Join(fs, "restored")
			restore := func(argv ...string) time.Duration {
				timed(b, "sync", "-f", fs)
				took := timed(b, argv[0], append(argv[1:], target)...) + timed(b, "sync", "-f", fs)
				check(b, os.RemoveAll(target))
				return took
			}
			var ours, rsync, cp []time.Duration
			for b.Loop() {
				ours = append(ours, restore(testbin.Path(b), "restore", "-q", dest, "latest", tt.how, "-t"))
				rsync = append(rsync, restore("rsync", "-aHAX", "--numeric-ids", "--modify-window=-1", "--sparse", "--whole-file", backup))
				cp = append(cp, restore("cp", "-a", "--reflink=always", backup))
			}
			report(b, ours, rsync)
			b.ReportMetric(median(cp).Seconds()*1000, "cp-reflink-ms")
		})
	}
}

func filesOf100kB(b *testing.B) string {
	b.Helper()
	src := b.TempDir()
	data := make([]byte, 100_000)
	for i := range 15_000 {
		dir := filepath.Join(src, fmt.Sprint(i/100))
		check(b, os.MkdirAll(dir, 0o755))
		rand.Read(data)
		check(b, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), data, 0o644))
	}
	return src
}

func goRoot(b *testing.B) string {
	b.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	check(b, err)
	return strings.TrimSpace(string(out))
}
