//go:build integration

package prune

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// killed is a destination that is pruned again and again, and killed at it.
type killed struct {
	dest    string
	outside string            // a directory that nobody must touch
	digests map[string]string // of every backup that ever was
	n       int
}

func newKilled(t testing.TB) *killed {
	t.Helper()
	k := &killed{dest: testdest.New(t, "512M"), digests: map[string]string{}}
	k.outside = filepath.Join(filepath.Dir(k.dest), "outside")
	testdest.Write(t, k.outside+"/f", "outside")
	k.refill(t)
	return k
}

// refill makes eight more backups, one of them with subvolumes inside, most with records, and one pinned.
func (k *killed) refill(t testing.TB) {
	t.Helper()
	var made []string
	for i := range 8 {
		k.n++
		name := time.Date(2020, 1, 1, 0, k.n, 0, 0, time.UTC).Format("2006-01-02-15:04")
		madeUp(t, k.dest, name)
		if i != 1 {
			record(t, k.dest, name, rsbtbackup.Complete)
		}
		made = append(made, name)
	}
	old := filepath.Join(k.dest, made[2])
	makeWritable(t, old)
	testdest.NewSubvolume(t, old+"/nested")
	testdest.NewSubvolume(t, old+"/nested/deeper")
	testdest.Write(t, old+"/nested/deeper/f", "1")
	setReadOnly(t, old)
	for _, name := range made {
		k.digests[name] = testdest.Digest(t, filepath.Join(k.dest, name))
	}
	_ = os.Remove(filepath.Join(k.dest, "cur"))
	testdest.Must(t, os.Symlink(made[7], filepath.Join(k.dest, "cur")))
}

func (k *killed) args() []string { return []string{"prune", k.dest, "--keep-last=3", "--force"} }

// wantWholeOrGone is what must hold after a kill.
func (k *killed) wantWholeOrGone(t testing.TB, when string) {
	t.Helper()
	left := testdest.Names(t, k.dest)
	for _, name := range left {
		if testdest.Digest(t, filepath.Join(k.dest, name)) != k.digests[name] {
			t.Errorf("%s: %s is not whole", when, name)
		}
	}
	if len(left) < 3 {
		t.Errorf("%s: left: %q", when, left)
	}
	log := readFile(t, filepath.Join(k.dest, ".log", "activity.log"))
	for name := range k.digests {
		if !slices.Contains(left, name) && !strings.Contains(log, name) {
			t.Errorf("%s: %s is gone, and the log says nothing of it", when, name)
		}
	}
	cur, err := os.Readlink(filepath.Join(k.dest, "cur"))
	if err != nil || cur != left[len(left)-1] {
		t.Errorf("%s: cur: %q, %v; backups: %q", when, cur, err, left)
	}
	if got := readFile(t, k.outside+"/f"); got != "outside" {
		t.Errorf("%s: a file outside has changed: %q", when, got)
	}
}

// wantFinished: the next prune does the rest.
func (k *killed) wantFinished(t testing.TB, when string) {
	t.Helper()
	before := testdest.Names(t, k.dest)
	r := testbin.Run(t, k.args()...)
	if r.Exit != 0 {
		t.Fatalf("%s: the next prune: exit %d\n%s", when, r.Exit, r.Stderr)
	}
	wantNames(t, k.dest, before[len(before)-3:]...)
	k.wantWholeOrGone(t, when+", then the next prune")
	wantTidy(t, k.dest)
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	testdest.Must(t, err)
	return string(data)
}

// traced runs a prune that is killed before the nth system call of one kind of one of its threads, each of which strace
// counts alone: the records go in another thread than the backups.
func (k *killed) traced(t testing.TB, call string, nth int) (met bool) {
	t.Helper()
	args := append([]string{"-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", call, nth), testbin.Path(t)}, k.args()...)
	r := testbin.Finish(t, exec.Command("strace", args...))
	if r.Exit != -1 && r.Exit != 0 {
		t.Fatalf("%s %d: exit %d\n%s", call, nth, r.Exit, r.Stderr)
	}
	return r.Exit == -1
}

func TestAPruneKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	k := newKilled(t)
	points := 0
	for _, sweep := range []struct {
		call        string
		first, step int
	}{
		// The calls that change something, each of them.
		{"unlinkat", 1, 1}, {"renameat", 1, 1}, {"flock", 1, 1}, {"openat2", 1, 1}, {"fsync", 1, 1},
		// Some of the rest.
		{"ioctl", 1, 2}, {"openat", 9, 6}, {"write", 1, 1}, {"close", 3, 6}, {"newfstatat", 1, 3},
	} {
		for nth := sweep.first; ; nth += sweep.step {
			when := fmt.Sprintf("killed at %s %d", sweep.call, nth)
			if !k.traced(t, sweep.call, nth) {
				break
			}
			points++
			k.wantWholeOrGone(t, when)
			k.wantFinished(t, when)
			k.refill(t)
			if t.Failed() {
				return
			}
		}
	}
	t.Logf("killed at %d points", points)
	if points < 50 {
		t.Errorf("killed at %d points, want 50", points)
	}
}

// The points are system calls of several kinds. strace counts each kind separately, so a busy machine does not move
// them.
func TestAPruneKilledAllAlong(t *testing.T) {
	t.Parallel()
	k := newKilled(t)
	const want, most = 20, 60
	log := filepath.Join(t.TempDir(), "strace")
	testbin.Finish(t, exec.Command("strace", append([]string{"-qq", "-o", log, testbin.Path(t)}, k.args()...)...))
	calls, often := map[string]int{}, 0
	for line := range strings.Lines(readFile(t, log)) {
		call, _, _ := strings.Cut(line, "(")
		calls[call]++
		often = max(often, calls[call])
	}
	kills, tries := 0, 0
	for ; kills < want && tries < most; tries++ {
		k.refill(t)
		nth := max(1, often*(tries%want+1)/(want+1))
		// How many calls there are is not the same each time, so the last points may not be met.
		if k.traced(t, "all", nth) {
			kills++
		}
		when := fmt.Sprintf("killed at system call %d", nth)
		k.wantWholeOrGone(t, when)
		if tries%3 == 2 {
			k.wantFinished(t, when)
		}
	}
	k.wantFinished(t, "at last")
	t.Logf("%d of %d killed", kills, tries)
	if kills < want {
		t.Errorf("%d of %d killed, want %d", kills, tries, want)
	}
}

// What is stopped when cur has moved, and before anything is deleted, has changed nothing. A signal that is handled
// only after the deletion stops nothing.
func TestADeleteThatIsStoppedMovesCurBack(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	days := []string{"2026-01-01-00:00", "2026-01-02-00:00"}
	madeUp(t, dest, days...)
	for try := 1; ; try++ {
		testbin.Must(t, "prune", dest, "--keep-last=9")
		wantCur(t, dest, days[1])
		r := testbin.Finish(t, exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=symlinkat,renameat",
			"-e", "inject=symlinkat:signal=SIGTERM:when=1", "-e", "inject=renameat:delay_enter=100000", testbin.Path(t), "delete", "--force", dest, "latest"))
		if r.Exit != 0 || try == 20 {
			testdest.WantExit(t, r, 143)
			break
		}
		wantNames(t, dest, days[0])
		wantCur(t, dest, days[0])
		madeUp(t, dest, days[1])
	}
	wantNames(t, dest, days...)
	wantCur(t, dest, days[1])
}

// delete --force of the newest moves cur first.
func TestADeleteOfTheNewestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "256M")
	madeUp(t, dest, "2020-01-01-00:00")
	points := 0
	for _, call := range []string{"ioctl", "symlinkat", "renameat", "unlinkat", "fsync"} {
		for nth := 1; ; nth++ {
			madeUp(t, dest, "2020-01-02-00:00")
			testbin.Must(t, "prune", dest, "--keep-last=9")
			args := []string{"-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", call, nth), testbin.Path(t), "delete", dest, "latest", "--force"}
			r := testbin.Finish(t, exec.Command("strace", args...))
			if r.Exit == 0 {
				break
			}
			points++
			if got, err := os.Readlink(filepath.Join(dest, "cur")); err != nil || !testdest.Exists(filepath.Join(dest, got)) {
				t.Errorf("killed at %s %d: cur: %q, %v", call, nth, got, err)
			}
			testbin.Must(t, "prune", dest, "--keep-last=9")
			left := testdest.Names(t, dest)
			wantCur(t, dest, left[len(left)-1])
			wantTidy(t, dest)
			if len(left) == 2 {
				testbin.Must(t, "delete", dest, "latest", "--force")
			}
		}
	}
	wantNames(t, dest, "2020-01-01-00:00")
	if t.Logf("killed at %d points", points); points < 10 {
		t.Errorf("killed at %d points, want 10", points)
	}
}
