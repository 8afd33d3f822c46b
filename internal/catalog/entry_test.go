package catalog

import (
	"slices"
	"testing"
)

func TestComparePaths(t *testing.T) {
	// As a walk enters them: what is in a directory before its next neighbour, names byte by byte.
	order := []string{".", "-n", "a", "a/b", "a/b/c", "a/b-", "a-", "a.d", "a.d/x", "aa", "b", "\xff"}
	for i, a := range order {
		for j, b := range order {
			got := ComparePaths(a, b)
			if want := sign(i - j); got != want {
				t.Errorf("comparePaths(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
	mixed := slices.Clone(order)
	slices.Reverse(mixed)
	slices.SortFunc(mixed, ComparePaths)
	if !slices.Equal(mixed, order) {
		t.Errorf("sorted: %q", mixed)
	}
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

func TestParent(t *testing.T) {
	for path, want := range map[string]string{".": "", "a": ".", "a/b": "a", "a/b/c": "a/b"} {
		if got := Parent(path); got != want {
			t.Errorf("parent(%q) = %q, want %q", path, got, want)
		}
	}
}
