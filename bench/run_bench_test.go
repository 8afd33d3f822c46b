//go:build integration

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
)

// BenchmarkRun runs 8 jobs over an sshd that answers after a second, one after the other and 4 at once (promised: under
// half the time).
func BenchmarkRun(b *testing.B) {
	disk, dir, host := loopfs.New(b, "2G"), b.TempDir(), testserver.StartSSH(b)
	shell := filepath.Join(dir, "slow")
	if err := os.WriteFile(shell, []byte("#!/bin/sh\nsleep 1\nexec "+host.Shell+" \"$@\"\n"), 0o755); err != nil {
		b.Fatal(err)
	}
	var text strings.Builder
	text.WriteString(fmt.Sprintf("[run]\nstate = %q\n", dir+"/state"))
	for i := range 8 {
		source, dest := filepath.Join(dir, "src", fmt.Sprint(i)), filepath.Join(disk, fmt.Sprint(i))
		for _, d := range []string{source, dest} {
			if err := os.MkdirAll(d, 0o700); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(source+"/f", []byte("hello"), 0o600); err != nil {
			b.Fatal(err)
		}
		testbin.Must(b, "init", dest)
		text.WriteString(fmt.Sprintf("[job.j%d]\nsource = 'root@127.0.0.1:%s'\ndest = %q\nrsh = %q\n", i, source, dest, shell))
	}
	file := filepath.Join(dir, "c.toml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	var took [2]time.Duration
	for range b.N {
		for i, atOnce := range []string{"1", "4"} {
			start := time.Now()
			testbin.Must(b, "run", "--all", "--jobs", atOnce, "--config", file)
			took[i] += time.Since(start)
		}
	}
	b.ReportMetric(took[0].Seconds()/float64(b.N), "s-one-by-one")
	b.ReportMetric(took[1].Seconds()/float64(b.N), "s-four-at-once")
	b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "ratio")
}
