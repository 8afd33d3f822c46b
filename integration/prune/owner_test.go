//go:build integration

package prune

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// asOwner runs the command as an ordinary user.
func asOwner(t testing.TB, args ...string) testbin.Result {
	t.Helper()
	return testbin.Finish(t, command(t, nobody, args...))
}

func mustAsOwner(t testing.TB, args ...string) testbin.Result {
	t.Helper()
	r := asOwner(t, args...)
	if r.Exit != 0 {
		t.Fatalf("%q: exit %d\n%s%s", args, r.Exit, r.Stdout, r.Stderr)
	}
	return r
}

// ownersDest is a directory of an ordinary user on a plain mount, and a source with directories whose modes keep out
// even their owner.
func ownersDest(t testing.TB, mountOpts ...string) (src, dest string) {
	t.Helper()
	mnt := loopfs.NewFS(t, "512M", "btrfs", mountOpts...)
	src, dest = filepath.Join(mnt, "src"), filepath.Join(mnt, "dest")
	testdest.Must(t, os.Mkdir(dest, 0o755))
	testdest.Must(t, os.Chown(dest, nobody, nobody))
	testdest.Write(t, src+"/a/b/c/f", "1")
	testdest.Write(t, src+"/locked/d/f", "2")
	testdest.Write(t, src+"/read-only/d/f", "3")
	testdest.Write(t, src+"/no-search/f", "4")
	testdest.Must(t, os.Mkdir(src+"/empty", 0o755))
	testdest.Must(t, os.Mkdir(src+"/new\nline \x1b[31m \xff", 0o755))
	for i := range 300 {
		testdest.Write(t, fmt.Sprintf("%s/many/%d", src, i), "x")
	}
	testdest.Must(t, os.Symlink("/etc", src+"/link"))
	chown(t, src)
	mustAsOwner(t, "init", dest)
	return src, dest
}

func chown(t testing.TB, dir string) {
	t.Helper()
	if out, err := exec.Command("chown", "-hR", "65534:65534", dir).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v: %s", err, out)
	}
}

// threeBackups makes three backups as the owner. If rsync cannot read a directory, it keeps its content in the backup,
// and sets the new mode.
func threeBackups(t testing.TB, src, dest string) []string {
	t.Helper()
	mustAsOwner(t, "backup", src, dest)
	testdest.Must(t, os.Chmod(src+"/read-only", 0o555))
	testdest.Must(t, os.Chmod(src+"/read-only/d", 0o555))
	mustAsOwner(t, "backup", src, dest)
	testdest.Must(t, os.Chmod(src+"/locked/d", 0))
	testdest.Must(t, os.Chmod(src+"/locked", 0))
	testdest.Must(t, os.Chmod(src+"/no-search", 0o400))
	testdest.Must(t, os.Chmod(src+"/empty", 0))
	testdest.WantExit(t, asOwner(t, "backup", src, dest), 3)
	return testdest.Names(t, dest)
}

func TestTheWholeCycleAsAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	for _, options := range [][]string{nil, {"user_subvol_rm_allowed"}} {
		t.Run(strings.Join(append(options, "mount"), " "), func(t *testing.T) {
			src, dest := ownersDest(t, options...)
			made := threeBackups(t, src, dest)
			if len(made) != 3 {
				t.Fatalf("backups: %q", made)
			}
			r := mustAsOwner(t, "list", dest)
			for _, name := range made {
				if !strings.Contains(r.Stdout, name) {
					t.Errorf("%s is not listed:\n%s", name, r.Stdout)
				}
			}
			r = mustAsOwner(t, "list", dest, "--size")
			if !strings.Contains(r.Stderr, " WRN --size: only root can measure") || strings.Contains(r.Stderr, "rsbtbackup: ") {
				t.Errorf("list --size says %q", r.Stderr)
			}
			mustAsOwner(t, "prune", dest, "--keep-last=1", "-n")
			mustAsOwner(t, "pin", dest, made[0])
			mustAsOwner(t, "prune", dest, "--keep-last=1")
			wantNames(t, dest, made...) // the newest complete one, an incomplete one after it, and a pin
			mustAsOwner(t, "unpin", dest, made[0])
			mustAsOwner(t, "prune", dest, "--keep-last=1")
			wantNames(t, dest, made[1:]...)
			wantTidy(t, dest)
			mustAsOwner(t, "delete", dest, "latest", "--force") // has the locked directories
			wantNames(t, dest, made[1])
			wantTidy(t, dest)
			mustAsOwner(t, "delete", dest, "latest", "--force")
			wantNames(t, dest)
			wantTidy(t, dest)
		})
	}
}

// Emptying takes many steps; the next verb goes on where a kill has stopped it.
func TestAKilledOwnersDeletionIsFinishedByTheNextVerb(t *testing.T) {
	t.Parallel()
	src, dest := ownersDest(t)
	threeBackups(t, src, dest)
	testdest.Must(t, os.Chmod(src+"/no-search", 0o700))
	mustAsOwner(t, "delete", dest, "latest", "--force")
	for _, verb := range [][]string{{"prune", dest, "--keep-last=9"}, {"pin", dest, "latest~1"}, {"backup", src, dest}} {
		mustAsOwner(t, "unpin", dest, "latest")
		testdest.WantExit(t, asOwner(t, "backup", src, dest), 3)
		before := testdest.Names(t, dest)
		doomed := before[len(before)-1]
		kill := exec.Command("strace", "-qq", "-o", "/dev/null", "-e", "trace=unlinkat", "-e", "inject=unlinkat:signal=SIGKILL:when=50", testbin.Path(t), "delete", dest, doomed, "--force")
		testdest.WantExit(t, testbin.Finish(t, testbin.As(nobody, kill)), -1)
		if trashOf(t, dest, doomed) == "" {
			t.Fatalf("nothing is left of %s: killed too late", doomed)
		}
		wantNames(t, dest, before[:len(before)-1]...)
		r := asOwner(t, verb...)
		if verb[0] != "backup" {
			testdest.WantExit(t, r, 0)
		} else {
			testdest.WantExit(t, r, 3)
		}
		if verb[0] == "pin" { // repairs nothing: it does not take the lock
			continue
		}
		if !strings.Contains(r.Stderr, "finished the deletion of .deleting-"+doomed) {
			t.Errorf("%s does not say so:\n%s", verb[0], r.Stderr)
		}
		wantTidy(t, dest)
	}
}

