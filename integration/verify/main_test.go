//go:build integration

package verify

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }

// store is a destination on a btrfs of its own, and a source for it.
type store struct {
	image *loopfs.Image
	dest  string
	src   string
	rand  *rand.Rand
	read  map[string]bool // files that were read before their first damage
}

// readings are commands that only read a DEST with two backups.
func (s *store) readings(first, second, target string) [][]string {
	return [][]string{
		{"list", s.dest}, {"list", s.dest, "--size"}, {"ls", s.dest, "latest"}, {"cat", s.dest, first, "file"}, {"diff", s.dest, first, second},
		{"history", s.dest, "file"}, {"verify", s.dest}, {"restore", s.dest, "latest", "-t", target},
	}
}

// changes are commands that change it.
func (s *store) changes(first string) [][]string {
	return [][]string{{"backup", s.src, s.dest}, {"prune", s.dest, "--keep-last=1"}, {"delete", s.dest, first}, {"pin", s.dest, first}}
}

func newStore(t testing.TB, mountOpts ...string) *store {
	t.Helper()
	image := loopfs.NewImage(t, "1G", "btrfs", mountOpts...)
	s := &store{image: image, dest: testdest.On(t, image.Mount), src: t.TempDir(), rand: rand.New(rand.NewPCG(1, 2)), read: map[string]bool{}}
	return s
}

// write makes a file of random bytes in the source.
func (s *store) write(t testing.TB, name string, size int) {
	t.Helper()
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(s.rand.Uint32())
	}
	path := filepath.Join(s.src, name)
	testdest.Must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	testdest.Must(t, os.WriteFile(path, data, 0o644))
}

// change overwrites a part of a file in the source.
func (s *store) change(t testing.TB, name string, offset int64, size int) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(s.src, name), os.O_RDWR, 0)
	testdest.Must(t, err)
	defer f.Close()
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(s.rand.Uint32())
	}
	_, err = f.WriteAt(data, offset)
	testdest.Must(t, err)
}

// backup makes one and returns its name.
func (s *store) backup(t testing.TB) string {
	t.Helper()
	return filepath.Base(testdest.Backup(t, s.src, s.dest))
}

// corrupt overwrites, under the file system, the block at an offset of a file in a backup. The file is read before its
// first damage, so that this has to be found although the page cache holds the good data; later, when memory was short,
// it could not be read any more.
func (s *store) corrupt(t testing.TB, backup, path string, offset uint64) {
	t.Helper()
	name := filepath.Join(s.dest, backup, path)
	if !s.read[name] {
		_, err := os.ReadFile(name)
		testdest.Must(t, err)
		s.read[name] = true
	}
	f, err := os.Open(name)
	testdest.Must(t, err)
	defer f.Close()
	extents, err := btrfs.Extents(f, offset, 1)
	testdest.Must(t, err)
	if len(extents) != 1 || extents[0].Address == 0 {
		t.Fatalf("%s has no block at %d: %+v", name, offset, extents)
	}
	address := extents[0].Address
	if !extents[0].Compressed {
		address += offset - extents[0].Offset
	}
	s.overwrite(t, s.physical(t, address))
}

func (s *store) overwrite(t testing.TB, at int64) {
	t.Helper()
	image, err := os.OpenFile(s.image.Image, os.O_RDWR, 0)
	testdest.Must(t, err)
	defer image.Close()
	_, err = image.WriteAt([]byte("this block was damaged by a test"), at)
	testdest.Must(t, err)
	testdest.Must(t, image.Sync())
}

// physical finds the chunk that holds a logical address; there is one device, and data has one copy.
func (s *store) physical(t testing.TB, address uint64) int64 {
	t.Helper()
	device := strings.TrimSpace(testdest.Tool(t, "findmnt", "-no", "SOURCE", s.image.Mount))
	dump := testdest.Tool(t, "btrfs", "inspect-internal", "dump-tree", "-t", "chunk", device)
	for _, m := range chunk.FindAllStringSubmatch(dump, -1) {
		start, length, stripe := number(t, m[1]), number(t, m[2]), number(t, m[3])
		if start <= address && address < start+length {
			return int64(stripe + address - start)
		}
	}
	t.Fatalf("no chunk holds %d:\n%s", address, dump)
	return 0
}

var chunk = regexp.MustCompile(`CHUNK_ITEM (\d+)\)[^\n]*\n\s+length (\d+) [^\n]*\n(?:[^\n]*\n)*?\s+stripe 0 devid \d+ offset (\d+)`)

func number(t testing.TB, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 64)
	testdest.Must(t, err)
	return n
}

// verify runs it and wants damage or none.
func (s *store) verify(t testing.TB, o rsbtbackup.VerifyOptions) *rsbtbackup.VerifyReport {
	t.Helper()
	report, err := rsbtbackup.Verify(t.Context(), s.dest, o)
	if err != nil && !errors.Is(err, rsbtbackup.ErrDamaged) || (err == nil) != (report.Damaged == 0) || report.Unread != 0 {
		t.Fatalf("%v: %+v", err, report)
	}
	if len(report.Notices) > 0 {
		t.Errorf("notices: %q", report.Notices)
	}
	return report
}

func (s *store) snapshots(t testing.TB) []rsbtbackup.Snapshot {
	t.Helper()
	l, err := rsbtbackup.List(t.Context(), s.dest)
	testdest.Must(t, err)
	return l.Backups
}

// sync waits until what was deleted is really gone.
func (s *store) sync(t testing.TB) {
	t.Helper()
	dir, err := btrfs.OpenDir(s.dest)
	testdest.Must(t, err)
	defer dir.Close()
	_, err = btrfs.WaitDeleted(t.Context(), dir)
	testdest.Must(t, err)
	testdest.Must(t, btrfs.SyncFS(dir))
}

func dropCaches(t testing.TB) {
	t.Helper()
	unix.Sync()
	testdest.Must(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0))
}
