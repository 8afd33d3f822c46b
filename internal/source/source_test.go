package source

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
)

// TestSameFilesystem compares what two runs knew of the filesystem at one path.
func TestSameFilesystem(t *testing.T) {
	const xfs, ext4, nfs = unix.XFS_SUPER_MAGIC, unix.EXT4_SUPER_MAGIC, unix.NFS_SUPER_MAGIC
	for _, c := range []struct {
		name     string
		was, now facts.SourceIdentity
		want     bool
	}{
		{"the device number has changed", facts.SourceIdentity{FSType: xfs, FSID: "700", UUID: "a", Source: "xfs /dev/loop0"}, facts.SourceIdentity{FSType: xfs, FSID: "701", UUID: "a", Source: "xfs /dev/loop1"}, true},
		{"another disk under the same number", facts.SourceIdentity{FSType: xfs, FSID: "700", UUID: "a", Source: "xfs /dev/sda"}, facts.SourceIdentity{FSType: xfs, FSID: "700", UUID: "b", Source: "xfs /dev/sda"}, false},
		{"another type", facts.SourceIdentity{FSType: xfs, UUID: "a"}, facts.SourceIdentity{FSType: ext4, UUID: "a"}, false},
		{"no UUID, the same source", facts.SourceIdentity{FSType: nfs, Source: "nfs4 host:/a"}, facts.SourceIdentity{FSType: nfs, Source: "nfs4 host:/a"}, true},
		{"no UUID, another source", facts.SourceIdentity{FSType: nfs, Source: "nfs4 host:/a"}, facts.SourceIdentity{FSType: nfs, Source: "nfs4 host:/b"}, false},
		{"only root was told the UUID", facts.SourceIdentity{FSType: xfs, FSID: "700", UUID: "a", Source: "xfs /dev/sda"}, facts.SourceIdentity{FSType: xfs, FSID: "700", Source: "xfs /dev/sda"}, true},
		{"only root was told the UUID, and f_fsid lasts", facts.SourceIdentity{FSType: ext4, FSID: "e", UUID: "a", Source: "ext4 /dev/sda"}, facts.SourceIdentity{FSType: ext4, FSID: "e", Source: "ext4 /dev/sdb"}, true},
		{"a record of an older version", facts.SourceIdentity{FSType: ext4, FSID: "e"}, facts.SourceIdentity{FSType: ext4, FSID: "e", UUID: "a", Source: "ext4 /dev/sda"}, true},
		{"a record of an older version, of another disk", facts.SourceIdentity{FSType: ext4, FSID: "e"}, facts.SourceIdentity{FSType: ext4, FSID: "f", UUID: "a", Source: "ext4 /dev/sda"}, false},
		{"an older version knew nothing of NFS", facts.SourceIdentity{FSType: nfs}, facts.SourceIdentity{FSType: nfs, Source: "nfs4 host:/a"}, true},
		{"another subvolume", facts.SourceIdentity{UUID: "a", Subvolume: "1"}, facts.SourceIdentity{UUID: "a", Subvolume: "2"}, false},
		{"a snapshot of it", facts.SourceIdentity{UUID: "a", Subvolume: "1"}, facts.SourceIdentity{UUID: "a", Subvolume: "2", Parent: "1"}, true},
		{"what it is a snapshot of", facts.SourceIdentity{UUID: "a", Subvolume: "2", Parent: "1"}, facts.SourceIdentity{UUID: "a", Subvolume: "1"}, true},
		{"the next snapshot", facts.SourceIdentity{UUID: "a", Subvolume: "2", Parent: "1"}, facts.SourceIdentity{UUID: "a", Subvolume: "3", Parent: "1"}, true},
		{"snapshots of two", facts.SourceIdentity{UUID: "a", Subvolume: "2", Parent: "1"}, facts.SourceIdentity{UUID: "a", Subvolume: "4", Parent: "3"}, false},
	} {
		if got := mounts.SameFS(c.was, c.now); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
