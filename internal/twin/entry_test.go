package twin

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
)

func TestDiffer(t *testing.T) {
	file := Entry{Mode: unix.S_IFREG | 0o644, UID: 1, GID: 2, MTime: [2]int64{3, 4}, Size: 5, Xattrs: []byte("x"), Flags: btrfs.FlagNoDump}
	for _, tt := range []struct {
		name   string
		change func(*Entry)
		want   []string
	}{
		{"nothing", func(*Entry) {}, nil},
		{"another inode, as it has to be", func(e *Entry) { e.Inode = 9 }, nil},
		{"the links are for pairs", func(e *Entry) { e.Links = 9 }, nil},
		{"another type, which says it all", func(e *Entry) { e.Mode = unix.S_IFDIR; e.Size = 0 }, []string{"type"}},
		{"mode", func(e *Entry) { e.Mode |= unix.S_ISUID }, []string{"mode"}},
		{"user", func(e *Entry) { e.UID = 0 }, []string{"owner"}},
		{"group", func(e *Entry) { e.GID = 0 }, []string{"owner"}},
		{"a nanosecond", func(e *Entry) { e.MTime[1]++ }, []string{"time"}},
		{"size", func(e *Entry) { e.Size++ }, []string{"size"}},
		{"device", func(e *Entry) { e.Device[1]++ }, []string{"device"}},
		{"target", func(e *Entry) { e.Target = []byte("y") }, []string{"target"}},
		{"attributes", func(e *Entry) { e.Xattrs = nil }, []string{"attributes"}},
		{"a flag is lost", func(e *Entry) { e.Flags = 0 }, []string{"flags"}},
		{"a flag is new", func(e *Entry) { e.Flags |= btrfs.FlagImmutable }, []string{"flags"}},
		{"the mount of the copy has nodatacow", func(e *Entry) { e.Flags |= btrfs.FlagNoCOW }, nil},
		{"names", func(e *Entry) { e.Names++ }, []string{"names"}},
		{"several", func(e *Entry) { e.UID, e.Size = 7, 7 }, []string{"owner", "size"}},
	} {
		other := file
		tt.change(&other)
		if got := Differ(file, other); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	lost := file
	file.Flags |= btrfs.FlagNoCOW
	if got := Differ(file, lost); !slices.Equal(got, []string{"flags"}) {
		t.Errorf("nodatacow is lost: %q", got)
	}
}

func TestPairs(t *testing.T) {
	p := newPairs()
	for _, tt := range []struct {
		a, b         uint64
		linksA, more uint32
		want         bool
	}{
		{1, 11, 1, 0, true},
		{1, 12, 2, 0, true},
		{1, 12, 2, 0, true},
		{1, 13, 2, 0, false}, // one file here, two there
		{2, 12, 2, 0, false}, // two here, one there
		{3, 14, 2, 1, false}, // a name that is not in the backup
	} {
		a, b := Entry{Inode: tt.a, Links: tt.linksA}, Entry{Inode: tt.b, Links: tt.linksA + tt.more}
		if got := p.same(a, b); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestSameSums(t *testing.T) {
	known := Layout{Sums: []byte("a"), Data: []byte("d"), Block: 4096}
	if !known.SameSums(known) || known.SameSums(Layout{Sums: []byte("b")}) || (Layout{}).SameSums(Layout{}) {
		t.Error("what is not known is not the same")
	}
	if known.SameHoles(Layout{Data: []byte("e"), Block: 4096}) || !known.SameHoles(Layout{Data: []byte("e"), Block: 65536}) {
		t.Error("holes")
	}
}
