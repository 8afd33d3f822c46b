//go:build integration

package bench

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

// BenchmarkVerify compares verify of one backup with cat of the same files to /dev/null, both from cold caches. "ratio"
// is the time of verify over that of cat: 1.11 is 0.9 times as fast.
func BenchmarkVerify(b *testing.B) {
	for _, tt := range []struct {
		name string
		make func(dir string)
	}{
		{"small", func(dir string) { smallFiles(b, dir, 30_000, 0) }},
		{"large", func(dir string) { largeFiles(b, dir, 4, 128<<20) }},
	} {
		b.Run(tt.name, func(b *testing.B) {
			src := b.TempDir()
			tt.make(src)
			fs := loopfs.New(b, "2G")
			dest := subvolume(b, fs, "dest")
			testbin.Must(b, "init", "-q", dest)
			testbin.Must(b, "backup", "-q", src, dest)
			cur := filepath.Join(dest, "cur")
			var ours, theirs []time.Duration
			for b.Loop() {
				cold(b)
				ours = append(ours, timed(b, testbin.Path(b), "verify", "-q", dest, "latest"))
				cold(b)
				theirs = append(theirs, timed(b, "sh", "-c", `find "$1/" -type f -print0 | xargs -0 cat >/dev/null`, "sh", cur))
			}
			report(b, ours, theirs)
		})
	}
}

// largeFiles makes n files of a size, of bytes that do not repeat.
func largeFiles(b *testing.B, dir string, n, size int) {
	b.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	for i := range n {
		data := make([]byte, size)
		for at := 0; at < size; at += 8 {
			binary.LittleEndian.PutUint64(data[at:], r.Uint64())
		}
		check(b, os.WriteFile(filepath.Join(dir, fmt.Sprintf("large%d", i)), data, 0o644))
	}
}

func cold(b *testing.B) {
	b.Helper()
	timed(b, "sync")
	check(b, os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0))
}
