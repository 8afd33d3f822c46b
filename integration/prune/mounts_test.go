//go:build integration

package prune

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

// bind mounts from on to, until the end of the test or the function returned.
func bind(t testing.TB, from, to string) (unmount func()) {
	t.Helper()
	testdest.Must(t, unix.Mount(from, to, "", unix.MS_BIND, ""))
	unmount = func() { _ = unix.Unmount(to, unix.MNT_DETACH) }
	t.Cleanup(unmount)
	return unmount
}

// A backup that a mount showed under a second name counted as two: deleting the second name deleted by subvolume id,
// and so the only backup.
func TestABackupMountedUnderAnotherName(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	days := []string{"2026-01-01-00:00", "2026-01-02-00:00", "2026-01-03-00:00"}
	madeUp(t, dest, days...)
	testbin.Must(t, "prune", dest, "--keep-last=9")
	for _, name := range []string{"2020-01-01-00:00", "2027-01-01-00:00"} {
		dir := filepath.Join(dest, name)
		testdest.Must(t, os.Mkdir(dir, 0o755))
		bind(t, filepath.Join(dest, days[2]), dir)
		for _, args := range [][]string{{"delete", dest, name, "--force"}, {"pin", dest, name}, {"ls", dest, name}, {"verify", dest, name}, {"restore", dest, name, "--target=" + filepath.Join(t.TempDir(), "new")}} {
			wantRefused(t, testbin.Run(t, args...), 2, "something is mounted there")
		}
		wantNames(t, dest, days...)
	}
	testbin.Must(t, "prune", dest, "--keep-last=2")
	wantNames(t, dest, days[1:]...)
	testbin.Must(t, "prune", dest, "--keep-last=1")
	wantNames(t, dest, days[2])
	wantCur(t, dest, days[2])
	if got := readFile(t, filepath.Join(dest, days[2], "last")); got != days[2] {
		t.Errorf("the last backup holds %q", got)
	}
}

// Another filesystem on the name of a backup is none, though its subvolume id may be the highest and make the newest
// one look expendable.
func TestAnotherFilesystemUnderABackupsName(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	madeUp(t, dest, "2026-01-01-00:00", "2026-01-02-00:00")
	other := loopfs.New(t, "256M")
	for range 20 { // a high id
		testdest.NewSubvolume(t, other+"/s")
		testdest.Must(t, os.Remove(other+"/s"))
	}
	testdest.NewSubvolume(t, other+"/s")
	dir := filepath.Join(dest, "2026-01-03-00:00")
	testdest.Must(t, os.Mkdir(dir, 0o755))
	bind(t, other+"/s", dir)
	wantNames(t, dest, "2026-01-01-00:00", "2026-01-02-00:00")
	testbin.Must(t, "prune", dest, "--keep-last=1")
	wantNames(t, dest, "2026-01-02-00:00")
	wantCur(t, dest, "2026-01-02-00:00")
	src := t.TempDir()
	testdest.Write(t, src+"/f", "1")
	testbin.Must(t, "backup", src, dest, "--force")
}

// A mount hides the backup below it for a while. Afterwards the backup and its record are unchanged.
func TestAMountHidesABackup(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	days := []string{"2026-01-01-00:00", "2026-01-02-00:00", "2026-01-03-00:00"}
	madeUp(t, dest, days...)
	testbin.Must(t, "pin", dest, days[0], "--note=forever")
	record(t, dest, days[2], rsbtbackup.Incomplete)
	unmount := []func(){bind(t, t.TempDir(), filepath.Join(dest, days[0])), bind(t, filepath.Join(dest, days[1]), filepath.Join(dest, days[2]))}
	wantNames(t, dest, days[1])
	testbin.Must(t, "prune", dest, "--keep-last=1")
	wantRefused(t, testbin.Run(t, "delete", dest, days[0], "--force"), 2, "something is mounted there")
	wantNames(t, dest, days[1])
	for _, f := range unmount {
		f()
	}
	wantNames(t, dest, days...)
	if r := testbin.Must(t, "list", dest); !strings.Contains(r.Stdout, "pinned") || !strings.Contains(r.Stdout, "incomplete") {
		t.Errorf("the records are gone:\n%s", r.Stdout)
	}
}

// What a hidden backup shares with the others cannot be measured, so sizes are not reported, and nothing is deleted for
// space.
func TestNothingIsMeasuredBesideAHiddenBackup(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "512M")
	work := filepath.Join(filepath.Dir(dest), "work")
	testdest.NewSubvolume(t, work)
	random(t, filepath.Join(work, "shared"), 20*megabyte)
	days := []string{"2026-01-01-00:00", "2026-01-02-00:00", "2026-01-03-00:00"}
	madeUp(t, dest, days...)
	testbin.Must(t, "prune", dest, "--keep-last=9")
	unmount := bind(t, t.TempDir(), filepath.Join(dest, days[2]))

	if r := testbin.Must(t, "delete", dest, days[0], "-n", "--json"); strings.Contains(r.Stdout, `"frees"`) {
		t.Errorf("delete -n: %s", r.Stdout)
	}
	for _, more := range []string{"-n", "--keep-last=9"} {
		r := testbin.Run(t, "prune", dest, "--min-free=99%", "-q", more)
		wantRefused(t, r, 14, "something is mounted on "+days[2])
	}
	testbin.Must(t, "prune", dest, "--min-free=1K")
	if r := testbin.Must(t, "list", dest, "-v", "--size"); !strings.Contains(r.Stdout, "1 hidden by a mount") || !strings.Contains(r.Stdout, "something is mounted on it, not touched: "+days[2]) {
		t.Errorf("list says:\n%s", r.Stdout)
	}
	if r := testbin.Run(t, "check", dest); !strings.Contains(r.Stdout, "something is mounted on "+days[2]) || !strings.Contains(r.Stdout, "it names "+days[2]) {
		t.Errorf("check says:\n%s", r.Stdout)
	}
	// cur waits for what it names.
	r := testbin.Must(t, "prune", dest, "--keep-last=1")
	if n := strings.Count(r.Stderr, "something is mounted"); n != 1 {
		t.Errorf("%d words of what is hidden:\n%s", n, r.Stderr)
	}
	wantNames(t, dest, days[1])
	testbin.Must(t, "delete", dest, days[1], "--force")
	wantCur(t, dest, days[2])
	unmount()
	wantNames(t, dest, days[2])
	wantCur(t, dest, days[2])
}

// What is mounted on pending is neither resumed nor deleted.
func TestAMountOnPending(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	madeUp(t, dest, "2026-01-01-00:00")
	testbin.Must(t, "prune", dest, "--keep-last=9")
	src := t.TempDir()
	testdest.Write(t, src+"/f", "1")
	treasure := filepath.Join(filepath.Dir(dest), "treasure")
	testdest.NewSubvolume(t, treasure)
	testdest.Write(t, treasure+"/f", "treasure")
	testdest.Must(t, os.Mkdir(filepath.Join(dest, "pending"), 0o755))
	unmount := bind(t, treasure, filepath.Join(dest, "pending"))
	wantRefused(t, testbin.Run(t, "backup", src, dest, "-q"), 1, "pending")
	unmount()
	if got := readFile(t, treasure+"/f"); got != "treasure" {
		t.Errorf("a file outside has changed: %q", got)
	}
	testbin.Must(t, "backup", src, dest, "--force")
}