// While a backup is emptied others may pin. Without the lock that shuts them out again nothing more is deleted.
func TestAnOwnersDeletionStopsWithoutTheLock(t *testing.T) {
	t.Parallel()
	src, dest := ownersDest(t)
	made := threeBackups(t, src, dest)
	again := "inject=flock:error=EIO:when=4" // after those to tidy up, to delete, and to let go
	cmd := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-P", filepath.Join(dest, ".log", "records"), "-e", "trace=flock", "-e", again, testbin.Path(t), "delete", dest, "--force", made[0], made[1])
	wantRefused(t, testbin.Finish(t, testbin.As(nobody, cmd)), 1, "flock")
	wantNames(t, dest, made[1:]...)
	mustAsOwner(t, "prune", dest, "--keep-last=9")
	wantTidy(t, dest)
}

// Killed before each system call of two kinds, the first, then the second and so on, until it is done: however slow the
// machine is, each run gets further.
func TestAnOwnersDeletionSurvivesEveryKill(t *testing.T) {
	t.Parallel()
	src, dest := ownersDest(t)
	made := threeBackups(t, src, dest)
	left := map[string]string{}
	for _, name := range made[1:] {
		left[name] = testdest.Digest(t, filepath.Join(dest, name))
	}
	kills := 0
	for nth := 1; testdest.Exists(filepath.Join(dest, made[0])) || trashOf(t, dest, made[0]) != ""; nth++ {
		for _, call := range []string{"unlinkat", "openat2"} {
			kill := exec.Command("strace", "-qq", "-o", "/dev/null", "-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", call, nth), testbin.Path(t), "delete", dest, made[0])
			if r := testbin.Finish(t, testbin.As(nobody, kill)); r.Exit == -1 {
				kills++
			}
		}
	}
	t.Logf("deleted with %d kills", kills)
	if kills < 10 {
		t.Errorf("deleted with %d kills, want 10", kills)
	}
	mustAsOwner(t, "prune", dest, "--keep-last=9")
	wantNames(t, dest, made[1:]...)
	for name, want := range left {
		if testdest.Digest(t, filepath.Join(dest, name)) != want {
			t.Errorf("%s has changed", name)
		}
	}
	wantTidy(t, dest)
}

// The owner of DEST may rename a backup there, but not empty that of another user: so the backup keeps its name, or a
// later run of root would finish its deletion.
func TestWhatAnOrdinaryUserMayNotDeleteStays(t *testing.T) {
	t.Parallel()
	for _, options := range [][]string{nil, {"user_subvol_rm_allowed"}} {
		t.Run(strings.Join(append(options, "mount"), " "), func(t *testing.T) {
			mnt := loopfs.NewFS(t, "512M", "btrfs", options...)
			dest := filepath.Join(mnt, "dest")
			testdest.Must(t, os.Mkdir(dest, 0o755))
			testdest.Must(t, os.Chown(dest, nobody, nobody))
			mustAsOwner(t, "init", dest)
			days := []string{"2026-01-01-00:00", "2026-01-02-00:00", "2026-01-03-00:00", "2026-01-04-00:00"}
			madeUp(t, dest, days...)
			mustAsOwner(t, "prune", dest, "--keep-last=9")
			makeWritable(t, filepath.Join(dest, days[0]))
			testdest.NewSubvolume(t, filepath.Join(dest, days[0], "nested"))
			setReadOnly(t, filepath.Join(dest, days[0]))
			makeWritable(t, filepath.Join(dest, days[1]))
			before := map[string]string{}
			for _, name := range days {
				before[name] = testdest.Digest(t, filepath.Join(dest, name))
			}
			for range 2 {
				r := asOwner(t, "prune", dest, "--keep-last=1")
				testdest.WantExit(t, r, 1)
				if !strings.Contains(r.Stderr, days[0]+": operation not permitted") || !strings.Contains(r.Stderr, "hint: sudo ") {
					t.Errorf("it says:\n%s", r.Stderr)
				}
				testdest.WantExit(t, asOwner(t, "delete", dest, "--force", "latest", days[1]), 1)
				wantNames(t, dest, days...)
				wantCur(t, dest, days[3])
				wantTidy(t, dest)
			}
			for _, name := range days {
				path := filepath.Join(dest, name)
				if readOnly(t, path) != (name != days[1]) || testdest.Digest(t, path) != before[name] {
					t.Errorf("%s has changed", name)
				}
			}
			give(t, nobody, dest)
			mustAsOwner(t, "prune", dest, "--keep-last=1")
			wantNames(t, dest, days[3])
			wantTidy(t, dest)
		})
	}
}

func readOnly(t testing.TB, path string) bool {
	t.Helper()
	f, err := btrfs.OpenDir(path)
	testdest.Must(t, err)
	defer f.Close()
	ro, err := btrfs.ReadOnly(f)
	testdest.Must(t, err)
	return ro
}
