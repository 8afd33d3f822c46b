//go:build integration

package replica

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// bind mounts an empty directory on one, until the end of the test or the function returned.
func bind(t testing.TB, on string) (unmount func()) {
	t.Helper()
	testdest.Must(t, unix.Mount(t.TempDir(), on, "", unix.MS_BIND, ""))
	unmount = func() { _ = unix.Unmount(on, unix.MNT_DETACH) }
	t.Cleanup(unmount)
	return unmount
}

// TestABackupUnderAMount cannot be read: it is named, the others are copied, and the exit code says that one is missing
// if the target does not have it. A copy under a mount counts as there.
func TestABackupUnderAMount(t *testing.T) {
	t.Parallel()
	src, dest := source(t), testdest.New(t, "1G")
	backups(t, src, dest, 3)
	all := testdest.Names(t, dest)
	disk := loopfs.New(t, "2G")
	testdest.Must(t, os.Mkdir(filepath.Join(dest, "2001-01-01-00:00"), 0o700))
	bind(t, filepath.Join(dest, "2001-01-01-00:00")) // no backup
	for route, args := range routes(t) {
		target := freshDest(t, disk, route, 0)
		run := args(dest, target)
		unmount := bind(t, filepath.Join(dest, all[1]))
		for _, more := range [][]string{{"-n"}, {all[1]}, nil} {
			wantExit(t, testbin.Run(t, append(run, more...)...), 1, all[1]+": something is mounted on it")
		}
		if got := strings.Join(testdest.Names(t, target), " "); got != all[0]+" "+all[2] {
			t.Errorf("%s: copied %s", route, got)
		}
		unmount()
		testbin.Must(t, run...)
		wantCopies(t, dest, target)

		unmount = bind(t, filepath.Join(dest, all[1]))
		wantExit(t, testbin.Run(t, run...), 0, "3 backups already in the target")
		wantUnread(t, dest, target, all[1])
		unmount()
		unmount = bind(t, filepath.Join(target, all[1]))
		testbin.Must(t, "pin", "-q", dest, all[1])
		wantExit(t, testbin.Run(t, run...), 0, "3 backups already in the target")
		wantUnread(t, dest, target, all[1])
		unmount()
		wantExit(t, testbin.Run(t, run...), 0, "passed on for "+all[1]+": pin")
		wantCopies(t, dest, target)
		testbin.Must(t, "unpin", "-q", dest, all[1])
	}
}

// wantUnread: a comparison, here and with another host, names the backup it could not read, and compares the others.
func wantUnread(t testing.TB, dest, target, name string) {
	t.Helper()
	for way, args := range ways(t, dest, target) {
		c := compareCopies(t, args...)
		if c.Exit != 1 || !strings.Contains(c.Stderr, name+": something is mounted on it") {
			t.Errorf("%s: exit %d\n%s", way, c.Exit, c.Stderr)
		}
		if len(c.report.Backups) != 3 || c.report.Backups[1].Result != rsbtbackup.CopyUnread || c.report.Backups[2].Result != rsbtbackup.SameCopy {
			t.Errorf("%s: %+v", way, c.report.Backups)
		}
	}
}
