//go:build integration

package bench

import (
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

// BenchmarkRestore compares putting back the Go distribution, some 15,000
// files, with the same rsync run by hand: by rsync, at most 1.05 times its
// time, and by reflink, less than 0.2 times. A restore ends when the disk has it
// all, so sync follows rsync; each starts with nothing left to write.
func BenchmarkRestore(b *testing.B) {
	for _, how := range []string{"--no-reflink", "--reflink"} {
		b.Run(how[2:], func(b *testing.B) {
			fs := loopfs.New(b, "8G")
			dest := subvolume(b, fs, "dest")
			tool := testbin.Path(b)
			testbin.Must(b, "init", "-q", dest)
			testbin.Must(b, "backup", "-q", goRoot(b), dest)
			backup := filepath.Join(dest, "cur") + "/"
			var ours, theirs []time.Duration
			for i := 0; b.Loop(); i++ {
				target := filepath.Join(fs, fmt.Sprint("restored", i))
				ours = append(ours, timed(b, tool, "restore", "-q", dest, "latest", how, "-t", target))
				peer := filepath.Join(fs, fmt.Sprint("peer", i))
				theirs = append(theirs, timed(b, "rsync", "-aHAX", "--numeric-ids", "--modify-window=-1", "--sparse", "--whole-file", backup, peer+"/")+timed(b, "sync", "-f", fs))
				check(b, os.RemoveAll(target))
				check(b, os.RemoveAll(peer))
				timed(b, "sync", "-f", fs)
			}
			report(b, ours, theirs)
		})
	}
}

func goRoot(b *testing.B) string {
	b.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	check(b, err)
	return strings.TrimSpace(string(out))
}
