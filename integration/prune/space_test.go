//go:build integration

package prune

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

const megabyte = 1 << 20

// fat makes n backups; each has size bytes of its own, shared with the next one when shared is set.
func fat(t testing.TB, dest string, n, size int) []string {
	t.Helper()
	work := filepath.Join(filepath.Dir(dest), "work")
	testdest.NewSubvolume(t, work)
	var made []string
	for i := range n {
		random(t, filepath.Join(work, "changes"), size+i)
		random(t, filepath.Join(work, fmt.Sprintf("new%d", i%4)), megabyte)
		made = append(made, fmt.Sprintf("2026-01-%02d-00:00", i+1))
		testdest.Snapshot(t, work, filepath.Join(dest, made[i]), true)
	}
	testdest.Must(t, os.Remove(filepath.Join(work, "changes")))
	testdest.SyncAll(t, dest)
	return made
}

func TestMinFreeDeletesNoMoreThanItTakes(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "768M")
	made := fat(t, dest, 10, 30*megabyte)
	testbin.Must(t, "pin", dest, made[1])
	have := free(t, dest)
	want := have + 75*megabyte // three of 30 MiB
	planned := plan(t, "prune", dest, fmt.Sprintf("--min-free=%d", want))
	r := testbin.Must(t, "prune", dest, fmt.Sprintf("--min-free=%d", want))
	wantNames(t, dest, append([]string{made[1]}, made[4:]...)...)
	if got := free(t, dest); got < want || got > want+40*megabyte {
		t.Errorf("%d free, was %d, asked for %d", got, have, want)
	}
	for i, name := range made {
		if wantKeep := i == 1 || i >= 4; planned[name].Keep != wantKeep {
			t.Errorf("dry run: keep %s: %v", name, planned[name].Keep)
		}
	}
	if !strings.Contains(r.Stdout, made[3]+": space was needed") {
		t.Errorf("no reason:\n%s", r.Stdout)
	}
	// Enough is free: nothing goes.
	testbin.Must(t, "prune", dest, fmt.Sprintf("--min-free=%d", want))
	wantNames(t, dest, append([]string{made[1]}, made[4:]...)...)

	// Out of reach: nothing goes for that, with a dry run or without.
	for _, more := range [][]string{{"-n"}, {"--keep-min=4"}, nil} {
		r := testbin.Run(t, append([]string{"prune", dest, "--min-free=99%", "-q"}, more...)...)
		wantRefused(t, r, 14, "less than 99 %")
		wantNames(t, dest, append([]string{made[1]}, made[4:]...)...)
	}
	for name, d := range planOf(t, testbin.Run(t, "prune", dest, "--min-free=99%", "-n", "--json")) {
		if !d.Keep || slices.Contains(d.Reasons, "space suffices") {
			t.Errorf("dry run: %s: keep %v, %q", name, d.Keep, d.Reasons)
		}
	}
	wantCur(t, dest, made[9])
}

// What fills the disk may be no backup: the history is not spent on that. What the rules delete goes all the same.
func TestMinFreeOutOfReachSparesTheHistory(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "768M")
	made := fat(t, dest, 6, 20*megabyte)
	random(t, filepath.Join(filepath.Dir(dest), "foreign"), 300*megabyte)
	testdest.SyncAll(t, dest)
	goal := fmt.Sprintf("--min-free=%d", free(t, dest)+200*megabyte)
	wantRefused(t, testbin.Run(t, "prune", dest, goal, "--keep-last=5", "-q"), 14, "none is deleted for it")
	wantNames(t, dest, made[1:]...)
	wantCur(t, dest, made[5])
	// What a rule deletes counts before its space is back.
	goal = fmt.Sprintf("--min-free=%d", free(t, dest)+55*megabyte)
	testbin.Must(t, "prune", dest, goal, "--keep-last=3")
	wantNames(t, dest, made[4:]...)
	// To the brim.
	fill(t, filepath.Join(filepath.Dir(dest), "filler"), megabyte)
	fill(t, filepath.Join(filepath.Dir(dest), "filler2"), 4096)
	testdest.SyncAll(t, dest)
	have := free(t, dest)
	wantRefused(t, testbin.Run(t, "prune", dest, "--min-free=50%", "-q"), 14, "none is deleted for it")
	wantNames(t, dest, made[4:]...)
	testbin.Must(t, "prune", dest, fmt.Sprintf("--min-free=%d", have+15*megabyte))
	wantNames(t, dest, made[5])
}

// What an earlier run has deleted is waited for before more goes.
func TestMinFreeCountsSpaceThatIsBeingFreed(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "512M")
	made := fat(t, dest, 5, 30*megabyte)
	want := free(t, dest) + 20*megabyte
	testbin.Must(t, "delete", dest, made[0])
	testbin.Must(t, "prune", dest, fmt.Sprintf("--min-free=%d", want))
	wantNames(t, dest, made[1:]...)
}

