package mounts

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Inode identifies a file on this machine.
type Inode struct{ Dev, Ino uint64 }

func InodeOf(st *unix.Stat_t) Inode { return Inode{uint64(st.Dev), st.Ino} }

// Tails of "/a/b" are itself, "/b" and "".
func Tails(path string) []string {
	var ends []string
	for i := range len(path) {
		if path[i] == '/' {
			ends = append(ends, path[i:])
		}
	}
	return append(ends, "")
}

// AncestorIs returns the ancestor of path that is the given inode, or "".
func AncestorIs(path string, dev, ino uint64) (string, error) {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil {
			// An ancestor that we may not look at cannot be the source.
			if errors.Is(err, unix.EACCES) {
				return "", nil
			}
			return "", &os.PathError{Op: "stat", Path: dir, Err: err}
		}
		if uint64(st.Dev) == dev && st.Ino == ino {
			return dir, nil
		}
		if dir == "/" || !strings.Contains(dir, "/") {
			return "", nil
		}
	}
}
