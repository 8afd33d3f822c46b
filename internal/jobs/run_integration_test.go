//go:build integration

package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"golang.org/x/sys/unix"
)

// night is a disk with a DEST for each job, and sources beside it.
type night struct {
	t     *testing.T
	disk  string
	src   string
	state string
	watch watch
}

func newNight(t *testing.T) *night {
	n := &night{t: t, disk: loopfs.New(t, "1G"), src: t.TempDir(), state: t.TempDir()}
	n.write("source/f", "hello", 0o644)
	return n
}

// TestARemovableDiskThatIsThere: a directory that is missing on its disk, or not initialised, is a failure of the job,
// and no disk that is absent.
func TestARemovableDiskThatIsThere(t *testing.T) {
	n := newNight(t)
	good, missing, empty, away := n.job("good"), job("missing"), job("empty"), job("away")
	empty.Backup.Dest, missing.Backup.Dest, away.Backup.Dest = filepath.Join(n.disk, "empty"), filepath.Join(n.disk, "not/there"), "/nowhere/usb"
	if err := os.Mkdir(empty.Backup.Dest, 0o700); err != nil {
		t.Fatal(err)
	}
	jobs := []config.Job{missing, empty, away}
	for i := range jobs {
		jobs[i].Backup.Source, jobs[i].Removable = good.Backup.Source, true
		good.Copies = append(good.Copies, config.Copy{Name: jobs[i].Name, Target: jobs[i].Backup.Dest, Removable: true})
	}
	results := n.run(t.Context(), Options{}, jobs...)
	want(t, results[0], Failed, "no such file or directory")
	want(t, results[1], Failed, "is not initialised")
	want(t, results[2], Skipped, "its removable disk is absent")
	for i, s := range Stand(t.Context(), jobs, n.state, time.Now()) {
		if health := []Health{NoDest, NoDest, Absent}[i]; s.Health != health {
			t.Errorf("%s: %s, want %s", s.Job, s.Health, health)
		}
	}
	result := n.run(t.Context(), Options{}, good)[0]
	for step, status := range map[Step]Status{"copy.missing": Failed, "copy.empty": Failed, "copy.away": Skipped} {
		if v, ok := result.Find(step); !ok || v.Status != status {
			t.Errorf("%s: %s, want %s: %s%s", step, v.Status, status, v.Error, v.Reason)
		}
	}
	for i, s := range Stand(t.Context(), []config.Job{good}, n.state, time.Now())[0].Copies {
		if s.Absent != (i == 2) {
			t.Errorf("%+v", s)
		}
	}
}

func (n *night) write(name, text string, mode os.FileMode) string {
	n.t.Helper()
	name = filepath.Join(n.src, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), mode)); err != nil {
		n.t.Fatal(err)
	}
	return name
}

// job is one with a DEST that is prepared.
func (n *night) job(name string) config.Job {
	n.t.Helper()
	j := job(name)
	j.Backup.Source, j.Backup.Dest = filepath.Join(n.src, "source"), filepath.Join(n.disk, name)
	if err := os.Mkdir(j.Backup.Dest, 0o700); err != nil {
		n.t.Fatal(err)
	}
	if _, err := rsbtbackup.Init(n.t.Context(), j.Backup.Dest, rsbtbackup.InitOptions{}); err != nil {
		n.t.Fatal(err)
	}
	return j
}

// remote makes the source of a job a remote one, with a shell script instead of ssh.
func (n *night) remote(j config.Job, host, script string) config.Job {
	n.t.Helper()
	j.Backup.Source = host + ":" + j.Backup.Source
	j.Backup.Rsh = n.write(j.Name+".sh", "#!/bin/sh\n"+script+"\nshift\nexec \"$@\"\n", 0o755)
	return j
}

func (n *night) run(ctx context.Context, o Options, jobs ...config.Job) []Result {
	o.StateDir, o.Watcher = n.state, &n.watch
	if o.Now == nil {
		o.Now = time.Now
	}
	o.ExitCode = func(err error) int {
		if err == nil {
			return 0
		}
		return 1
	}
	return Run(ctx, jobs, o)
}