// The space of a backup in which a file is open comes back when it is closed. More is not deleted in the place of that,
// neither now nor by the next run.
func TestMinFreeStopsAtWhatIsInUse(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "512M")
	made := fat(t, dest, 5, 30*megabyte)
	testbin.Must(t, "prune", dest, "--keep-last=9")
	f, err := os.Open(filepath.Join(dest, made[0], "changes"))
	testdest.Must(t, err)
	defer f.Close()
	goal := fmt.Sprintf("--min-free=%d", free(t, dest)+20*megabyte)
	r := testbin.Run(t, "prune", dest, goal)
	wantRefused(t, r, 14, made[0]+", which is deleted, is not free yet")
	if hint := "grep -F " + filepath.Join(dest, made[0]); !strings.Contains(r.Stderr, hint) {
		t.Errorf("no hint with %q:\n%s", hint, r.Stderr)
	}
	wantNames(t, dest, made[1:]...)
	r = testbin.Run(t, "prune", dest, goal)
	wantRefused(t, r, 14, made[0]+", which is deleted, is not free yet")
	wantNames(t, dest, made[1:]...)
	testdest.Must(t, f.Close())
	testbin.Must(t, "prune", dest, goal)
	wantNames(t, dest, made[1:]...)

	f, err = os.Open(filepath.Join(dest, made[1]))
	testdest.Must(t, err)
	defer f.Close()
	r = testbin.Must(t, "prune", dest, "--keep-last=3", "--wait")
	if !strings.Contains(r.Stderr, "backup="+made[1]) {
		t.Errorf("no word of what is in use:\n%s", r.Stderr)
	}
	wantNames(t, dest, made[2:]...)
}

// A file may be open forever in what another program has deleted.
func TestMinFreeDoesNotWaitForOthers(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "512M")
	made := fat(t, dest, 5, 30*megabyte)
	testbin.Must(t, "prune", dest, "--keep-last=9")
	other := filepath.Join(filepath.Dir(dest), "other")
	testdest.NewSubvolume(t, other)
	testdest.Write(t, other+"/f", "1")
	f, err := os.Open(other + "/f")
	testdest.Must(t, err)
	defer f.Close()
	testdest.Must(t, os.Remove(other+"/f"))
	testdest.Must(t, os.Remove(other))
	r := testbin.Must(t, "prune", dest, fmt.Sprintf("--min-free=%d", free(t, dest)+20*megabyte))
	wantNames(t, dest, made[1:]...)
	if n := strings.Count(r.Stderr, "of another program"); n != 1 {
		t.Errorf("%d words of it:\n%s", n, r.Stderr)
	}
}

func TestWaitReturnsWhenTheSpaceIsBack(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "768M")
	fat(t, dest, 10, 40*megabyte)
	before := free(t, dest)
	start := time.Now()
	r := testbin.Must(t, "prune", dest, "--keep-last=1", "--wait")
	took := time.Since(start)
	if got := free(t, dest); got < before+9*40*megabyte {
		t.Errorf("%d bytes came back, want %d", got-before, 9*40*megabyte)
	}
	if !strings.Contains(r.Stdout, "9 backups deleted, 1 kept, ") {
		t.Errorf("it said:\n%s", r.Stdout)
	}
	t.Logf("space back after %v", took)
}

// A second verb right after the first must not hang: starting a commit while another is written took up to 30 s for
// each. So none of them does.
func TestDeletionsInARowDoNotWait(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "512M")
	made := fat(t, dest, 8, 10*megabyte)
	trace := filepath.Join(t.TempDir(), "trace")
	for _, name := range made[:7] {
		testdest.Tool(t, "strace", "-f", "-qq", "-o", trace, "-e", "trace=ioctl,sync,syncfs", testbin.Path(t), "delete", dest, name)
		calls, err := os.ReadFile(trace)
		testdest.Must(t, err)
		if !strings.Contains(string(calls), "BTRFS_IOC_SNAP_DESTROY") {
			t.Fatalf("no deletion in what was traced:\n%s", calls)
		}
		if commit := regexp.MustCompile(`(?m)^.*( sync\(|syncfs\(|START_SYNC|WAIT_SYNC).*$`).Find(calls); commit != nil {
			t.Errorf("delete %s: %s", name, commit)
		}
	}
}

