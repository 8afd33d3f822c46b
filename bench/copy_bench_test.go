//go:build integration

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
)

// BenchmarkCopySSH copies the backups of BenchmarkReceive to another host, which is this one, through a real sshd: by
// us, and by "btrfs send | ssh btrfs receive". The largest memory use of our two ends is reported in MB.
func BenchmarkCopySSH(b *testing.B) {
	ssh := testserver.StartSSH(b)
	from := sentBackups(b)
	dest := testdest.On(b, makeDir(b, from, "dests"))
	for name, source := range map[string]string{"2026-01-01-00:00": "first", "2026-01-02-00:00": "second"} {
		parent, err := os.Open(dest)
		check(b, err)
		snapshot, err := os.Open(filepath.Join(from, source))
		check(b, err)
		check(b, btrfs.CreateSnapshot(parent, name, snapshot, btrfs.SnapshotOptions{ReadOnly: true}))
		parent.Close()
		snapshot.Close()
	}
	disk := loopfs.New(b, "16G")
	c := sshCopy{binary: testbin.Path(b), dest: dest, from: from, shell: ssh.Shell, peak: filepath.Join(b.TempDir(), "peak"), program: filepath.Join(b.TempDir(), "rsbtbackup")}
	// A shell function would not tell the memory of a child; the high-water mark only grows, so the last look is near
	// it.
	check(b, os.WriteFile(c.program, fmt.Appendf(nil, "#!/bin/sh\nexec 3<&0\n%s \"$@\" <&3 & p=$!\nwhile grep VmHWM /proc/$p/status >>%s 2>/dev/null; do sleep 0.02; done\nwait $p\n", testbin.Path(b), c.peak), 0o755))
	took := map[string]time.Duration{}
	round := 0
	for b.Loop() {
		round++
		dir := makeDir(b, disk, fmt.Sprint("theirs", round))
		target := testdest.On(b, makeDir(b, disk, fmt.Sprint("ours", round)))
		for i, name := range []string{"first", "second"} {
			ways := []func() error{func() error { return c.theirs(dir, i) }, func() error { return c.ours(target, i) }}
			for j := range ways {
				j := (j + round) % 2
				check(b, exec.Command("sync", "-f", disk).Run())
				start := time.Now()
				check(b, ways[j]())
				if j == 0 { // ours is durable when it returns
					check(b, exec.Command("sync", "-f", disk).Run())
				}
				took[[]string{"btrfs", "ours"}[j]+"-"+name] += time.Since(start)
			}
		}
		check(b, exec.Command("sh", "-c", "btrfs -q subvolume delete "+dir+"/* "+target+"/2026-*").Run())
	}
	for name, d := range took {
		b.ReportMetric(float64(d.Milliseconds())/float64(b.N), name+"-ms/op")
	}
	b.ReportMetric(float64(took["ours-first"])/float64(took["btrfs-first"]), "first/btrfs")
	b.ReportMetric(float64(took["ours-second"])/float64(took["btrfs-second"]), "second/btrfs")
	// To look at the memory of the other end costs time.
	c.looks = true
	target := testdest.On(b, makeDir(b, disk, "memory"))
	for i := range 2 {
		check(b, c.ours(target, i))
	}
	b.ReportMetric(float64(c.sending)/1000, "sending-MB")
	b.ReportMetric(float64(c.receiving(b))/1000, "receiving-MB")
}

func makeDir(b *testing.B, parent, name string) string {
	b.Helper()
	dir := filepath.Join(parent, name)
	check(b, os.Mkdir(dir, 0o700))
	return dir
}

type sshCopy struct {
	dest, from, shell, program, binary, peak string
	looks                                    bool
	sending                                  int64 // kB
}

func (c *sshCopy) ours(target string, i int) error {
	program := c.binary
	if c.looks {
		program = c.program
	}
	cmd := exec.Command(c.binary, "copy", "-q", c.dest, "127.0.0.1:"+target, []string{"2026-01-01", "2026-01-02"}[i], "-e", c.shell, "--program", program)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	c.sending = max(c.sending, int64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss))
	return nil
}

func (c *sshCopy) theirs(dir string, i int) error {
	send := "btrfs -q send --proto 2 --compressed-data " + []string{c.from + "/first", "-p " + c.from + "/first " + c.from + "/second"}[i]
	out, err := exec.Command("bash", "-o", "pipefail", "-c", send+" | "+c.shell+" 127.0.0.1 btrfs -q receive -e "+dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// receiving is the most of what was seen, in kB.
func (c *sshCopy) receiving(b *testing.B) (most int64) {
	b.Helper()
	data, err := os.ReadFile(c.peak)
	check(b, err)
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 1 {
			kb, err := strconv.ParseInt(fields[1], 10, 64)
			check(b, err)
			most = max(most, kb)
		}
	}
	return most
}