// watch notes in which order backups begin and jobs end.
type watch struct {
	mu           sync.Mutex
	began, ended []string
	panics       string
}

func (w *watch) Begins(j config.Job, s Step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s == Backup {
		w.began = append(w.began, j.Name)
	}
	if j.Name == w.panics {
		panic("on purpose")
	}
}

func (w *watch) Ends(v Verdict) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = append(w.ended, v.Job)
}

func (*watch) Starts(config.Job)                              {}
func (*watch) Done(Result)                                    {}
func (*watch) Log(config.Job) *slog.Logger                    { return slog.New(slog.DiscardHandler) }
func (*watch) Transfers(config.Job, rsbtbackup.Progress)      {}
func (*watch) Verifies(config.Job, rsbtbackup.VerifyProgress) {}
func (*watch) Copies(config.Job, rsbtbackup.CopyProgress)     {}

func (n *night) backups(j config.Job) int {
	n.t.Helper()
	l, err := rsbtbackup.List(n.t.Context(), j.Backup.Dest)
	if err != nil {
		n.t.Fatal(err)
	}
	return len(l.Backups)
}

func want(t *testing.T, r Result, status Status, text string) {
	t.Helper()
	v, ok := r.Find(Backup)
	if !ok || r.Status() != status || !strings.Contains(v.Error+v.Reason, text) {
		t.Errorf("%s: %s, want %s with %q: %+v", r.Job.Name, r.Status(), status, text, r.Verdicts)
	}
}

// A source that is out of reach twice, and then there, costs the others nothing: not even where one job may run at
// once. No time passes before the good one has ended: nothing that has failed is due again, however long it takes. And
// the time that one is tried again for is over when it has been tried three times.
func TestUnreachableIsTriedAgainWhileOthersGoOn(t *testing.T) {
	n := newNight(t)
	count := filepath.Join(n.src, "count")
	down := n.remote(n.job("down"), "web", fmt.Sprintf("echo x >>%s; [ $(wc -l <%[1]s) -gt 2 ] || { echo refused >&2; exit 255; }", count))
	down.RetryFor, down.RetryDelay = 4*time.Hour, 300*time.Millisecond
	tried := filepath.Join(n.src, "tried")
	dead := n.remote(n.job("dead"), "db", fmt.Sprintf("echo x >>%s; echo refused >&2; exit 255", tried))
	dead.RetryFor, dead.RetryDelay = time.Hour, 100*time.Millisecond
	start := time.Now()
	clock := func() time.Time {
		n.watch.mu.Lock()
		defer n.watch.mu.Unlock()
		if !slices.Contains(n.watch.ended, "good") {
			return start
		}
		now := time.Now()
		if lines, _ := os.ReadFile(tried); strings.Count(string(lines), "x") >= 3 {
			now = now.Add(2 * time.Hour)
		}
		return now
	}
	never := n.remote(n.job("never"), "db", "echo refused >&2; exit 255")
	good := n.job("good")
	results := n.run(t.Context(), Options{Jobs: 1, Now: clock}, down, dead, never, good)
	want(t, results[0], OK, "")
	want(t, results[1], Failed, "refused")
	want(t, results[2], Failed, "refused")
	want(t, results[3], OK, "")
	if results[0].Tries != 3 || results[1].Tries != 3 || results[2].Tries != 1 {
		t.Errorf("tries: %d, %d, %d", results[0].Tries, results[1].Tries, results[2].Tries)
	}
	if last := n.watch.ended[len(n.watch.ended)-1]; last == "good" {
		t.Errorf("the good one waited: %v", n.watch.ended)
	}
	if n.backups(down) != 1 || n.backups(dead) != 0 || n.backups(good) != 1 {
		t.Error("backups are missing")
	}
}

func TestLongestFirst(t *testing.T) {
	n := newNight(t)
	short, long, unknown := n.job("short"), n.job("long"), n.job("unknown")
	for j, length := range map[string]time.Duration{"short": time.Minute, "long": time.Hour} {
		if err := writeState(n.state, State{Version: 1, Job: j, Length: length}); err != nil {
			t.Fatal(err)
		}
	}
	n.run(t.Context(), Options{Jobs: 1}, short, long, unknown)
	if got := strings.Join(n.watch.began, " "); got != "unknown long short" {
		t.Errorf("order: %s", got)
	}
}

