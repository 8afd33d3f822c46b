package testdest

import (
	"testing"

	"golang.org/x/sys/unix"
)

// ShowNameless has bindfs show dir at point, through the empty directory shown. What it says of its files is always the
// same but for their content: the ctimes are the mtimes, and shown, if that is on a tmpfs, tells no disk. hide ends it.
func ShowNameless(t testing.TB, dir, shown, point string) (hide func()) {
	t.Helper()
	Must(t, unix.Mount(dir, shown, "", unix.MS_BIND, ""))
	Tool(t, "bindfs", "--ctime-from-mtime", shown, point)
	return func() {
		t.Helper()
		Tool(t, "umount", point)
		WaitFor(t, "bindfs to let go of the disk", func() bool { return unix.Unmount(shown, 0) == nil })
	}
}
