package restore

import (
	"errors"
	"slices"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

func TestCleanPaths(t *testing.T) {
	for _, tt := range []struct{ paths, want []string }{
		{nil, []string{}},
		{[]string{"a", "b"}, []string{"a", "b"}},
		{[]string{"a/b", "a", "a/b/c", "/a/"}, []string{"a"}},
		{[]string{"a", "ab", "a b"}, []string{"a", "ab", "a b"}},
		{[]string{"a", "/"}, nil},
	} {
		got, err := cleanPaths(tt.paths)
		if !slices.Equal(got, tt.want) || err != nil {
			t.Errorf("cleanPaths(%q) = %q, %v, want %q", tt.paths, got, err, tt.want)
		}
	}
	if _, err := cleanPaths([]string{"a", "../b"}); !errors.Is(err, facts.ErrUsage) {
		t.Errorf("a path that leads out: %v", err)
	}
}