// Two names of one DEST: the jobs run one after the other, and none finds it locked.
func TestTwoNamesOfOneDest(t *testing.T) {
	n := newNight(t)
	a := n.job("a")
	b := a
	b.Name, b.Backup.Dest = "b", filepath.Join(n.disk, "link")
	if err := os.Symlink("a", b.Backup.Dest); err != nil {
		t.Fatal(err)
	}
	results := n.run(t.Context(), Options{}, a, b)
	want(t, results[0], OK, "")
	want(t, results[1], OK, "")
	if n.backups(a) != 2 {
		t.Errorf("%d backups", n.backups(a))
	}
}

func TestPriorities(t *testing.T) {
	n := newNight(t)
	seen := filepath.Join(n.src, "seen")
	plain, low := n.job("plain"), n.job("low")
	wrapper := n.write("rsync", "#!/bin/sh\ncase $* in *--version*) ;; *) echo $(nice) $(ionice) >>"+seen+" ;; esac\nexec rsync \"$@\"\n", 0o755)
	plain.Backup.RsyncProgram, low.Backup.RsyncProgram = wrapper, wrapper
	low.Nice, low.Ionice = 7, "best-effort:6"
	idle := n.job("idle")
	idle.Backup.RsyncProgram, idle.Ionice = wrapper, "idle"
	for _, r := range n.run(t.Context(), Options{Jobs: 1}, low, plain, idle) {
		want(t, r, OK, "")
	}
	own, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	own = 20 - own // as the system call returns it
	want := fmt.Sprintf("7 best-effort: prio 6\n%d none: prio 0\n%[1]d idle\n", own)
	if got, err := os.ReadFile(seen); err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

func TestStoppedInTheMiddle(t *testing.T) {
	n := newNight(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("got SIGTERM")
	slow := n.remote(n.job("slow"), "web", "touch "+n.src+"/began; exec sleep 30")
	waits := n.job("waits")
	down := n.remote(n.job("down"), "db", "exit 255")
	down.RetryFor, down.RetryDelay = time.Hour, time.Hour
	go func() {
		for {
			if _, err := os.Stat(n.src + "/began"); err == nil {
				cancel(reason)
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	start := time.Now()
	results := n.run(ctx, Options{Jobs: 1}, down, slow, waits)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	want(t, results[0], Stopped, "not tried again: got SIGTERM")
	want(t, results[1], Stopped, "got SIGTERM")
	want(t, results[2], Stopped, "it could not begin: got SIGTERM")
	if s, err := ReadState(n.state, "slow"); err != nil || len(s.Steps) > 0 {
		t.Errorf("what was stopped is remembered: %+v, %v", s, err)
	}
}

func TestTimeLimitAndPanicAreOfOneJob(t *testing.T) {
	n := newNight(t)
	slow := n.remote(n.job("slow"), "web", "exec sleep 30")
	slow.TimeLimit = 500 * time.Millisecond
	bug, good := n.job("bug"), n.job("good")
	n.watch.panics = "bug"
	results := n.run(t.Context(), Options{Jobs: 1}, slow, bug, good)
	want(t, results[0], Failed, "longer than its time-limit of 500ms")
	want(t, results[1], Failed, "panic: on purpose")
	want(t, results[2], OK, "")
}

func TestDiskOf(t *testing.T) {
	n := newNight(t)
	a, b := n.job("a"), n.job("b")
	if diskOf(a.Backup.Dest) == "" || diskOf(a.Backup.Dest) != diskOf(b.Backup.Dest+"/.log") || diskOf(a.Backup.Dest) == diskOf("/proc") {
		t.Errorf("%q, %q, %q", diskOf(a.Backup.Dest), diskOf(b.Backup.Dest+"/.log"), diskOf("/proc"))
	}
	if diskOf("/nowhere") != "" {
		t.Error("a disk for nothing")
	}
}
