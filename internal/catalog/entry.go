package catalog

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Entry is the information about one name that is known without opening it.
type Entry struct {
	Name   string // one path component; "." for the root
	FS     string // identity of the filesystem it is on
	Inode  uint64
	Birth  Time // zero if the filesystem has none
	Change Time
	Modify Time
	Size   uint64
	Mode   uint32 // kind and permissions, as st_mode
	UID    uint32
	GID    uint32
	Links  uint32
	Device uint64 // number of a device node
	Target uint64 // hash of the target of a symlink
	Closed bool   // a directory that the walk does not enter
}

// Time is a time of an inode as the filesystem stores it, for any year.
type Time struct {
	Sec  int64
	Nsec uint32
}

// Before reports whether t is earlier than u.
func (t Time) Before(u Time) bool {
	return t.Sec < u.Sec || t.Sec == u.Sec && t.Nsec < u.Nsec
}

// Minus is t minus a part of a second, in nanoseconds.
func (t Time) Minus(nsec uint32) Time {
	if t.Nsec >= nsec {
		return Time{t.Sec, t.Nsec - nsec}
	}
	return Time{t.Sec - 1, t.Nsec + 1_000_000_000 - nsec}
}

func (e *Entry) Kind() uint32    { return e.Mode & unix.S_IFMT }
func (e *Entry) IsDir() bool     { return e.Kind() == unix.S_IFDIR }
func (e *Entry) IsFile() bool    { return e.Kind() == unix.S_IFREG }
func (e *Entry) IsSymlink() bool { return e.Kind() == unix.S_IFLNK }
func (e *Entry) IsLinked() bool  { return !e.IsDir() && e.Links > 1 }

// IsOpen reports whether the walk enters e.
func (e *Entry) IsOpen() bool { return e.IsDir() && !e.Closed }

// Dir is one directory with its entries, sorted by name.
type Dir struct {
	Path    string // relative to the root, which is "."
	Entries []Entry
	// Unread: it vanished, or was replaced, before it was read.
	Unread bool
}

// Join is the path of name in dir.
func Join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

// Parent is the parent of path; that of "." is "".
func Parent(path string) string {
	if path == "." {
		return ""
	}
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return "."
}

// ComparePaths is the order of directories in a catalog: a directory comes before its contents, and everything below
// one name before the next name.
func ComparePaths(a, b string) int {
	if a == b {
		return 0
	}
	if a == "." {
		return -1
	}
	if b == "." {
		return 1
	}
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	switch {
	case i == len(a):
		return -1
	case i == len(b):
		return 1
	case a[i] == '/': // sorts before every byte of a name
		return -1
	case b[i] == '/':
		return 1
	case a[i] < b[i]:
		return -1
	}
	return 1
}