func TestDryRunReportsFreedSpace(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "768M")
	made := fat(t, dest, 8, 20*megabyte)
	// A snapshot of a backup, or a change of its flag, does not make it newer.
	makeWritable(t, filepath.Join(dest, made[2]))
	setReadOnly(t, filepath.Join(dest, made[2]))
	testdest.Snapshot(t, filepath.Join(dest, made[2]), filepath.Join(filepath.Dir(dest), "of-somebody"), false)
	testbin.Must(t, "pin", dest, made[2])
	var most uint64
	for _, d := range plan(t, "prune", dest, "--keep-last=1") {
		if d.Frees != nil {
			most += *d.Frees
		}
	}
	wantReach(t, dest, most)
	var sum uint64
	for name, d := range plan(t, "prune", dest, "--keep-last=2") {
		switch {
		case d.Keep != (d.Frees == nil):
			t.Errorf("%s: keep %v, frees %v", name, d.Keep, d.Frees)
		case d.Frees != nil:
			sum += *d.Frees
		}
	}
	table := testbin.Must(t, "prune", dest, "--keep-last=2", "-n")
	before := used(t, dest)
	testbin.Must(t, "prune", dest, "--keep-last=2", "--wait")
	freed := before - used(t, dest)
	t.Logf("said %d, freed %d\n%s", sum, freed, table.Stdout)
	if diff := max(sum, freed) - min(sum, freed); diff > freed/20 {
		t.Errorf("said %d, freed %d", sum, freed)
	}
}

// What an older backup shared with one that goes anyway comes free as soon as both go.
func TestTheDryRunCountsSpaceThatTwoShare(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "512M")
	work := filepath.Join(filepath.Dir(dest), "work")
	testdest.NewSubvolume(t, work)
	days := []string{"2026-01-15-00:00", "2026-02-01-00:00", "2026-02-02-00:00"}
	random(t, work+"/shared", 60*megabyte)
	testdest.Snapshot(t, work, filepath.Join(dest, days[0]), true)
	testdest.Write(t, work+"/f", "1")
	testdest.Snapshot(t, work, filepath.Join(dest, days[1]), true)
	testdest.Must(t, os.Remove(work+"/shared"))
	testdest.Snapshot(t, work, filepath.Join(dest, days[2]), true)
	testdest.SyncAll(t, dest)
	args := []string{"prune", dest, "--keep-monthly=unlimited", fmt.Sprintf("--min-free=%d", free(t, dest)+40*megabyte)}
	planned := plan(t, args...)
	if planned[days[0]].Keep || planned[days[1]].Keep || *planned[days[0]].Frees > megabyte || *planned[days[1]].Frees < 60*megabyte {
		t.Errorf("planned: %v", planned)
	}
	testbin.Must(t, args...)
	wantNames(t, dest, days[2])
}

// Somebody changed a kept backup after newer ones were made. What only the newer ones have is still freed with them.
func TestAChangeInAnOldBackupHidesNothing(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "512M")
	made := fat(t, dest, 4, 20*megabyte)
	testbin.Must(t, "pin", dest, made[0])
	old := filepath.Join(dest, made[0])
	makeWritable(t, old)
	testdest.Write(t, old+"/later", "touched")
	// What it took from a newer one stays with it.
	if out, err := exec.Command("cp", "--reflink=always", filepath.Join(dest, made[2], "changes"), old+"/taken").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	setReadOnly(t, old)
	testdest.SyncAll(t, dest)
	planned := plan(t, "prune", dest, "--keep-last=1")
	if got := *planned[made[1]].Frees; got < 20*megabyte || got > 22*megabyte {
		t.Errorf("%s frees %d, want 20 MiB", made[1], got)
	}
	if got := *planned[made[2]].Frees; got > 2*megabyte {
		t.Errorf("%s frees %d, want next to nothing: most of it is also in %s", made[2], got, made[0])
	}
	wantReach(t, dest, *planned[made[1]].Frees+*planned[made[2]].Frees)
	testbin.Must(t, "prune", dest, fmt.Sprintf("--min-free=%d", free(t, dest)+15*megabyte))
	wantNames(t, dest, made[0], made[2], made[3])
	sizes := testbin.Must(t, "list", dest, "--size", "--json")
	if !strings.Contains(sizes.Stdout, `"exclusive_bytes"`) {
		t.Errorf("no sizes:\n%s", sizes.Stdout)
	}
	wantRefused(t, testbin.Run(t, "prune", dest, fmt.Sprintf("--min-free=%d", free(t, dest)+30*megabyte), "-q"), 14, "none is deleted for it")
	wantNames(t, dest, made[0], made[2], made[3])
}

// wantReach: what is in reach is what can be freed, to the byte, although it is measured in another way.
func wantReach(t testing.TB, dest string, frees uint64) {
	t.Helper()
	goal := free(t, dest) + frees
	testbin.Must(t, "prune", dest, "-n", fmt.Sprintf("--min-free=%d", goal))
	wantRefused(t, testbin.Run(t, "prune", dest, "-n", fmt.Sprintf("--min-free=%d", goal+1)), 14, "none is deleted for it")
}

