package rsbtbackup

import (
	"encoding/json"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSameFilesystem compares what two runs knew of the filesystem at one path.
func TestSameFilesystem(t *testing.T) {
	const xfs, ext4, nfs = unix.XFS_SUPER_MAGIC, unix.EXT4_SUPER_MAGIC, unix.NFS_SUPER_MAGIC
	for _, c := range []struct {
		name     string
		was, now SourceIdentity
		want     bool
	}{
		{"the device number has changed", SourceIdentity{FSType: xfs, FSID: "700", UUID: "a", Source: "xfs /dev/loop0"}, SourceIdentity{FSType: xfs, FSID: "701", UUID: "a", Source: "xfs /dev/loop1"}, true},
		{"another disk under the same number", SourceIdentity{FSType: xfs, FSID: "700", UUID: "a", Source: "xfs /dev/sda"}, SourceIdentity{FSType: xfs, FSID: "700", UUID: "b", Source: "xfs /dev/sda"}, false},
		{"another type", SourceIdentity{FSType: xfs, UUID: "a"}, SourceIdentity{FSType: ext4, UUID: "a"}, false},
		{"no UUID, the same source", SourceIdentity{FSType: nfs, Source: "nfs4 host:/a"}, SourceIdentity{FSType: nfs, Source: "nfs4 host:/a"}, true},
		{"no UUID, another source", SourceIdentity{FSType: nfs, Source: "nfs4 host:/a"}, SourceIdentity{FSType: nfs, Source: "nfs4 host:/b"}, false},
		{"only root was told the UUID", SourceIdentity{FSType: xfs, FSID: "700", UUID: "a", Source: "xfs /dev/sda"}, SourceIdentity{FSType: xfs, FSID: "700", Source: "xfs /dev/sda"}, true},
		{"only root was told the UUID, and f_fsid lasts", SourceIdentity{FSType: ext4, FSID: "e", UUID: "a", Source: "ext4 /dev/sda"}, SourceIdentity{FSType: ext4, FSID: "e", Source: "ext4 /dev/sdb"}, true},
		{"a record of an older version", SourceIdentity{FSType: ext4, FSID: "e"}, SourceIdentity{FSType: ext4, FSID: "e", UUID: "a", Source: "ext4 /dev/sda"}, true},
		{"a record of an older version, of another disk", SourceIdentity{FSType: ext4, FSID: "e"}, SourceIdentity{FSType: ext4, FSID: "f", UUID: "a", Source: "ext4 /dev/sda"}, false},
		{"an older version knew nothing of NFS", SourceIdentity{FSType: nfs}, SourceIdentity{FSType: nfs, Source: "nfs4 host:/a"}, true},
		{"another subvolume", SourceIdentity{UUID: "a", Subvolume: "1"}, SourceIdentity{UUID: "a", Subvolume: "2"}, false},
		{"a snapshot of it", SourceIdentity{UUID: "a", Subvolume: "1"}, SourceIdentity{UUID: "a", Subvolume: "2", Parent: "1"}, true},
		{"what it is a snapshot of", SourceIdentity{UUID: "a", Subvolume: "2", Parent: "1"}, SourceIdentity{UUID: "a", Subvolume: "1"}, true},
		{"the next snapshot", SourceIdentity{UUID: "a", Subvolume: "2", Parent: "1"}, SourceIdentity{UUID: "a", Subvolume: "3", Parent: "1"}, true},
		{"snapshots of two", SourceIdentity{UUID: "a", Subvolume: "2", Parent: "1"}, SourceIdentity{UUID: "a", Subvolume: "4", Parent: "3"}, false},
	} {
		if got := c.was.sameFS(c.now); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

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
	if superblockUUID(one) == superblockUUID(other) || superblockUUID(one) != superblockUUID(one) {
		t.Error("squashfs images are not told apart")
	}
}

func FuzzSuperblockUUID(f *testing.F) {
	f.Add([]byte("XFSB"))
	f.Add([]byte("hsqs"))
	f.Fuzz(func(t *testing.T, blocks []byte) {
		id := SourceIdentity{UUID: superblockUUID(blocks)}
		data, err := json.Marshal(id)
		var back SourceIdentity
		if err == nil {
			err = json.Unmarshal(data, &back)
		}
		if err != nil || back != id {
			t.Errorf("%q came back as %q: %v", id.UUID, back.UUID, err)
		}
	})
}

func TestMaxDeletes(t *testing.T) {
	for _, c := range []struct {
		entries, want int64
		percent       int
	}{
		{1000, 500, 50},
		{3, 1, 50},
		{2, 0, 50}, // of one file none may go
		{1, 0, 50},
		{2, 2, 100},
	} {
		if n, _ := maxDeletes(&Snapshot{}, c.entries, c.percent); n != c.want {
			t.Errorf("%d %% of %d: %d, want %d", c.percent, c.entries, n, c.want)
		}
	}
}
