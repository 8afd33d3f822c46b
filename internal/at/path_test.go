package at

import (
	"slices"
	"strings"
	"testing"
)

func TestLeadsToAndCovered(t *testing.T) {
	paths := []string{"a/b", "a/b-c", "a/b/c", "d", "e e/f"}
	slices.Sort(paths)
	for _, path := range []string{"a", "a/b", "a/b/c", "a/b/c/d", "a/b-", "a/b-c", "a/b-c/d", "a/bc", "b", "c", "d", "d/e", "dd", "e", "e e", "e e/f/g", "e e/ff", "z"} {
		leads := slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p+"/", path+"/") })
		covered := slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(path+"/", p+"/") })
		if got := LeadsTo(path, paths); got != leads {
			t.Errorf("LeadsTo(%q) = %v", path, got)
		}
		if got := Covered(path, paths); got != covered {
			t.Errorf("Covered(%q) = %v", path, got)
		}
	}
	if LeadsTo("a", nil) || Covered("a", nil) {
		t.Error("without paths")
	}
}
