//go:build linux

package btrfs

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"
)

// rootItem is as the kernel writes it since 3.6, with every number another one.
func rootItem() []byte {
	b := make([]byte, 439)
	binary.LittleEndian.PutUint64(b[160:], 70)
	binary.LittleEndian.PutUint64(b[208:], 1)
	binary.LittleEndian.PutUint64(b[239:], 70)
	b[247], b[263], b[279] = 1, 2, 3
	for i := range 4 {
		binary.LittleEndian.PutUint64(b[295+8*i:], uint64(71+i))
		binary.LittleEndian.PutUint64(b[327+12*i:], uint64(1000+i))
		binary.LittleEndian.PutUint32(b[335+12*i:], uint32(i))
	}
	return b
}

func TestParseRootItem(t *testing.T) {
	want := Info{
		ID: 300, Generation: 70, ReadOnly: true, UUID: UUID{1}, ParentUUID: UUID{2}, ReceivedUUID: UUID{3},
		CTransID: 71, OTransID: 72, STransID: 73, RTransID: 74,
		CTime: time.Unix(1000, 0), OTime: time.Unix(1001, 1), STime: time.Unix(1002, 2), RTime: time.Unix(1003, 3),
	}
	if got, err := parseRootItem(Info{ID: 300}, rootItem()); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	old := Info{ID: 300, Generation: 70, ReadOnly: true}
	if got, err := parseRootItem(Info{ID: 300}, rootItem()[:239]); err != nil || got != old {
		t.Errorf("of an old kernel: %+v, %v", got, err)
	}
	stale := rootItem()
	binary.LittleEndian.PutUint64(stale[239:], 69)
	if got, err := parseRootItem(Info{ID: 300}, stale); err != nil || got != old {
		t.Errorf("changed by an old kernel: %+v, %v", got, err)
	}
	if _, err := parseRootItem(Info{}, rootItem()[:200]); !errors.Is(err, errShortRootItem) {
		t.Error(err)
	}
}

func FuzzParseRootItem(f *testing.F) {
	f.Add(rootItem())
	f.Add(rootItem()[:239])
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := parseRootItem(Info{ID: 5}, b)
		if err == nil && info.ID != 5 {
			t.Errorf("%+v", info)
		}
	})
}
