package replica

import (
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/twin"
)

func TestCopyOf(t *testing.T) {
	a, b := btrfs.UUID{1}, btrfs.UUID{2}
	for _, tt := range []struct {
		name   string
		there  []Item
		want   string
		byUUID bool
	}{
		{"none", nil, "", false},
		{"of another name", []Item{{Name: "y", Origin: a}}, "y", true},
		{"the UUID counts more than the name", []Item{{Name: "x", Origin: b}, {Name: "y", Origin: a}}, "y", true},
		{"one that was changed counts less", []Item{{Name: "y", Origin: a}, {Name: "z", Origin: a, Base: true}}, "z", true},
		{"what has the name", []Item{{Name: "x", Origin: b}}, "x", false},
	} {
		got, byUUID, ok := copyOf(Item{Name: "x", Origin: a}, tt.there)
		if got.Name != tt.want || byUUID != tt.byUUID || ok != (tt.want != "") {
			t.Errorf("%s: %q, %v, %v", tt.name, got.Name, byUUID, ok)
		}
	}
}

// TestImpossibleAnswers: an index that is none, what is no message, an end.
func TestImpossibleAnswers(t *testing.T) {
	for _, answer := range []string{`{"unlike":[{"n":7}]}`, `{"unlike":[{"n":-1,"what":["x"]}]}`, `{"read":[7]}`, `{"read":[-1]}`, "Welcome", "", `{"error":"no","kind":"no backup"}`} {
		heard := twin.Heard{Differs: func(twin.Difference) {}, Unread: func(error) {}, Tell: func(twin.Tally) {}}
		a := &asking{far: heardFrom(&sink{}, answer+"\n"), account: twin.NewAccount(heard), missing: map[string]bool{}}
		if a.askOne(t.Context(), []twin.Entry{{Path: []byte("a")}}) == nil {
			t.Errorf("%s is taken", answer)
		}
	}
}
