//go:build integration

package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
)

const (
	diffFiles   = 200_000
	diffChanges = 100
)

// BenchmarkDiff compares two backups of 200,000 files with 100 changes: by diff -rq, by a plain walk that looks at
// every file of both with lstat, by our own walk, and by the kernel's change stream. All of it is in the cache; each
// round runs them one after the other, so that a busy machine is busy for all.
func BenchmarkDiff(b *testing.B) {
	dest, from, to := diffDest(b)
	ways := []struct {
		name string
		run  func() error
	}{
		{"diff-rq", func() error { return diffRQ(filepath.Join(dest, from), filepath.Join(dest, to)) }},
		{"stat-walk", func() error { return statWalk(filepath.Join(dest, from), filepath.Join(dest, to)) }},
		{"walk", func() error { return ours(b, dest, from, to, rsbtbackup.DiffWalk) }},
		{"send", func() error { return ours(b, dest, from, to, rsbtbackup.DiffSend) }},
	}
	took := make([]time.Duration, len(ways))
	for b.Loop() {
		for i, way := range ways {
			start := time.Now()
			if err := way.run(); err != nil {
				b.Fatalf("%s: %v", way.name, err)
			}
			took[i] += time.Since(start)
		}
	}
	for i, way := range ways {
		b.ReportMetric(float64(took[i].Milliseconds())/float64(b.N), way.name+"-ms/op")
	}
	b.ReportMetric(float64(took[3])/float64(took[0]), "send/diff-rq")
	b.ReportMetric(float64(took[3])/float64(took[1]), "send/stat-walk")
	b.ReportMetric(float64(took[2])/float64(took[1]), "walk/stat-walk")
}

func diffDest(b *testing.B) (dest, from, to string) {
	b.Helper()
	dest = filepath.Join(loopfs.New(b, "4G"), "dest")
	check(b, os.Mkdir(dest, 0o755))
	_, err := rsbtbackup.Init(b.Context(), dest, rsbtbackup.InitOptions{})
	check(b, err)
	dir, err := os.Open(dest)
	check(b, err)
	defer dir.Close()
	check(b, btrfs.CreateSubvolume(dir, "work"))
	work, err := os.Open(filepath.Join(dest, "work"))
	check(b, err)
	defer work.Close()
	for i := range diffFiles {
		check(b, writeDiffFile(work.Name(), i, "a"))
	}
	from, to = "2026-01-01-00:00", "2026-01-02-00:00"
	check(b, btrfs.CreateSnapshot(dir, from, work, btrfs.SnapshotOptions{ReadOnly: true}))
	for i := range diffChanges {
		check(b, writeDiffFile(work.Name(), i*(diffFiles/diffChanges), "b"))
	}
	check(b, btrfs.CreateSnapshot(dir, to, work, btrfs.SnapshotOptions{ReadOnly: true}))
	return dest, from, to
}

func writeDiffFile(root string, i int, content string) error {
	dir := filepath.Join(root, fmt.Sprintf("d%02d/d%02d", i/10000, i/100%100))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, fmt.Sprintf("file-%d", i)), fmt.Appendf(nil, "%s %d\n", content, i), 0o644)
}

func ours(b *testing.B, dest, from, to string, method rsbtbackup.DiffMethod) error {
	d, err := rsbtbackup.Diff(b.Context(), dest, from, to, rsbtbackup.DiffOptions{Method: method})
	if err == nil && len(d.Entries) != diffChanges {
		err = fmt.Errorf("%d differences, want %d", len(d.Entries), diffChanges)
	}
	return err
}

// diffRQ exits with 1 when there are differences.
func diffRQ(a, b string) error {
	err := exec.Command("diff", "-rq", a, b).Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return nil
	}
	return fmt.Errorf("diff -rq: %v, want exit 1", err)
}

// statWalk is what a program does that knows nothing of btrfs.
func statWalk(a, b string) error {
	differ := 0
	err := filepath.WalkDir(a, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		before, err := os.Lstat(p)
		if err != nil {
			return err
		}
		after, err := os.Lstat(b + p[len(a):])
		if err == nil && (before.Size() != after.Size() || !before.ModTime().Equal(after.ModTime())) {
			differ++
		}
		return err
	})
	if err == nil && differ != diffChanges {
		err = fmt.Errorf("%d differences, want %d", differ, diffChanges)
	}
	return err
}
