//go:build integration

package bench

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// BenchmarkAgainstCopy compares a backup of 20,000 small files and 256 MB in large ones with its copy: by
// verify --against-copy, by rsync reading both, and by diff -r, which looks at contents alone. Both disks are mounted
// anew before each, so that nothing is in memory.
func BenchmarkAgainstCopy(b *testing.B) {
	src := sentBackups(b)
	here, there := loopfs.NewImage(b, "4G", "btrfs"), loopfs.NewImage(b, "4G", "btrfs")
	dest, target := testdest.On(b, here.Mount), testdest.On(b, there.Mount)
	testbin.Must(b, "backup", "-q", filepath.Join(src, "first"), dest)
	testbin.Must(b, "copy", "-q", dest, target)
	backup, copied := testdest.CurrentPath(b, dest), testdest.CurrentPath(b, target)
	ways := []struct {
		name string
		args []string
	}{
		{"against-copy", []string{testbin.Path(b), "verify", "-q", dest, "--against-copy", target}},
		{"rsync", []string{"rsync", "-naHAXc", "--numeric-ids", "--delete", backup + "/", copied + "/"}},
		{"diff", []string{"diff", "-r", "--no-dereference", backup, copied}},
	}
	took := map[string]time.Duration{}
	for b.Loop() {
		for _, way := range ways {
			for _, image := range []*loopfs.Image{here, there} {
				image.Unmount(b)
				image.Remount(b)
			}
			start := time.Now()
			if out, err := exec.Command(way.args[0], way.args[1:]...).CombinedOutput(); err != nil {
				b.Fatalf("%s: %v\n%s", way.name, err, out)
			}
			took[way.name] += time.Since(start)
		}
	}
	for name, d := range took {
		b.ReportMetric(float64(d.Milliseconds())/float64(b.N), name+"-ms/op")
	}
	b.ReportMetric(float64(took["against-copy"])/float64(took["rsync"]), "of-rsync")
	b.ReportMetric(float64(took["against-copy"])/float64(took["diff"]), "of-diff")
}
