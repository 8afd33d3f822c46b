package at

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestStatOf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := unix.Mkfifo(file, 0o640); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/dev/null", "/proc/self", file} {
		var want unix.Stat_t
		var stx unix.Statx_t
		if err := unix.Lstat(path, &want); err != nil {
			t.Fatal(err)
		}
		if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &stx); err != nil {
			t.Fatal(err)
		}
		if got := StatOf(&stx); got != want {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
}
