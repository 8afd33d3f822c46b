// Package testdest makes a destination for tests on a real btrfs, backs up to it with the command, and examines the
// results. It is for _test.go files only.
package testdest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

// New returns an initialised directory on a btrfs of its own; size and options are those of [loopfs.New].
func New(t testing.TB, size string, mountOpts ...string) string {
	t.Helper()
	return On(t, loopfs.New(t, size, mountOpts...))
}

// On returns an initialised directory named dest below dir.
func On(t testing.TB, dir string) string {
	t.Helper()
	return Init(t, filepath.Join(dir, "dest"))
}

// Init makes the directory dest and initialises it.
func Init(t testing.TB, dest string) string {
	t.Helper()
	MakeDir(t, dest)
	testbin.Must(t, "init", "-q", dest)
	return dest
}

// Backup makes a backup, which must be complete, and returns its path.
func Backup(t testing.TB, src, dest string, args ...string) string {
	t.Helper()
	testbin.Must(t, append([]string{"backup", src, dest}, args...)...)
	return CurrentPath(t, dest)
}

// Current returns the name of the newest complete backup.
func Current(t testing.TB, dest string) string {
	t.Helper()
	name, err := os.Readlink(filepath.Join(dest, "cur"))
	Must(t, err)
	return name
}

// CurrentPath returns the path of the newest complete backup.
func CurrentPath(t testing.TB, dest string) string {
	t.Helper()
	return filepath.Join(dest, Current(t, dest))
}

// Backups returns what the library lists, oldest first.
func Backups(t testing.TB, dest string) []rsbtbackup.Snapshot {
	t.Helper()
	listing, err := rsbtbackup.List(t.Context(), dest)
	Must(t, err)
	return listing.Backups
}

// Names returns the names of all backups, oldest first.
func Names(t testing.TB, dest string) []string {
	t.Helper()
	names := []string{}
	for _, b := range Backups(t, dest) {
		names = append(names, b.Name)
	}
	return names
}
