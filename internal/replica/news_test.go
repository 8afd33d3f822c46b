package replica

import (
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
)

func TestNewsOf(t *testing.T) {
	t1, t2 := time.Unix(1000, 0), time.Unix(2000, 0)
	pin := func(at time.Time) *facts.PinInfo { return &facts.PinInfo{At: at} }
	clean := func(at time.Time) *facts.Verification { return &facts.Verification{At: at, Result: facts.Clean} }
	origin, own := btrfs.UUID{1}, btrfs.UUID{2}
	for _, tt := range []struct {
		name  string
		from  known
		there known
		first bool // what is there is no copy
		want  string
	}{
		{"nothing", known{}, known{}, false, ""},
		{"a pin", known{Pin: pin(t1)}, known{}, false, "pin"},
		{"a pin that came along", known{Pin: pin(t1)}, known{PinnedAt: t1}, false, ""},
		{"a pin that was set anew", known{Pin: pin(t2)}, known{PinnedAt: t1}, false, "pin"},
		{"an unpin", known{}, known{PinnedAt: t1}, false, ""},
		{"a verdict", known{Verified: clean(t1)}, known{}, false, "verdict"},
		{"a newer verdict", known{Verified: clean(t2)}, known{HeardAt: t1}, false, "verdict"},
		{"a verdict that came along", known{Verified: clean(t1)}, known{HeardAt: t1}, false, ""},
		{"both", known{Pin: pin(t1), Verified: clean(t1)}, known{}, false, "pin verdict"},
		{"to what it is a copy of", known{Pin: pin(t1), Verified: clean(t1)}, known{}, true, ""},
	} {
		there := Item{Name: "a", Origin: origin, UUID: own, Known: tt.there}
		if tt.first {
			there.UUID = origin
		}
		n, got := newsOf(Item{Name: "b", Origin: origin, Known: tt.from}, there), ""
		if n != nil {
			got = strings.Join(n.what(), " ")
		}
		if got != tt.want || n != nil && (n.News != "a" || n.UUID != origin) {
			t.Errorf("%s: %q, want %q: %+v", tt.name, got, tt.want, n)
		}
	}
}

func TestNewsThatIsNotTaken(t *testing.T) {
	now := time.Unix(100_000, 0)
	for name, n := range map[string]news{
		"nothing":           {},
		"a pin to come":     {Pin: &facts.PinInfo{At: now.Add(2 * time.Hour)}},
		"a pin of no time":  {Pin: &facts.PinInfo{}},
		"a long note":       {Pin: &facts.PinInfo{At: now, Note: strings.Repeat("x", maxNote+1)}},
		"a verdict to come": {Verified: &facts.Verification{At: now.Add(2 * time.Hour), Result: facts.Clean}},
		"another verdict":   {Verified: &facts.Verification{At: now, Result: "fine"}},
	} {
		if n.check(now) == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := (news{Pin: &facts.PinInfo{At: now}, Verified: &facts.Verification{At: now, Result: facts.Damaged}}).check(now); err != nil {
		t.Error(err)
	}
}
