//go:build linux

package btrfs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestCheckName(t *testing.T) {
	for name, want := range map[string]error{
		"2026-11-23-09:00":       nil,
		".log":                   nil,
		"...":                    nil,
		"-n":                     nil,
		" ":                      nil,
		"new\nline \x1b[31m":     nil,
		"\xff\xfe":               nil,
		strings.Repeat("x", 255): nil,
		strings.Repeat("x", 256): unix.ENAMETOOLONG,
		"":                       unix.EINVAL,
		".":                      unix.EINVAL,
		"..":                     unix.EINVAL,
		"/":                      unix.EINVAL,
		"a/b":                    unix.EINVAL,
		"a/":                     unix.EINVAL,
		"a\x00b":                 unix.EINVAL,
	} {
		err := checkName(name)
		if !errors.Is(err, want) {
			t.Errorf("checkName(%q) = %v, want %v", name, err, want)
		}
		if want != nil && !errors.Is(err, ErrInvalidName) {
			t.Errorf("checkName(%q) = %v, does not match ErrInvalidName", name, err)
		}
	}
}

func TestUUID(t *testing.T) {
	u := UUID{0x3f, 0x25, 0x04, 0xe0, 0x4f, 0x89, 0x41, 0xd3, 0x9a, 0x0c, 0x03, 0x05, 0xe8, 0x2c, 0x33, 0x01}
	if got, want := u.String(), "3f2504e0-4f89-41d3-9a0c-0305e82c3301"; got != want {
		t.Errorf("String() = %s, want %s", got, want)
	}
	if u.IsZero() || !(UUID{}).IsZero() {
		t.Error("IsZero is wrong")
	}
}

