package receive

import (
	"errors"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
)

func TestChoose(t *testing.T) {
	wanted, other := btrfs.UUID{1}, btrfs.UUID{2}
	received := func(name string, id, stransid uint64) candidate {
		return candidate{name, btrfs.Info{ID: id, UUID: btrfs.UUID{9}, ReceivedUUID: wanted, STransID: stransid, RTransID: 20, CTransID: 19, ReadOnly: true}}
	}
	own := candidate{"own", btrfs.Info{ID: 300, UUID: wanted, CTransID: 8, OTransID: 8, ReadOnly: true}}
	changed, writable, ownChanged := received("changed", 400, 7), received("writable", 401, 7), own
	changed.info.CTransID = 21
	writable.info.ReadOnly = false
	ownChanged.info.CTransID = 9
	relayed := received("relayed", 302, 99)

	for _, tt := range []struct {
		name  string
		known []candidate
		want  string
		err   string
	}{
		{"received from it", []candidate{received("a", 256, 7)}, "a", ""},
		{"it itself", []candidate{own}, "own", ""},
		{"several, by the transaction", []candidate{relayed, received("a", 256, 7), relayed}, "a", ""},
		{"several of the transaction, the newest", []candidate{received("a", 256, 7), received("c", 258, 7), received("b", 257, 7)}, "c", ""},
		{"sent on by another host, whose transactions are others", []candidate{relayed}, "relayed", ""},
		{"received comes before its own", []candidate{own, received("a", 256, 7)}, "a", ""},
		{"none", nil, "", "none has that UUID"},
		{"others only", []candidate{{"x", btrfs.Info{UUID: other, ReceivedUUID: other, ReadOnly: true}}}, "", "none has that UUID"},
		{"changed since it was received", []candidate{changed}, "", "changed has been changed since"},
		{"changed since, but there is another", []candidate{changed, received("a", 256, 7)}, "a", ""},
		{"writable", []candidate{writable}, "", "writable can be written to"},
		{"it itself, changed since it was made", []candidate{ownChanged}, "", "own has been changed since"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := choose(tt.known, wanted, 7)
			if got.name != tt.want {
				t.Errorf("%q, want %q", got.name, tt.want)
			}
			if tt.err == "" != (err == nil) || err != nil && (!errors.Is(err, ErrNoSource) || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}
