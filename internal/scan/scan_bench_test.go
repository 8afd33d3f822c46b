package scan

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

// BenchmarkWalk walks a tree of so many empty files on a tmpfs, of two numbers one after the other, and compares it
// with a catalog: the time for a million, which must stay the same, and the memory that the process has at most by
// then.
func BenchmarkWalk(b *testing.B) {
	for _, n := range []int{200_000, 2_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			root := manyFiles(b, n)
			res, file := walkOnly(b, root, Options{}, nil)
			finish(b, res, file)
			res = nil
			debug.FreeOSMemory()
			resetPeak(b)
			for b.Loop() {
				info, err := file.Stat()
				must(b, err)
				known, err := catalog.NewReader(file, info.Size())
				must(b, err)
				if res, _ := walkOnly(b, root, Options{}, known); res.List.Looked < n || !res.List.Empty() {
					b.Fatalf("%+v", res.List)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/float64(n)*1e6, "s/million")
			b.ReportMetric(peak(b), "MB")
			info, err := file.Stat()
			must(b, err)
			b.ReportMetric(float64(info.Size())/float64(n), "bytes/file")
		})
	}
}

// manyFiles are a thousand in each directory.
func manyFiles(b *testing.B, n int) string {
	b.Helper()
	root, err := os.MkdirTemp("/dev/shm", "rsbtbackup-")
	must(b, err)
	b.Cleanup(func() { _ = os.RemoveAll(root) })
	for i := range n {
		dir := filepath.Join(root, fmt.Sprintf("d%06d", i/1000))
		if i%1000 == 0 {
			must(b, os.Mkdir(dir, 0o755))
		}
		must(b, unix.Mknod(fmt.Sprintf("%s/file-%07d", dir, i), unix.S_IFREG|0o644, 0))
	}
	runtime.GC()
	return root
}

// resetPeak lets VmHWM begin anew.
func resetPeak(b *testing.B) {
	b.Helper()
	must(b, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200))
}

func peak(b *testing.B) float64 {
	b.Helper()
	data, err := os.ReadFile("/proc/self/status")
	must(b, err)
	for line := range strings.Lines(string(data)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kb); n == 1 {
			return kb / 1024
		}
	}
	b.Fatal("no VmHWM")
	return 0
}
