//go:build integration

package receive_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	ts "github.com/rsbtbackup/rsbtbackup/internal/teststream"
)

func encoded(path string, offset uint64, n int, compression uint32, data []byte) []byte {
	return ts.Command(25, true, ts.Text(15, path), ts.U64(18, offset), ts.U64(27, uint64(n)), ts.U64(28, uint64(n)), ts.U64(29, 0),
		ts.U32(30, compression), ts.Attr{Kind: 19, Value: data})
}

func compress(t *testing.T, plain []byte) (zlibData, zstdData []byte) {
	t.Helper()
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	value(z.Write(plain))(t)
	must(t, z.Close())
	e := value(zstd.NewWriter(nil, zstd.WithWindowSize(128<<10)))(t)
	return b.Bytes(), e.EncodeAll(plain, nil)
}

// TestFallback: what the kernel refuses to store compressed is stored decompressed, and what it refuses to share is
// copied, holes as holes. Here it refuses because the file has no checksums; elsewhere because it is older, the blocks
// have another size, or no room is left for compressed data alone.
func TestFallback(t *testing.T) {
	g := newTarget(t, "256M")
	plain := bytes.Repeat([]byte("plain text, "), 8192)[:65536]
	zlibData, zstdData := compress(t, plain)
	nocow := func(path string) []byte { return on(24, path, ts.U64(26, 3)) }
	named := func(path string) []byte { return ts.Command(3, false, ts.Text(15, path), ts.U64(3, 300)) }
	clone := func(path, from string, offset, fromOffset, n uint64) []byte {
		return ts.Command(16, false, ts.Text(15, path), ts.U64(18, offset), ts.U64(24, n), ts.Text(22, from),
			ts.Attr{Kind: 20, Value: uuid}, ts.U64(21, 1), ts.U64(23, fromOffset))
	}
	g.mustReceive(t, ts.Stream(2, subvol,
		named("zlib"), nocow("zlib"), encoded("zlib", 0, 65536, 1, zlibData), encoded("zlib", 65536, 65000, 1, zlibData),
		named("zstd"), nocow("zstd"), encoded("zstd", 0, 65536, 2, append(zstdData, make([]byte, 900)...)),
		named("kernel"), encoded("kernel", 0, 65536, 2, zstdData),
		named("holes"), on(17, "holes", ts.U64(4, 10<<20)), ts.Command(15, true, ts.Text(15, "holes"), ts.U64(18, 1<<20), ts.Attr{Kind: 19, Value: plain}),
		named("copied"), nocow("copied"), ts.Command(15, true, ts.Text(15, "copied"), ts.U64(18, 0), ts.Text(19, "goes away")),
		clone("copied", "holes", 0, 0, 10<<20),
		named("empty"), nocow("empty"), clone("empty", "holes", 0, 0, 10<<20),
		named("tail"), clone("tail", "holes", 3, (1<<20)+5, 1000),
		ts.End()), "")

	for name, want := range map[string][]byte{
		"zlib": append(bytes.Clone(plain), plain[:65000]...), "zstd": plain, "kernel": plain,
		"tail": append(make([]byte, 3), plain[5:1005]...),
	} {
		if got := value(os.ReadFile(g.path("s", name)))(t); !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d others", name, len(got), len(want))
		}
	}
	holes := openFile(t, g.path("s", "holes"))
	for _, name := range []string{"copied", "empty"} {
		if got, want := value(sumOf(openFile(t, g.path("s", name))))(t), value(sumOf(holes))(t); got != want {
			t.Errorf("%s is not what it was to be a clone of", name)
		}
	}
	if got, want := dataRanges(openFile(t, g.path("s", "empty"))), dataRanges(holes); got != want {
		t.Errorf("data at %s, want %s", got, want)
	}
	for name, want := range map[string]bool{"zlib": false, "zstd": false, "kernel": true} {
		extents := value(btrfs.Extents(openFile(t, g.path("s", name)), 0, 1<<30))(t)
		if len(extents) == 0 || extents[0].Compressed != want {
			t.Errorf("%s: extents %+v, compressed should be %v", name, extents, want)
		}
	}
}

func openFile(t *testing.T, path string) *os.File {
	t.Helper()
	f := value(os.Open(path))(t)
	t.Cleanup(func() { f.Close() })
	return f
}

// TestFlagNotSettable: the loss of NOCOW on a file that already has data is reported.
func TestFlagNotSettable(t *testing.T) {
	g := newTarget(t, "256M")
	result := g.mustReceive(t, ts.Stream(2, subvol, file, ts.Command(15, true, ts.Text(15, "f"), ts.U64(18, 0), ts.Text(19, "data")), on(24, "f", ts.U64(26, 3)), ts.End()), "")
	if len(result.Notices) != 1 || result.Commands != 3 {
		t.Errorf("%+v, want one notice", result)
	}
}

// TestCapabilityOfAnOldKernel: before Linux 5.8 a stream has the capability before data and owner, which take it away.
func TestCapabilityOfAnOldKernel(t *testing.T) {
	g := newTarget(t, "256M")
	caps := []byte{1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	named := func(path string) []byte { return ts.Command(3, false, ts.Text(15, path), ts.U64(3, 300)) }
	setcap := func(path string) []byte {
		return on(13, path, ts.Text(13, "security.capability"), ts.Attr{Kind: 14, Value: caps})
	}
	g.mustReceive(t, ts.Stream(1, subvol,
		named("o1-1-0"), setcap("o1-1-0"), ts.Command(9, false, ts.Text(15, "o1-1-0"), ts.Text(16, "written")), write("written", 0, "data"),
		named("owned"), setcap("owned"), on(19, "owned", ts.U64(6, 1), ts.U64(7, 2)), on(18, "owned", ts.U64(5, 0o755)),
		named("gone"), setcap("gone"), on(14, "gone", ts.Text(13, "security.capability")), write("gone", 0, "data"),
		ts.End()), "")
	for name, want := range map[string]string{"written": "cap_net_raw=ep", "owned": "cap_net_raw=ep", "gone": ""} {
		if got := tool(t, "getcap", g.path("s", name)); want == "" && got != "" || !bytes.Contains([]byte(got), []byte(want)) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
