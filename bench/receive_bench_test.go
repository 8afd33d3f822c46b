//go:build integration

package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/receive"
)

const (
	sentSmall   = 20_000
	sentLarge   = 4
	sentLargeMB = 64
	sentChanges = 2000
)

// BenchmarkReceive copies a backup of 20,000 small files and 256 MB in large ones to another filesystem, and then one
// with 2,000 changes, by us and by "btrfs send | btrfs receive". All of it is in the cache; each round runs one after
// the other, so that a busy machine is busy for both.
func BenchmarkReceive(b *testing.B) {
	from := sentBackups(b)
	disk := loopfs.New(b, "16G")
	took := map[string]time.Duration{}
	round := 0
	for b.Loop() {
		round++
		ways := []struct {
			name string
			copy func(from, dir, name, parent string) error
		}{{"ours", receiveOurs}, {"btrfs", receiveProgs}}
		if round%2 == 0 {
			ways[0], ways[1] = ways[1], ways[0]
		}
		for _, way := range ways {
			dir := filepath.Join(disk, fmt.Sprint(way.name, round))
			check(b, os.Mkdir(dir, 0o700))
			for _, c := range []struct{ name, parent string }{{"first", ""}, {"second", "first"}} {
				check(b, exec.Command("sync", "-f", disk).Run())
				start := time.Now()
				check(b, way.copy(from, dir, c.name, c.parent))
				if way.name == "btrfs" { // ours is durable when it returns
					check(b, exec.Command("sync", "-f", disk).Run())
				}
				took[way.name+"-"+c.name] += time.Since(start)
			}
			for _, name := range []string{"second", "first"} {
				check(b, exec.Command("btrfs", "-q", "subvolume", "delete", filepath.Join(dir, name)).Run())
			}
		}
	}
	for name, d := range took {
		b.ReportMetric(float64(d.Milliseconds())/float64(b.N), name+"-ms/op")
	}
	b.ReportMetric(float64(took["ours-first"])/float64(took["btrfs-first"]), "first/btrfs")
	b.ReportMetric(float64(took["ours-second"])/float64(took["btrfs-second"]), "second/btrfs")
}

func receiveOurs(from, dir, name, parent string) error {
	subvol, err := os.Open(filepath.Join(from, name))
	if err != nil {
		return err
	}
	defer subvol.Close()
	o := btrfs.SendOptions{Version: 2, Compressed: true}
	var base *os.File
	if parent != "" {
		if base, err = os.Open(filepath.Join(from, parent)); err != nil {
			return err
		}
		defer base.Close()
		o.CloneSources = []*os.File{base}
	}
	work := filepath.Join(dir, "work")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	return pipeOurs(subvol, base, dir, work, o)
}

func pipeOurs(subvol, base *os.File, dir, work string, o btrfs.SendOptions) error {
	dest, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer dest.Close()
	in, err := os.Open(work)
	if err != nil {
		return err
	}
	defer in.Close()
	ctx := context.Background()
	sending, err := btrfs.StartSend(ctx, subvol, base, o)
	if err != nil {
		return err
	}
	_, err = receive.Receive(ctx, bufio.NewReaderSize(sending, receive.ReadAhead), receive.Options{Dest: dest, Work: in})
	return errors.Join(err, sending.Close())
}

func receiveProgs(from, dir, name, parent string) error {
	args := []string{"-q", "send", "--proto", "2", "--compressed-data"}
	if parent != "" {
		args = append(args, "-p", filepath.Join(from, parent))
	}
	send := exec.Command("btrfs", append(args, filepath.Join(from, name))...)
	receive := exec.Command("btrfs", "-q", "receive", "-e", dir)
	var errs bytes.Buffer
	send.Stderr, receive.Stderr = &errs, &errs
	var err error
	if receive.Stdin, err = send.StdoutPipe(); err != nil {
		return err
	}
	if err := send.Start(); err != nil {
		return err
	}
	if err := receive.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, errs.String())
	}
	return send.Wait()
}

// sentBackups makes the two and returns the directory they are in.
func sentBackups(b *testing.B) string {
	b.Helper()
	dir := loopfs.New(b, "8G")
	top, err := os.Open(dir)
	check(b, err)
	defer top.Close()
	check(b, btrfs.CreateSubvolume(top, "work"))
	work, err := os.Open(filepath.Join(dir, "work"))
	check(b, err)
	defer work.Close()
	for i := range sentSmall {
		check(b, writeDiffFile(work.Name(), i, "a"))
	}
	for i := range sentLarge {
		check(b, writeNoise(filepath.Join(work.Name(), fmt.Sprint("large", i)), sentLargeMB<<20))
	}
	check(b, btrfs.CreateSnapshot(top, "first", work, btrfs.SnapshotOptions{ReadOnly: true}))
	for i := range sentChanges {
		check(b, writeDiffFile(work.Name(), i*(sentSmall/sentChanges), "b"))
	}
	check(b, writeNoise(filepath.Join(work.Name(), "large0"), sentLargeMB<<20))
	check(b, btrfs.CreateSnapshot(top, "second", work, btrfs.SnapshotOptions{ReadOnly: true}))
	return dir
}

func writeNoise(path string, size int64) error {
	noise, err := os.Open("/dev/urandom")
	if err != nil {
		return err
	}
	defer noise.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.CopyN(f, noise, size); err != nil {
		return err
	}
	return f.Close()
}
