package store

import (
	"errors"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

func TestBackupPath(t *testing.T) {
	for _, tt := range []struct{ path, want string }{
		{".", "."}, {"/", "."}, {"//", "."}, {"a", "a"}, {"/a/b/", "a/b"}, {"./-n", "-n"}, {"a//b/./c", "a/b/c"},
		{"a/../b", "b"}, {"a/..", "."}, {"...", "..."}, {"..a", "..a"}, {"\xff\n", "\xff\n"},
	} {
		if got, err := BackupPath(tt.path); got != tt.want || err != nil {
			t.Errorf("backupPath(%q) = %q, %v, want %q", tt.path, got, err, tt.want)
		}
		inside := tt.want
		if inside == "." {
			inside = ""
		}
		if got, err := InsidePath(tt.path); got != inside || err != nil {
			t.Errorf("insidePath(%q) = %q, %v, want %q", tt.path, got, err, inside)
		}
	}
	for _, path := range []string{"", "..", "../a", "/..", "a/../../b", "a\x00b"} {
		if got, err := BackupPath(path); !errors.Is(err, facts.ErrUsage) {
			t.Errorf("backupPath(%q) = %q, %v, want ErrUsage", path, got, err)
		}
		if got, err := InsidePath(path); !errors.Is(err, facts.ErrUsage) {
			t.Errorf("insidePath(%q) = %q, %v, want ErrUsage", path, got, err)
		}
	}
}

func FuzzBackupPath(f *testing.F) {
	f.Add("a/../../b")
	f.Fuzz(func(t *testing.T, path string) {
		clean, err := BackupPath(path)
		if err != nil {
			return
		}
		if again, err := BackupPath(clean); again != clean || err != nil {
			t.Errorf("%q gives %q, that gives %q, %v", path, clean, again, err)
		}
	})
}
