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
// us, and by "btrfs send | ssh btrfs receive": medians of interleaved rounds. The largest memory use of our two ends is
// reported in MB.
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
	took := map[string][]time.Duration{}
	for b.Loop() {
		for range copyRounds {
			c.round(b, disk, took)
		}
	}
	for i, name := range []string{"first", "second"} {
		ours, theirs := median(took["ours-"+name]), median(took["btrfs-"+name])
		b.ReportMetric(float64(ours.Milliseconds()), "ours-"+name+"-ms")
		b.ReportMetric(float64(theirs.Milliseconds()), "btrfs-"+name+"-ms")
		b.ReportMetric(float64(ours)/float64(theirs), name+"/btrfs")
		b.ReportMetric(c.streamMB(b, i), name+"-MB")
	}
	// To look at the memory of the other end costs time.
	c.looks = true
	target := testdest.On(b, makeDir(b, disk, "memory"))
	for i := range 2 {
		check(b, c.ours(target, i))
	}
	b.ReportMetric(float64(c.sending)/1000, "sending-MB")
	b.ReportMetric(float64(c.receiving(b))/1000, "receiving-MB")
}

// copyRounds is for a median: one round says little, because it waits for the commits of two filesystems.
const copyRounds = 7

// round copies both backups both ways, in turns, and waits until what it made is deleted.
func (c *sshCopy) round(b *testing.B, disk string, took map[string][]time.Duration) {
	b.Helper()
	c.rounds++
	dir := makeDir(b, disk, fmt.Sprint("theirs", c.rounds))
	target := testdest.On(b, makeDir(b, disk, fmt.Sprint("ours", c.rounds)))
	for i, name := range []string{"first", "second"} {
		ways := []func() error{func() error { return c.theirs(dir, i) }, func() error { return c.ours(target, i) }}
		for j := range ways {
			j := (j + c.rounds) % 2
			check(b, exec.Command("sync", "-f", disk).Run())
			start := time.Now()
			check(b, ways[j]())
			if j == 0 { // ours is durable when it returns
				check(b, exec.Command("sync", "-f", disk).Run())
			}
			key := []string{"btrfs", "ours"}[j] + "-" + name
			took[key] = append(took[key], time.Since(start))
		}
	}
	check(b, exec.Command("sh", "-c", "btrfs -q subvolume delete -c "+dir+"/* "+target+"/2026-* && btrfs subvolume sync "+disk).Run())
}

// streamMB is the size of what btrfs send sends.
func (c *sshCopy) streamMB(b *testing.B, i int) float64 {
	b.Helper()
	out, err := exec.Command("sh", "-c", c.send(i)+" | wc -c").Output()
	check(b, err)
	n, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	check(b, err)
	return float64(n) / 1e6
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
	rounds                                   int
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

func (c *sshCopy) send(i int) string {
	return "btrfs -q send --proto 2 --compressed-data " + []string{c.from + "/first", "-p " + c.from + "/first " + c.from + "/second"}[i]
}

func (c *sshCopy) theirs(dir string, i int) error {
	out, err := exec.Command("bash", "-o", "pipefail", "-c", c.send(i)+" | "+c.shell+" 127.0.0.1 btrfs -q receive -e "+dir).CombinedOutput()
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
