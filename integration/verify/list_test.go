//go:build integration

package verify

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

var dataUsed = regexp.MustCompile(`(?m)^Data,single: Size:\d+, Used:(\d+)`)

// used is the file data according to btrfs-progs.
func (s *store) used(t testing.TB) int64 {
	t.Helper()
	s.sync(t)
	m := dataUsed.FindStringSubmatch(testdest.Tool(t, "btrfs", "filesystem", "usage", "-b", s.image.Mount))
	if m == nil {
		t.Fatal("btrfs filesystem usage does not tell")
	}
	return int64(number(t, m[1]))
}

// The reported size of a backup is the growth of the filesystem, and the reported size of a deletion is what it frees.
// All files are larger than what fits into metadata.
func TestSizesAgreeWithTheFileSystem(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for i := range 50 {
		s.write(t, fmt.Sprintf("file%d", i), 3000+s.rand.IntN(200_000))
	}
	s.write(t, "large", 10<<20)
	const slack = 64 << 10
	near := func(what string, got *uint64, want int64) {
		t.Helper()
		if got == nil || int64(*got) < want-slack || int64(*got) > want+slack {
			t.Errorf("%s: %v, want %d", what, number64(got), want)
		}
	}
	before := s.used(t)
	var grown []int64
	for i := range int64(5) {
		name := s.backup(t)
		after := s.used(t)
		near("added by "+name, s.snapshots(t)[i].Added, after-before)
		grown, before = append(grown, after-before), after
		s.change(t, "large", i<<20, 300_000)
		s.write(t, fmt.Sprintf("file%d", i), 100_000)
		testdest.Must(t, os.Remove(filepath.Join(s.src, fmt.Sprintf("file%d", 40+i))))
	}

	// Without a record it is measured, if asked for.
	testdest.Must(t, os.RemoveAll(filepath.Join(s.dest, ".log/records")))
	for _, b := range s.snapshots(t) {
		if b.Added != nil || b.Exclusive != nil {
			t.Errorf("%s: %v, %v, want nothing", b.Name, b.Added, b.Exclusive)
		}
	}
	l, err := rsbtbackup.ListSizes(t.Context(), s.dest)
	testdest.Must(t, err)
	for i, b := range l.Backups {
		near("measured for "+b.Name, b.Added, grown[i])
	}
	out := testbin.Must(t, "list", s.dest, "--size").Stdout
	if strings.Contains(out, "FREES") != true || !strings.Contains(out, " free\n") {
		t.Error(out)
	}
	for _, i := range []int{2, 0} {
		l, err := rsbtbackup.ListSizes(t.Context(), s.dest)
		testdest.Must(t, err)
		b := l.Backups[i]
		testbin.Must(t, "delete", s.dest, b.Name)
		after := s.used(t)
		near("freed by "+b.Name, b.Exclusive, before-after)
		before = after
	}
}

func number64(n *uint64) string {
	if n == nil {
		return "unknown"
	}
	return fmt.Sprint(*n)
}

var ended = regexp.MustCompile(`(?m)\) += `) // a call, in a trace

// Every backup costs a few system calls, however many there are. How long that takes is in BenchmarkList.
func TestListCostsTheSameForEachBackup(t *testing.T) {
	s := newStore(t)
	s.write(t, "file", 5000)
	first := s.backup(t)
	dir, err := btrfs.OpenDir(s.dest)
	testdest.Must(t, err)
	defer dir.Close()
	src, err := btrfs.OpenDirAt(dir, first)
	testdest.Must(t, err)
	defer src.Close()
	record, err := os.ReadFile(filepath.Join(s.dest, ".log/records", first+".json"))
	testdest.Must(t, err)
	const n = 500
	for i := range n - 1 {
		name := time.Date(2020, 1, 1, 0, i, 0, 0, time.UTC).Format("2006-01-02-15:04")
		testdest.Must(t, btrfs.CreateSnapshot(dir, name, src, btrfs.SnapshotOptions{ReadOnly: true}))
		testdest.Must(t, os.WriteFile(filepath.Join(s.dest, ".log/records", name+".json"), record, 0o600))
	}
	testdest.Tool(t, "sync", "-f", s.dest)
	trace := filepath.Join(t.TempDir(), "strace")
	out := testdest.Tool(t, "strace", "-f", "-o", trace, "-e", "trace=file,desc", testbin.Path(t), "list", s.dest)
	if strings.Count(out, "\n") != n+2 {
		t.Fatalf("%d lines", strings.Count(out, "\n"))
	}
	log, err := os.ReadFile(trace)
	testdest.Must(t, err)
	if calls := len(ended.FindAll(log, -1)); calls > 12*n {
		t.Errorf("%d system calls for %d backups", calls, n)
	} else {
		t.Logf("%.1f system calls for each backup", float64(calls)/n)
	}
}