// TestNotBtrfs needs no btrfs: /proc is always another filesystem.
func TestNotBtrfs(t *testing.T) {
	proc, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	for name, err := range map[string]error{
		"CreateSubvolume": CreateSubvolume(proc, "x"),
		"CreateSnapshot":  CreateSnapshot(proc, "x", proc, SnapshotOptions{}),
		"DeleteSubvolume": DeleteSubvolume(proc, "x"),
		"SubvolumeInfo":   second(SubvolumeInfo(proc)),
		"ReadOnly":        second(ReadOnly(proc)),
		"SetReadOnly":     SetReadOnly(proc, true),
		"Children":        second(Children(proc)),
		"Sync":            Sync(proc),
		"DeletedCount":    second(DeletedCount(proc)),
		"WaitDeleted":     second(WaitDeleted(t.Context(), proc)),
		"OpenDir":         second(OpenDir("/proc")),
	} {
		if !errors.Is(err, ErrNotBtrfs) {
			t.Errorf("%s on /proc: %v, want ErrNotBtrfs", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestClosedFile(t *testing.T) {
	f, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := Sync(f); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Sync on a closed file: %v, want fs.ErrClosed", err)
	}
}

func TestTimeOf(t *testing.T) {
	b := make([]byte, 12)
	if got := timeOf(b); !got.IsZero() {
		t.Errorf("timeOf(zero) = %v, want the zero time", got)
	}
	binary.NativeEndian.PutUint64(b, 1763888811)
	binary.NativeEndian.PutUint32(b[8:], 123456789)
	if got, want := timeOf(b), time.Unix(1763888811, 123456789); !got.Equal(want) {
		t.Errorf("timeOf = %v, want %v", got, want)
	}
}

// TestInfoLayouts: the times come out of both sizes of btrfs_ioctl_timespec.
func TestInfoLayouts(t *testing.T) {
	for _, size := range []uintptr{12, 16} {
		args := &subvolInfoArgs{}
		for i := range uintptr(4) {
			binary.NativeEndian.PutUint64(args.Tail[i*size:], uint64(100+i))
		}
		info := newInfo(args, size)
		got := []int64{info.CTime.Unix(), info.OTime.Unix(), info.STime.Unix(), info.RTime.Unix()}
		if diff := cmp.Diff([]int64{100, 101, 102, 103}, got); diff != "" {
			t.Errorf("timespec of %d bytes (-want +got):\n%s", size, diff)
		}
	}
}

func TestSearchAdvance(t *testing.T) {
	for _, tt := range []struct {
		name string
		last Item
		want searchKey
		more bool
	}{
		{"next offset", Item{ObjectID: 7, Type: 1, Offset: 9}, searchKey{MinObjectID: 7, MinType: 1, MinOffset: 10}, true},
		{"next type", Item{ObjectID: 7, Type: 1, Offset: math.MaxUint64}, searchKey{MinObjectID: 7, MinType: 2}, true},
		{"next object", Item{ObjectID: 7, Type: 255, Offset: math.MaxUint64}, searchKey{MinObjectID: 8}, true},
		{"the end", Item{ObjectID: math.MaxUint64, Type: 255, Offset: math.MaxUint64}, searchKey{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var key searchKey
			more := key.advance(tt.last)
			if key != tt.want || more != tt.more {
				t.Errorf("advance = %+v, %v; want %+v, %v", key, more, tt.want, tt.more)
			}
		})
	}
}

// TestSearchKeyIsABox: the kernel's range is a line, the key of TreeSearch is a box.
func TestSearchKeyIsABox(t *testing.T) {
	key := SearchKey{MinObjectID: 256, MaxObjectID: 300, MinType: 108, MaxType: 108, MinOffset: 10, MaxOffset: 20}
	for item, want := range map[[3]uint64]bool{
		{256, 108, 10}: true,
		{280, 108, 20}: true,
		{280, 1, 15}:   false,
		{280, 108, 21}: false,
		{301, 108, 15}: false,
	} {
		if got := key.has(Item{ObjectID: item[0], Type: uint32(item[1]), Offset: item[2]}); got != want {
			t.Errorf("has(%v) = %v, want %v", item, got, want)
		}
	}
}

func TestParseItemsTruncated(t *testing.T) {
	whole := make([]byte, 32+5)
	binary.NativeEndian.PutUint32(whole[28:], 5)
	if items, err := parseItems(nil, whole, 1); err != nil || len(items[0].Data) != 5 {
		t.Errorf("parseItems = %v, %v", items, err)
	}
	for size := range whole {
		if _, err := parseItems(nil, whole[:size], 1); !errors.Is(err, unix.EPROTO) {
			t.Errorf("parseItems of %d bytes: %v, want EPROTO", size, err)
		}
	}
}

func TestParseExtent(t *testing.T) {
	regular := binary.LittleEndian.AppendUint64(nil, 11) // generation
	regular = append(regular, make([]byte, 12)...)
	regular = append(regular, 1) // type
	regular = binary.LittleEndian.AppendUint64(regular, 4096)
	regular = binary.LittleEndian.AppendUint64(regular, 8192)
	regular = append(regular, make([]byte, 8)...)
	regular = binary.LittleEndian.AppendUint64(regular, 12288)
	prealloc := append([]byte(nil), regular...)
	prealloc[20] = 2
	inline := binary.LittleEndian.AppendUint64(nil, 12)
	inline = binary.LittleEndian.AppendUint64(inline, 6)
	inline = append(append(inline, make([]byte, 5)...), "hello"...)

	type fields struct {
		generation, start, diskBytes, length uint64
		inline, prealloc                     bool
	}
	for name, tt := range map[string]struct {
		item []byte
		want fields
	}{
		"regular":  {regular, fields{generation: 11, start: 4096, diskBytes: 8192, length: 12288}},
		"prealloc": {prealloc, fields{generation: 11, start: 4096, diskBytes: 8192, length: 12288, prealloc: true}},
		"inline":   {inline, fields{generation: 12, diskBytes: 5, length: 6, inline: true}},
	} {
		e, err := parseExtent(tt.item)
		if got := (fields{e.generation, e.start, e.diskBytes, e.length, e.inline, e.prealloc}); err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, tt.want)
		}
	}
	for _, item := range [][]byte{nil, regular[:52], inline[:20]} {
		if _, err := parseExtent(item); !errors.Is(err, unix.EPROTO) {
			t.Errorf("parseExtent of %d bytes: %v, want EPROTO", len(item), err)
		}
	}
}

func TestSpaceNames(t *testing.T) {
	for flags, want := range map[uint64]string{
		0x1:         "data single",
		0x2 | 0x20:  "system dup",
		0x4 | 0x10:  "metadata raid1",
		0x5:         "data+metadata single",
		0x1 | 0x8:   "data raid0",
		0x1 | 0x40:  "data raid10",
		0x1 | 0x80:  "data raid5",
		0x1 | 0x100: "data raid6",
		0x4 | 0x200: "metadata raid1c3",
		0x4 | 0x400: "metadata raid1c4",
		1<<49 | 0x4: "reserve single",
		1 << 40:     "unknown single",
	} {
		if got := spaceKind(flags) + " " + spaceProfile(flags); got != want {
			t.Errorf("flags %#x: %s, want %s", flags, got, want)
		}
	}
}

// fakeCleaner answers from lists, the last answer again and again.
type fakeCleaner struct {
	count   []uint64 // nil when the kernel cannot count
	orphans []uint64 // how many; nil without root
	dropped []uint64 // how far the cleaner is with each; nil if that is not seen
	free    []uint64
	syncs   int
	syncErr error
}

func (f *fakeCleaner) cleaner() cleaner {
	c := cleaner{
		count:   noCount,
		orphans: noSearch,
		sync:    func() error { f.syncs++; return f.syncErr },
		free:    answers(f.free),
		poll:    time.Second,
		quiet:   3,
		limit:   10 * time.Second,
	}
	if f.count != nil {
		c.count = answers(f.count)
	}
	if f.orphans != nil {
		many, dropped := answers(f.orphans), answers(append([]uint64{0}, f.dropped...))
		c.orphans = func() (list []orphan, err error) {
			n, _ := many()
			far, _ := dropped()
			for id := range n {
				list = append(list, orphan{firstFreeObjectID + id, fmt.Sprint(far)})
			}
			return list, nil
		}
	}
	return c
}

func answers(list []uint64) func() (uint64, error) {
	return func() (uint64, error) {
		n := list[0]
		if len(list) > 1 {
			list = list[1:]
		}
		return n, nil
	}
}

func TestWaitDeletedSteps(t *testing.T) {
	var climbing []uint64
	for n := range uint64(100) {
		climbing = append(climbing, n+1)
	}
	for _, tt := range []struct {
		name  string
		fake  fakeCleaner
		took  time.Duration
		syncs int
		held  int
	}{
		{"nothing to do", fakeCleaner{count: []uint64{0}, orphans: []uint64{0}}, 0, 2, 0},
		{"a queue", fakeCleaner{count: []uint64{5, 2, 0}, orphans: []uint64{0}}, 2 * time.Second, 2, 0},
		{"the last one takes long", fakeCleaner{count: []uint64{0}, orphans: []uint64{1, 1, 0}, free: []uint64{7, 8}}, 2 * time.Second, 4, 0},
		{"held open by somebody", fakeCleaner{count: []uint64{0}, orphans: []uint64{1}, free: []uint64{7}}, 4 * time.Second, 5, 1},
		{"a file is open, another one is slow", fakeCleaner{count: []uint64{0}, orphans: []uint64{2, 2, 2, 2, 2, 2, 1}, dropped: []uint64{1, 2, 3, 4, 5, 6, 7, 7}, free: []uint64{7}}, 11 * time.Second, 12, 1},
		{"cannot count", fakeCleaner{orphans: []uint64{2, 1, 0}, free: []uint64{7, 8}}, 2 * time.Second, 4, 0},
		{"not root", fakeCleaner{count: []uint64{1, 0}, free: []uint64{7}}, 5 * time.Second, 5, 0},
		{"only watching, space grows", fakeCleaner{free: []uint64{7, 8, 8, 9}}, 7 * time.Second, 8, 0},
		{"only watching, somebody else writes", fakeCleaner{free: []uint64{7, 5, 6, 5}}, 4 * time.Second, 5, 0},
		{"only watching, grows forever", fakeCleaner{free: climbing}, 10 * time.Second, 12, 0},
		{"root does not give up on progress", fakeCleaner{orphans: ones(20), free: climbing}, 20 * time.Second, 22, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				held, err := waitDeleted(t.Context(), "/x", tt.fake.cleaner())
				if err != nil {
					t.Fatal(err)
				}
				if len(held) != tt.held {
					t.Errorf("held: %d, want %d of them", held, tt.held)
				}
				if took := time.Since(start); took != tt.took || tt.fake.syncs != tt.syncs {
					t.Errorf("took %v and %d syncs, want %v and %d", took, tt.fake.syncs, tt.took, tt.syncs)
				}
			})
		})
	}
}

// ones is n times 1, then 0.
func ones(n int) []uint64 {
	list := make([]uint64, n+1)
	for i := range n {
		list[i] = 1
	}
	return list
}

func TestWaitDeletedStops(t *testing.T) {
	why := errors.New("enough")
	for name, fake := range map[string]fakeCleaner{
		"in the queue":      {count: []uint64{1}},
		"at the last one":   {count: []uint64{0}, orphans: []uint64{1}, free: []uint64{1}},
		"watching":          {free: []uint64{1}},
		"a sync that fails": {syncErr: why},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeoutCause(t.Context(), 2500*time.Millisecond, why)
				defer cancel()
				if _, err := waitDeleted(ctx, "/x", fake.cleaner()); !errors.Is(err, why) {
					t.Errorf("waitDeleted = %v, want %v", err, why)
				}
			})
		})
	}
}
