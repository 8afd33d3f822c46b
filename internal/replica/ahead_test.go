package replica

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestLikelyFirst(t *testing.T) {
	for _, tt := range []struct {
		name, from, wanted, want string // want is "" where nothing is begun
	}{
		{"the newest, on the one before", "a b c", "", "c<b"},
		{"the first one is whole", "a", "", "a"},
		{"one that was asked for", "a b c", "b", "b<a"},
		{"the oldest, though there are newer ones", "a b c", "a", "a"},
		{"not on one that has been changed", "a b! c", "", "c<a"},
		{"one that cannot be sent", "a b?", "", ""},
		{"nothing", "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from, wanted := items(tt.from), map[string]bool{}
			for _, item := range from {
				wanted[item.Name] = tt.wanted == "" || slices.Contains(strings.Fields(tt.wanted), item.Name)
			}
			before := maps.Clone(wanted)
			got := ""
			if step := likelyFirst(from, wanted); newCopied(step).Result == "" {
				got = plan([]Step{step})
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if !maps.Equal(wanted, before) {
				t.Errorf("changed what is wanted: %v", wanted)
			}
		})
	}
}
