package sendstream_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup/sendstream"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// kernelStreams are what Linux 6.18 made of two small snapshots: a directory was renamed, a file in it written to, a
// hard link removed, a symlink, a device and a FIFO made, attributes, mode and owner of a file set.
func kernelStreams(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/*.stream")
	if err != nil || len(names) != 4 {
		t.Fatalf("%q, %v", names, err)
	}
	streams := map[string][]byte{}
	for _, name := range names {
		if streams[strings.TrimSuffix(name, ".stream")], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return streams
}

func TestKernelStreams(t *testing.T) {
	for name, s := range kernelStreams(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			commands, err := collect(bytes.NewReader(s))
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, c := range commands {
				if u, ok := c.(sendstream.Utimes); ok {
					u.Atime, u.Mtime, u.Ctime = u.Atime.UTC(), u.Mtime.UTC(), u.Ctime.UTC()
					c = u
				}
				fmt.Fprintf(&got, "%T %+v\n", c, c)
			}
			if *update {
				if err := os.WriteFile(name+".golden", []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name + ".golden")
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got.String()); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestEveryByteCounts: no byte of a stream can be damaged unnoticed, and none is left out.
func TestEveryByteCounts(t *testing.T) {
	for name, s := range kernelStreams(t) {
		for i := range s {
			damaged := bytes.Clone(s)
			damaged[i] ^= 0x10
			if _, err := collect(bytes.NewReader(damaged)); err == nil {
				t.Errorf("%s: no error with byte %d damaged", name, i)
			}
			if _, err := collect(bytes.NewReader(s[:i])); err == nil {
				t.Errorf("%s: no error when cut off at %d", name, i)
			}
		}
	}
}
