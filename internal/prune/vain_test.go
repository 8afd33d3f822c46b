package prune

import "testing"

func TestInVain(t *testing.T) {
	for _, tt := range []struct {
		a    attempt
		free uint64
		want bool
	}{
		{attempt{}, 0, false}, // nothing was deleted, or sizes are exact
		{attempt{"b", 100, 1000}, 1100, false},
		{attempt{"b", 100, 1000}, 1050, false},
		{attempt{"b", 100, 1000}, 1049, true},
		{attempt{"b", 100, 1000}, 900, true},
		{attempt{"b", 0, 1000}, 1000, false}, // nothing was to be expected
	} {
		if got := tt.a.inVain(tt.free); got != tt.want {
			t.Errorf("%+v, %d free: %v", tt.a, tt.free, got)
		}
	}
}
