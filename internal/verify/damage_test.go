package verify

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
)

func TestDamagedBlocks(t *testing.T) {
	bad := facts.DamagedRange{Offset: 8192, Length: 5000}
	for name, tt := range map[string]struct {
		extent btrfs.Extent
		want   []uint64
	}{
		"inside":     {btrfs.Extent{Offset: 0, Length: 1 << 20, Address: 1 << 30}, []uint64{1<<30 + 8192, 1<<30 + 12288}},
		"its end":    {btrfs.Extent{Offset: 12288, Length: 1 << 20, Address: 1 << 30}, []uint64{1 << 30}},
		"compressed": {btrfs.Extent{Offset: 0, Length: 128 << 10, Address: 1 << 30, Compressed: true}, []uint64{1 << 30}},
		"inline":     {btrfs.Extent{Length: 100, Inline: true}, nil},
	} {
		if diff := cmp.Diff(tt.want, appendBlocks(nil, tt.extent, bad)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
