package receive

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/sendstream"
)

func zlibbed(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	if _, err := z.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstdded(t testing.TB, plain []byte, options ...zstd.EOption) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil, append(options, zstd.WithWindowSize(128<<10))...)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(plain, nil)
}

// TestDecompress: what the data lacks is zeros, what it has too much is cut off, what follows the compressed data is of
// no meaning, and a part is a part.
func TestDecompress(t *testing.T) {
	plain := bytes.Repeat([]byte("some text that can be compressed, "), 3000)
	noise := make([]byte, 5000)
	for i := range noise {
		noise[i] = byte(i*i>>3 ^ i*7)
	}
	padded := func(b []byte) []byte { return append(bytes.Clone(b), make([]byte, 3000)...) }
	length := uint64(len(plain))
	for _, tt := range []struct {
		name        string
		compression uint32
		data        []byte
		unencoded   uint64
		offset, n   uint64
		want        []byte
	}{
		{"none", 0, plain, length, 0, length, plain},
		{"zlib", btrfs.CompressionZlib, zlibbed(t, plain), length, 0, length, plain},
		{"zlib, padded", btrfs.CompressionZlib, padded(zlibbed(t, plain)), length, 0, length, plain},
		{"zstd", btrfs.CompressionZstd, zstdded(t, plain), length, 0, length, plain},
		{"zstd, padded", btrfs.CompressionZstd, padded(zstdded(t, plain)), length, 0, length, plain},
		{"zstd, padded with what looks like a frame", btrfs.CompressionZstd, append(zstdded(t, plain), zstdded(t, noise)...), length, 0, length, plain},
		{"zstd with a checksum", btrfs.CompressionZstd, padded(zstdded(t, plain, zstd.WithEncoderCRC(true))), length, 0, length, plain},
		{"zstd of raw blocks", btrfs.CompressionZstd, padded(zstdded(t, noise)), 5000, 0, 5000, noise},
		{"zstd of one byte repeated", btrfs.CompressionZstd, padded(zstdded(t, make([]byte, 100_000))), 100_000, 0, 100_000, make([]byte, 100_000)},
		{"zlib, too short", btrfs.CompressionZlib, padded(zlibbed(t, plain)), length + 1000, 0, length + 1000, append(bytes.Clone(plain), make([]byte, 1000)...)},
		{"zstd, too short", btrfs.CompressionZstd, padded(zstdded(t, plain)), length + 1000, 0, length + 1000, append(bytes.Clone(plain), make([]byte, 1000)...)},
		{"zlib, too long", btrfs.CompressionZlib, zlibbed(t, plain), 500, 0, 500, plain[:500]},
		{"zstd, too long", btrfs.CompressionZstd, zstdded(t, plain), 500, 0, 500, plain[:500]},
		{"a part", btrfs.CompressionZstd, zstdded(t, plain), length, 4096, 8192, plain[4096:12288]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := sendstream.EncodedWrite{Compression: tt.compression, Data: tt.data, UnencodedLen: tt.unencoded, UnencodedOffset: tt.offset, UnencodedFileLen: tt.n}
			if err := checkEncoded(c); err != nil {
				t.Fatal(err)
			}
			got, err := new(decompressor).decompress(c)
			if err != nil || !bytes.Equal(got, tt.want) {
				t.Errorf("%d bytes, %v, want %d", len(got), err, len(tt.want))
			}
		})
	}
}

func TestDecompressDamaged(t *testing.T) {
	plain := bytes.Repeat([]byte("some text that can be compressed, "), 3000)
	for _, tt := range []struct {
		name        string
		compression uint32
		data        []byte
		want        string
	}{
		{"zlib of garbage", btrfs.CompressionZlib, []byte("garbage"), "zlib"},
		{"zlib cut off", btrfs.CompressionZlib, zlibbed(t, plain)[:40], "zlib"},
		{"zstd of garbage", btrfs.CompressionZstd, []byte("garbage"), "zstd"},
		{"zstd cut off", btrfs.CompressionZstd, zstdded(t, plain)[:40], "zstd"},
		{"zstd without a block", btrfs.CompressionZstd, zstdded(t, plain)[:7], "zstd"},
		{"lzo", btrfs.CompressionLZO4K, []byte("lzo"), "compressed with LZO"},
		{"unknown", 99, []byte("x"), "compression 99"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := new(decompressor).decompress(sendstream.EncodedWrite{Compression: tt.compression, Data: tt.data, UnencodedLen: 100_000, UnencodedFileLen: 100_000})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestCheckEncoded: nothing is allocated that no extent can be.
func TestCheckEncoded(t *testing.T) {
	good := sendstream.EncodedWrite{Offset: 4096, UnencodedFileLen: 4096, UnencodedLen: 8192, UnencodedOffset: 4096, Compression: 2, Data: []byte("x")}
	if err := checkEncoded(good); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(c *sendstream.EncodedWrite){
		"encrypted":              func(c *sendstream.EncodedWrite) { c.Encryption = 1 },
		"too long":               func(c *sendstream.EncodedWrite) { c.UnencodedLen = maxUnencoded + 1 },
		"offset past the end":    func(c *sendstream.EncodedWrite) { c.UnencodedOffset = 8193 },
		"length past the end":    func(c *sendstream.EncodedWrite) { c.UnencodedFileLen = 4097 },
		"length that wraps":      func(c *sendstream.EncodedWrite) { c.UnencodedFileLen = math.MaxUint64 },
		"nothing":                func(c *sendstream.EncodedWrite) { c.UnencodedFileLen = 0 },
		"no data":                func(c *sendstream.EncodedWrite) { c.Data = nil },
		"offset beyond any file": func(c *sendstream.EncodedWrite) { c.Offset = math.MaxInt64 },
	} {
		c := good
		spoil(&c)
		if err := checkEncoded(c); !errors.Is(err, ErrStream) {
			t.Errorf("%s: error %v, want ErrStream", name, err)
		}
	}
}

func FuzzDecompress(f *testing.F) {
	plain := bytes.Repeat([]byte("text "), 100)
	f.Add(uint32(1), zlibbed(f, plain), uint64(500))
	f.Add(uint32(2), zstdded(f, plain), uint64(500))
	f.Add(uint32(2), append(zstdded(f, make([]byte, 10_000)), 0, 0, 0), uint64(maxUnencoded))
	f.Fuzz(func(t *testing.T, compression uint32, data []byte, length uint64) {
		c := sendstream.EncodedWrite{Compression: compression, Data: data, UnencodedLen: length, UnencodedFileLen: length}
		if checkEncoded(c) != nil {
			return
		}
		if got, err := new(decompressor).decompress(c); err == nil && uint64(len(got)) != length {
			t.Fatalf("%d bytes, want %d", len(got), length)
		}
	})
}