func used(t testing.TB, dir string) uint64 {
	t.Helper()
	testdest.SyncAll(t, dir)
	var st unix.Statfs_t
	testdest.Must(t, unix.Statfs(dir, &st))
	return (st.Blocks - st.Bfree) * uint64(st.Bsize)
}

// fill writes files of a size until the disk has no room for another.
func fill(t testing.TB, dir string, size int) {
	t.Helper()
	testdest.Must(t, os.MkdirAll(dir, 0o755))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	for i := 0; ; i++ {
		err := os.WriteFile(fmt.Sprintf("%s/%06d", dir, i), data, 0o600)
		if errors.Is(err, unix.ENOSPC) {
			return
		}
		testdest.Must(t, err)
	}
}

func TestAFullDiskCanBePruned(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		fill func(t testing.TB, dir string)
	}{
		{"data", func(t testing.TB, dir string) { fill(t, dir, megabyte); fill(t, dir+"2", 4096) }},
		{"data and metadata", func(t testing.TB, dir string) {
			fill(t, dir, megabyte)
			fill(t, dir+"2", 4096)
			fill(t, dir+"3", 1900)
			fill(t, dir+"4", 300)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dest := testdest.New(t, "160M")
			made := fat(t, dest, 4, 5*megabyte)
			testbin.Must(t, "prune", dest, "--keep-last=9")
			testdest.Must(t, os.RemoveAll(filepath.Join(dest, ".log", "records")))
			testdest.Must(t, os.Remove(filepath.Join(dest, "cur")))
			testdest.Must(t, os.Symlink(made[0], filepath.Join(dest, "cur")))
			tt.fill(t, filepath.Join(filepath.Dir(dest), "filler"))
			testbin.Must(t, "list", dest)
			for _, args := range [][]string{{"delete", dest, made[0]}, {"prune", dest, "--keep-last=1", "--wait"}} {
				r := testbin.Run(t, args...)
				t.Log(r.Stdout, r.Stderr)
				// A symlink takes room for metadata, which deleted data is not.
				if r.Exit != 0 && (r.Exit != 14 || !strings.Contains(r.Stderr, "repair: symlink")) {
					t.Errorf("%q: exit %d", args, r.Exit)
				}
			}
			wantNames(t, dest, made[3])
			for _, filler := range []string{"filler", "filler2", "filler3", "filler4"} {
				testdest.Must(t, os.RemoveAll(filepath.Join(filepath.Dir(dest), filler)))
			}
			testdest.SyncAll(t, dest)
			testbin.Must(t, "prune", dest, "--keep-last=1", "--wait")
			wantNames(t, dest, made[3])
			wantCur(t, dest, made[3])
		})
	}
}

// As an ordinary user a deletion writes metadata: it empties.
func TestAFullDiskCanBePrunedByItsOwner(t *testing.T) {
	t.Parallel()
	mnt := loopfs.New(t, "256M")
	dest := filepath.Join(mnt, "dest")
	testdest.Must(t, os.Mkdir(dest, 0o755))
	testbin.Must(t, "init", dest)
	made := fat(t, dest, 4, 5*megabyte)
	give(t, nobody, dest)
	fill(t, mnt+"/filler", megabyte)
	fill(t, mnt+"/filler2", 1900)
	mustAsOwner(t, "delete", dest, made[0])
	mustAsOwner(t, "prune", dest, "--keep-last=1", "--wait")
	wantNames(t, dest, made[3])
	wantTidy(t, dest)
}

// Only root can measure: what is in reach is found out by doing it.
func TestMinFreeAsAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	mnt := loopfs.New(t, "512M")
	dest := filepath.Join(mnt, "dest")
	testdest.Must(t, os.Mkdir(dest, 0o755))
	testbin.Must(t, "init", dest)
	made := fat(t, dest, 5, 20*megabyte)
	give(t, nobody, dest)
	testdest.SyncAll(t, dest)
	goal := fmt.Sprintf("--min-free=%d", free(t, dest)+15*megabyte)
	mustAsOwner(t, "prune", dest, goal, "-n")
	wantNames(t, dest, made...)
	mustAsOwner(t, "prune", dest, goal)
	wantNames(t, dest, made[1:]...)
	wantTidy(t, dest)
	mustAsOwner(t, "pin", dest, made[1])
	wantRefused(t, asOwner(t, "prune", dest, "--min-free=99%", "--keep-min=3", "-q"), 14, "although all backups are deleted that may be deleted")
	wantNames(t, dest, made[1], made[3], made[4])
	wantCur(t, dest, made[4])
	wantTidy(t, dest)
}
