package restore

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
)

func TestCleanPaths(t *testing.T) {
	for _, tt := range []struct{ paths, want []string }{
		{nil, []string{}},
		{[]string{"a", "b"}, []string{"a", "b"}},
		{[]string{"a/b", "a", "a/b/c", "/a/"}, []string{"a"}},
		{[]string{"a", "ab", "a b"}, []string{"a", "a b", "ab"}},
		{[]string{"a/b", "a-b", "a", "a-b/c"}, []string{"a", "a-b"}},
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

// The work grows with the paths, not with the pairs of them, which would take an hour here.
func TestManyPaths(t *testing.T) {
	const many = 200_000
	var paths []string
	for i := range many {
		paths = append(paths, fmt.Sprintf("dir%d/a/b/c/d/file%d", i%1000, i))
	}
	clean, err := cleanPaths(append(paths, paths...))
	if len(clean) != many || err != nil {
		t.Fatalf("%d paths, %v", len(clean), err)
	}
	for i, path := range paths {
		if !isAsked(path, clean) || !isAsked(path+"/x", clean) || isAsked(path+"x/y", clean) || !transfer.OnTheWay(filepath.Dir(path), clean) || transfer.OnTheWay(fmt.Sprintf("dir%d/b", i), clean) {
			t.Fatalf("%s", path)
		}
	}
}
