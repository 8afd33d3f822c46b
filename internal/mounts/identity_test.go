package mounts

import (
	"encoding/json"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

// TestSuperblockUUID reads the first blocks of each filesystem that is known.
func TestSuperblockUUID(t *testing.T) {
	block := func(at map[int]string) []byte {
		b := make([]byte, 40<<10)
		for offset, text := range at {
			copy(b[offset:], text)
		}
		return b
	}
	const uuid = "\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef"
	const text = "0123456789abcdef0123456789abcdef"
	for _, c := range []struct {
		name   string
		blocks []byte
		want   string
	}{
		{"nothing", nil, ""},
		{"zeros", block(nil), ""},
		{"XFS", block(map[int]string{0: "XFSB", 32: uuid}), text},
		{"ext4", block(map[int]string{1080: "\x53\xef", 1128: uuid}), text},
		{"F2FS", block(map[int]string{1024: "\x10\x20\xf5\xf2", 1132: uuid}), text},
		{"FAT32", block(map[int]string{0x52: "FAT32   ", 0x43: "\x78\x56\x34\x12"}), "12345678"},
		{"FAT16", block(map[int]string{0x36: "FAT16   ", 0x27: "\x78\x56\x34\x12"}), "12345678"},
		{"exFAT", block(map[int]string{3: "EXFAT   ", 0x64: "\x78\x56\x34\x12"}), "12345678"},
		{"NTFS", block(map[int]string{3: "NTFS    ", 0x48: "\x88\x77\x66\x55\x44\x33\x22\x11"}), "1122334455667788"},
		{"ISO 9660", block(map[int]string{32768: "\x01CD001", 32768 + 813: "2026112809000000\x00"}), "2026112809000000"},
		{"cut short", []byte("XFSB"), ""},
	} {
		if got := superblockUUID(c.blocks); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	one, other := block(map[int]string{0: "hsqs", 8: "time"}), block(map[int]string{0: "hsqs", 8: "emit"})
	if superblockUUID(one) == superblockUUID(other) {
		t.Error("squashfs images are not told apart")
	}
}

func FuzzSuperblockUUID(f *testing.F) {
	f.Add([]byte("XFSB"))
	f.Add([]byte("hsqs"))
	f.Fuzz(func(t *testing.T, blocks []byte) {
		id := facts.SourceIdentity{UUID: superblockUUID(blocks)}
		data, err := json.Marshal(id)
		var back facts.SourceIdentity
		if err == nil {
			err = json.Unmarshal(data, &back)
		}
		if err != nil || back != id {
			t.Errorf("%q came back as %q: %v", id.UUID, back.UUID, err)
		}
	})
}
