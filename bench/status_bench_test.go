//go:build integration

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/jobs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"golang.org/x/sys/unix"
)

// BenchmarkStatus shows how 1,000 jobs with 10 backups each stand: in process, and as the command does it with a config
// of 1,000 tables.
func BenchmarkStatus(b *testing.B) {
	const nJobs, nBackups = 1000, 10
	disk := loopfs.New(b, "4G")
	file := filepath.Join(b.TempDir(), "rsbtbackup.toml")
	var text strings.Builder
	text.WriteString(fmt.Sprintf("[run]\nstate = %q\n", b.TempDir()))
	for i := range nJobs {
		dest := filepath.Join(disk, fmt.Sprint(i))
		text.WriteString(fmt.Sprintf("[job.j%d]\nsource = '/etc'\ndest = %q\n", i, dest))
		if err := os.Mkdir(dest, 0o700); err != nil {
			b.Fatal(err)
		}
		if _, err := rsbtbackup.Init(b.Context(), dest, rsbtbackup.InitOptions{}); err != nil {
			b.Fatal(err)
		}
		into := openForBench(b, dest)
		for k := range nBackups {
			name := time.Date(2020, 1, 1, 0, k, 0, 0, time.UTC).Format("2006-01-02-15:04")
			benchRecord(b, dest, name)
			if err := btrfs.CreateSubvolume(into, name); err != nil {
				b.Fatal(err)
			}
		}
		into.Close()
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("in process", func(b *testing.B) {
		defer reportCPU(b, unix.RUSAGE_SELF)()
		for b.Loop() {
			all := jobs.Stand(b.Context(), c.Jobs, c.Run.State, time.Now())
			if len(all) != nJobs || all[nJobs-1].Backups != nBackups {
				b.Fatalf("%+v", all[len(all)-1])
			}
		}
	})
	b.Run("command", func(b *testing.B) {
		testbin.Path(b)
		defer reportCPU(b, unix.RUSAGE_CHILDREN)()
		for b.Loop() {
			testbin.Must(b, "status", "--config", file)
		}
	})
}

// reportCPU reports the processor time of each round, which does not grow with what else the machine does.
func reportCPU(b *testing.B, who int) (end func()) {
	used := func() time.Duration {
		var r unix.Rusage
		if err := unix.Getrusage(who, &r); err != nil {
			b.Fatal(err)
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64((used()-before).Milliseconds())/float64(b.N), "cpu-ms/op") }
}
