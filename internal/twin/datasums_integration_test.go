//go:build integration

package twin

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"golang.org/x/sys/unix"
)

// TestDataSums: each block has the checksum that can be computed of it, over more than one item and window of them.
func TestDataSums(t *testing.T) {
	dir := loopfs.New(t, "256M")
	const blocks = 9000 // 36 MiB
	data := make([]byte, blocks*4096)
	fillRandom(data)
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	sums, err := openDataSums(f)
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	var got []byte
	next := uint64(0)
	err = sums.extents(f, st.Ino, func(e dataExtent) error {
		if e.Offset != next {
			t.Errorf("an extent at %d, want %d", e.Offset, next)
		}
		next = e.Offset + e.Length
		all, ok, err := sums.of(got, e.Address+e.From, e.Length)
		if !ok {
			t.Errorf("no checksums of %+v", e)
		}
		got = all
		return err
	})
	if err != nil || next != uint64(len(data)) {
		t.Fatal(err, next)
	}
	var want []byte
	for i := range blocks {
		want = binary.LittleEndian.AppendUint32(want, crc32.Checksum(data[i*4096:(i+1)*4096], crc32.MakeTable(crc32.Castagnoli)))
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes of checksums, want %d, and the same", len(got), len(want))
	}
	if _, ok, err := sums.of(nil, 1<<60, 4096); ok || err != nil {
		t.Errorf("where nothing is: %v, %v", ok, err)
	}
}

func fillRandom(data []byte) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := 0; i+8 <= len(data); i += 8 {
		binary.LittleEndian.PutUint64(data[i:], r.Uint64())
	}
}
