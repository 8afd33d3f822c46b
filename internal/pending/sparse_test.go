package pending

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMayBeSparse(t *testing.T) {
	for _, c := range []struct {
		name   string
		mode   uint32
		size   int64
		onDisk int64
		want   bool
	}{
		{"all data", unix.S_IFREG, 1 << 20, 1 << 20, false},
		{"nothing but a hole", unix.S_IFREG, 1 << 20, 0, true},
		{"one block of two", unix.S_IFREG, 8 << 10, 4 << 10, true},
		{"a large file with a small hole", unix.S_IFREG, 1 << 30, 1<<30 - 8<<10, false},
		{"a large file with a larger hole", unix.S_IFREG, 1 << 30, 1<<30 - 64<<10, true},
		{"the end of a block", unix.S_IFREG, 100, 0, false},
		{"more than its size, as some filesystems reserve", unix.S_IFREG, 100, 64 << 10, false},
		{"no file", unix.S_IFLNK, 1 << 20, 0, false},
	} {
		if got := mayBeSparse(&unix.Stat_t{Mode: c.mode, Size: c.size, Blocks: c.onDisk / 512}); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestWriteDifferent(t *testing.T) {
	block := func(letters string) []byte {
		var b []byte
		for _, c := range []byte(letters) {
			if c == '0' {
				c = 0
			}
			b = append(b, bytes.Repeat([]byte{c}, holeBlock)...)
		}
		return b
	}
	for _, c := range []struct {
		name, data, have string
		written          int // blocks
	}{
		{"equal", "aab0", "aab0", 0},
		{"one block", "axbc", "aabc", 1},
		{"two apart", "xabx", "aaba", 2},
		{"zeros over data", "a00b", "axxb", 2},
		{"the last part of a block", "aaab", "aaaa", 1},
	} {
		f, err := os.Create(filepath.Join(t.TempDir(), "f"))
		if err != nil {
			t.Fatal(err)
		}
		data, have := block(c.data), block(c.have)
		if _, err := f.WriteAt(have, 0); err != nil {
			t.Fatal(err)
		}
		written, err := writeDifferent(f, 0, data, have)
		if err != nil || written != int64(c.written*holeBlock) {
			t.Errorf("%s: %d B written, %v", c.name, written, err)
		}
		if got, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: wrong content, %v", c.name, err)
		}
		f.Close()
	}
}

// In what is new zeros are left out, in units of holeUnit.
func TestWriteDifferentToAHole(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data := make([]byte, 3*holeUnit+100)
	data[2*holeUnit+5], data[len(data)-1] = 'x', 'y'
	written, err := writeDifferent(f, 0, data, nil)
	if err != nil || written != holeUnit+100 {
		t.Errorf("%d B written, %v", written, err)
	}
	if got, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(got, data) {
		t.Errorf("wrong content, %v", err)
	}
}
