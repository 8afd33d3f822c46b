//go:build integration

package integration

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

var longPast = time.Unix(1_700_000_000, 123456789)

// everyKind makes one entry of each kind, all with one time.
func everyKind(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	at := func(name string) string { return filepath.Join(dir, name) }
	testdest.Write(t, at("file"), "content")
	testdest.Write(t, at("dir/empty"), "")
	testdest.Must(t, errors.Join(
		os.Symlink("file", at("link")),
		os.Link(at("file"), at("dir/name")),
		os.WriteFile(at("equal"), []byte("content"), 0o644),
		os.Link(at("equal"), at("dir/other")),
		unix.Mkfifo(at("fifo"), 0o600),
		unix.Mknod(at("device"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))),
		unix.Setxattr(at("file"), "user.note", []byte("kept"), 0),
		unix.Setxattr(at("dir"), "user.note", []byte("kept"), 0),
	))
	sameTimes(t, dir)
	return dir
}

func sameTimes(t testing.TB, dir string) {
	t.Helper()
	times := []unix.Timespec{unix.NsecToTimespec(longPast.UnixNano()), unix.NsecToTimespec(longPast.UnixNano())}
	testdest.Must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW))
	}))
}

// TestTreesAreTheSameOnlyIfNothingDiffers: tests believe that two trees are equal, and ask no rsync, if their digests
// are.
func TestTreesAreTheSameOnlyIfNothingDiffers(t *testing.T) {
	one := everyKind(t)
	link := filepath.Join(t.TempDir(), "link")
	testdest.Must(t, os.Symlink(one, link))
	for name, other := range map[string]string{"itself": one, "another": everyKind(t), "behind a symlink": link} {
		if !testdest.Same(one, other) {
			t.Errorf("not the same: %s", name)
		}
	}
	if testdest.Same(one, one+".absent") {
		t.Error("the same as what is not there")
	}
	for name, change := range map[string]func(at func(string) string) error{
		"a byte":         func(at func(string) string) error { return os.WriteFile(at("file"), []byte("Content"), 0) },
		"a zero more":    func(at func(string) string) error { return os.Truncate(at("file"), 8) },
		"a name":         func(at func(string) string) error { return os.Rename(at("dir/empty"), at("dir/Empty")) },
		"a place":        func(at func(string) string) error { return os.Rename(at("dir/empty"), at("empty")) },
		"a name more":    func(at func(string) string) error { return os.Mkdir(at("more"), 0o755) },
		"a name less":    func(at func(string) string) error { return os.Remove(at("fifo")) },
		"a mode":         func(at func(string) string) error { return os.Chmod(at("dir/empty"), 0o600) },
		"the top's mode": func(at func(string) string) error { return os.Chmod(at("."), 0o700) },
		"setuid":         func(at func(string) string) error { return os.Chmod(at("file"), 0o644|os.ModeSetuid) },
		"an owner":       func(at func(string) string) error { return os.Lchown(at("link"), 1, 0) },
		"a group":        func(at func(string) string) error { return os.Chown(at("dir"), 0, 1) },
		"a target": func(at func(string) string) error {
			return errors.Join(os.Remove(at("link")), os.Symlink("dir", at("link")))
		},
		"a value":      func(at func(string) string) error { return unix.Setxattr(at("file"), "user.note", []byte("lost"), 0) },
		"an attribute": func(at func(string) string) error { return unix.Setxattr(at("dir"), "user.more", nil, 0) },
		"none":         func(at func(string) string) error { return unix.Removexattr(at("dir"), "user.note") },
		"a kind": func(at func(string) string) error {
			return errors.Join(os.Remove(at("fifo")), unix.Mknod(at("fifo"), unix.S_IFSOCK|0o600, 0))
		},
		"a device": func(at func(string) string) error {
			return errors.Join(os.Remove(at("device")), unix.Mknod(at("device"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))))
		},
		"links across": func(at func(string) string) error {
			return errors.Join(os.Rename(at("dir/name"), at("x")), os.Rename(at("dir/other"), at("dir/name")), os.Rename(at("x"), at("dir/other")))
		},
		"a copy for a link": func(at func(string) string) error {
			return errors.Join(os.Remove(at("dir/other")), os.WriteFile(at("dir/other"), []byte("content"), 0o644))
		},
	} {
		t.Run(name, func(t *testing.T) {
			other := everyKind(t)
			testdest.Must(t, change(func(name string) string { return filepath.Join(other, name) }))
			sameTimes(t, other)
			if testdest.Same(one, other) || testdest.Digest(t, one) == testdest.Digest(t, other) {
				t.Error("the same")
			}
		})
	}
	for _, name := range []string{"file", "dir", "link", "device", "."} {
		t.Run("the time of "+name, func(t *testing.T) {
			other := everyKind(t)
			times := []unix.Timespec{{}, unix.NsecToTimespec(longPast.UnixNano() + 1)}
			testdest.Must(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(other, name), times, unix.AT_SYMLINK_NOFOLLOW))
			if testdest.Same(one, other) || testdest.Digest(t, one) == testdest.Digest(t, other) {
				t.Error("the same")
			}
		})
	}
}
