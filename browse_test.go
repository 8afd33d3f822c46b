package rsbtbackup

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
)

func TestBackupPath(t *testing.T) {
	for _, tt := range []struct{ path, want string }{
		{".", "."}, {"/", "."}, {"//", "."}, {"a", "a"}, {"/a/b/", "a/b"}, {"./-n", "-n"}, {"a//b/./c", "a/b/c"},
		{"a/../b", "b"}, {"a/..", "."}, {"...", "..."}, {"..a", "..a"}, {"\xff\n", "\xff\n"},
	} {
		if got, err := backupPath(tt.path); got != tt.want || err != nil {
			t.Errorf("backupPath(%q) = %q, %v, want %q", tt.path, got, err, tt.want)
		}
		inside := tt.want
		if inside == "." {
			inside = ""
		}
		if got, err := insidePath(tt.path); got != inside || err != nil {
			t.Errorf("insidePath(%q) = %q, %v, want %q", tt.path, got, err, inside)
		}
	}
	for _, path := range []string{"", "..", "../a", "/..", "a/../../b", "a\x00b"} {
		if got, err := backupPath(path); !errors.Is(err, ErrUsage) {
			t.Errorf("backupPath(%q) = %q, %v, want ErrUsage", path, got, err)
		}
		if got, err := insidePath(path); !errors.Is(err, ErrUsage) {
			t.Errorf("insidePath(%q) = %q, %v, want ErrUsage", path, got, err)
		}
	}
}

func FuzzBackupPath(f *testing.F) {
	f.Add("a/../../b")
	f.Fuzz(func(t *testing.T, path string) {
		clean, err := backupPath(path)
		if err != nil {
			return
		}
		if again, err := backupPath(clean); again != clean || err != nil {
			t.Errorf("%q gives %q, that gives %q, %v", path, clean, again, err)
		}
	})
}

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
	if _, err := cleanPaths([]string{"a", "../b"}); !errors.Is(err, ErrUsage) {
		t.Errorf("a path that leads out: %v", err)
	}
}

func TestPermissionsInJSON(t *testing.T) {
	out, err := json.Marshal(Entry{Mode: 0o4755})
	var back Entry
	if err != nil || json.Unmarshal(out, &back) != nil || back.Mode != 0o4755 {
		t.Errorf("%s, %v gives %o", out, err, back.Mode)
	}
}
