//go:build integration

// Package jobs runs whole nights with the command: many jobs over ssh, with failures, signals and kills.
package jobs

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
)

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }

// fate is what happens to a job, and its exit code.
type fate struct {
	name string
	step string
	exit int
	says string // in the error
	keys string // of the config
}

var (
	healthy  = fate{"healthy", "backup", 0, "", ""}
	hostDown = fate{"host down", "backup", 12, "onnection refused", ""}
	vanished = fate{"source vanished", "backup", 12, "No such file or directory", ""}
	diskFull = fate{"disk full", "backup", 14, "no space left", ""}
	locked   = fate{"DEST locked", "backup", 11, "locked by", ""}
	noDest   = fate{"not initialised", "backup", 10, "not initialised", ""}
	hookBad  = fate{"hook fails", "hooks.before", 15, "exit status 7: no database", "hooks.before = ['/bin/sh', '-c', 'echo no database; exit 7']\n"}
	hookHang = fate{"hook hangs", "hooks.before", 15, "took longer than 300ms", "hooks.before = ['/bin/sh', '-c', 'sleep 1000; true']\nhooks.timeout = '300ms'\n"}
	checkBad = fate{"check fails", "check", 1, "less than 50 TB", "check.every = 'always'\ncheck.min-free = '50T'\n"}
)

// backsUp reports a job whose backup is made.
func (f fate) backsUp() bool { return f == healthy || f == checkBad }

// night is a config of many jobs over three sshds, with the fate of each.
type night struct {
	t      testing.TB
	dir    string
	config string
	fates  map[string]fate
	dests  map[string]string
	pings  *pings
}

// pings is a server that notes of each job what it was last told.
type pings struct {
	mu   sync.Mutex
	last map[string]ping
}

type ping struct{ event, body string }

func (p *pings) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what is missing is missed by the test
	job, event, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[job] = ping{event, string(body)}
}

// forget drops the recorded pings before the next run.
func (p *pings) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.last)
}

func (p *pings) of(job string) (ping, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, ok := p.last[job]
	return last, ok
}

// newNight draws the fates of n jobs, at least some of each.
func newNight(t testing.TB, n int, seed uint64) *night {
	t.Helper()
	w := &night{t: t, dir: t.TempDir(), fates: map[string]fate{}, dests: map[string]string{}, pings: &pings{last: map[string]ping{}}}
	server := httptest.NewServer(w.pings)
	t.Cleanup(server.Close)
	w.must(os.Mkdir(w.dir+"/metrics", 0o755))
	good, full := loopfs.New(t, "2G"), loopfs.New(t, "256M")
	hosts := []testserver.SSH{testserver.StartSSH(t), testserver.StartSSH(t), testserver.StartSSH(t)}
	draw := rand.New(rand.NewPCG(seed, 1))
	all := []fate{healthy, hostDown, vanished, diskFull, locked, noDest, hookBad, hookHang, checkBad}
	var text strings.Builder
	fmt.Fprintf(&text, "[run]\njobs = 6\nstate = %q\n[metrics]\ntextfile = %q\n[defaults]\nkeep-last = 5\n", w.dir+"/state", w.dir+"/metrics/r.prom")
	for i := range n {
		name, f := fmt.Sprintf("j%02d", i), healthy
		switch {
		case i < len(all):
			f = all[i]
		case draw.IntN(2) == 0:
			f = all[draw.IntN(len(all))]
		}
		host := hosts[draw.IntN(len(hosts))]
		source, dest, shell := w.source(name), filepath.Join(good, name), host.Shell
		switch f {
		case vanished:
			source += "-gone"
		case diskFull:
			dest = filepath.Join(full, name)
		case hostDown:
			shell = host.With("user", testserver.FreePort(t))
		}
		w.makeDest(dest, f)
		w.fates[name], w.dests[name] = f, dest
		fmt.Fprintf(&text, "[job.%s]\nsource = 'root@127.0.0.1:%s'\ndest = %q\nrsh = %q\nping.url = '%s/%s'\n%s", name, source, dest, shell, server.URL, name, f.keys)
	}
	w.fill(full)
	w.config = filepath.Join(w.dir, "rsbtbackup.toml")
	w.must(os.WriteFile(w.config, []byte(text.String()), 0o600))
	return w
}

func (w *night) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *night) source(name string) string {
	w.t.Helper()
	dir := filepath.Join(w.dir, "src", name)
	w.must(errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(dir+"/text", []byte("of "+name), 0o644), os.WriteFile(dir+"/data", bytes.Repeat([]byte(name), 100_000), 0o644)))
	return dir
}

func (w *night) makeDest(dest string, f fate) {
	w.t.Helper()
	w.must(os.Mkdir(dest, 0o700))
	if f == noDest {
		return
	}
	_, err := rsbtbackup.Init(w.t.Context(), dest, rsbtbackup.InitOptions{})
	w.must(err)
	if f != locked {
		return
	}
	fd, err := os.Open(dest)
	w.must(err)
	w.must(unix.Flock(int(fd.Fd()), unix.LOCK_EX))
	w.t.Cleanup(func() { fd.Close() })
}

// fill leaves no room on a disk.
func (w *night) fill(disk string) {
	w.t.Helper()
	f, err := os.Create(filepath.Join(disk, "filler"))
	w.must(err)
	defer f.Close()
	noise := make([]byte, 1<<16)
	r := rand.NewChaCha8([32]byte{})
	for {
		_, _ = r.Read(noise)
		if _, err = f.Write(noise); err != nil {
			break
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		w.t.Fatalf("fill %s: %v", disk, err)
	}
	if err := f.Sync(); err != nil && !errors.Is(err, unix.ENOSPC) {
		w.t.Fatal(err)
	}
}

// outcome is what run says of a job.
type outcome struct {
	Status string
	Exit   int
	Error  string
}

// run runs all jobs and returns what it says of each, and its exit code.
func (w *night) run() (map[string]outcome, int) {
	w.t.Helper()
	w.pings.forget()
	r := testbin.Run(w.t, "run", "--all", "--json", "--config", w.config)
	said := map[string]outcome{}
	for lines := bufio.NewScanner(strings.NewReader(r.Stdout)); lines.Scan(); {
		var o struct {
			Type, Job, Step, Status, Error string
			Exit                           int
		}
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			w.t.Fatalf("%v in %s", err, lines.Text())
		}
		if o.Type == "step" && o.Step == w.fates[o.Job].step {
			said[o.Job] = outcome{o.Status, o.Exit, o.Error}
		}
	}
	for job, o := range said {
		if f := w.fates[job]; f.exit != 0 && !strings.Contains(r.Stderr, "rsbtbackup: "+job+": "+f.step+": ") {
			w.t.Errorf("stderr does not say why %s (%s) failed: %+v", job, f.name, o)
		} else if f.exit == 12 && strings.Contains(r.Stderr, "job="+job+" says=") {
			w.t.Errorf("why %s failed is told twice:\n%s", job, r.Stderr)
		}
	}
	return said, r.Exit
}

// check compares the messages with the expected ones, and checks each backup.
func (w *night) check(said map[string]outcome, atLeast int) {
	w.t.Helper()
	figures := w.figures()
	for job, f := range w.fates {
		w.told(job, f, figures)
		o, ok := said[job]
		if !ok || o.Exit != f.exit || !strings.Contains(strings.ToLower(o.Error), strings.ToLower(f.says)) || (f == healthy) != (o.Status == "ok") {
			w.t.Errorf("%s (%s): %+v", job, f.name, o)
		}
		if !f.backsUp() {
			continue
		}
		l, err := rsbtbackup.List(w.t.Context(), w.dests[job])
		if err != nil || len(l.Backups) < atLeast || l.Backups[len(l.Backups)-1].Status != rsbtbackup.Complete {
			w.t.Errorf("%s: %v, %+v", job, err, l)
		}
		if got, err := os.ReadFile(filepath.Join(w.dests[job], "cur", "text")); err != nil || string(got) != "of "+job {
			w.t.Errorf("%s: %q, %v", job, got, err)
		}
	}
}

// figures are those in the file for Prometheus, by name and labels.
func (w *night) figures() map[string]string {
	w.t.Helper()
	text, err := os.ReadFile(w.dir + "/metrics/r.prom")
	w.must(err)
	all := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if labels, value, ok := strings.Cut(strings.TrimSpace(line), "} "); ok {
			all[labels+"}"] = value
		}
	}
	return all
}

// told checks what Prometheus and the ping of a job say about it.
func (w *night) told(job string, f fate, figures map[string]string) {
	w.t.Helper()
	failing, event := "1", "fail"
	if f == healthy {
		failing, event = "0", ""
	}
	newest := figures[`rsbtbackup_newest_backup_timestamp_seconds{job="`+job+`"}`]
	if got := figures[fmt.Sprintf("rsbtbackup_step_exit_code{job=%q,step=%q}", job, f.step)]; got != fmt.Sprint(f.exit) ||
		figures[`rsbtbackup_failing{job="`+job+`"}`] != failing || f.backsUp() == (newest == "0") {
		w.t.Errorf("figures of %s (%s): exit %q, failing %q, newest %q", job, f.name, got, figures[`rsbtbackup_failing{job="`+job+`"}`], newest)
	}
	p, ok := w.pings.of(job)
	if !ok || p.event != event || !strings.Contains(strings.ToLower(p.body), strings.ToLower(f.says)) || f != healthy && !strings.Contains(p.body, ": "+f.step+": ") {
		w.t.Errorf("ping of %s (%s): %+v", job, f.name, p)
	}
}

// 50 jobs over three sshds: every healthy job has its backup, every other one its reason, and no failure is another
// job's: in the table, on stderr, in the figures for Prometheus and in the pings. The same after a run that was killed
// in the middle.
func TestNightOfFailures(t *testing.T) {
	const seed = 20261128
	w := newNight(t, 50, seed)
	said, exit := w.run()
	w.check(said, 1)
	if exit != 1 {
		t.Errorf("exit %d, want that of the most severe, 1", exit)
	}
	w.status()

	kill := exec.Command(testbin.Path(t), "run", "--all", "--json", "--config", w.config)
	kill.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := kill.StdoutPipe()
	w.must(err)
	w.must(kill.Start())
	for lines, ended := bufio.NewScanner(out), 0; ended < 12 && lines.Scan(); {
		if strings.Contains(lines.Text(), `"type":"step"`) {
			ended++
		}
	}
	w.must(kill.Process.Kill())
	_ = kill.Wait() // killed, as it should be
	w.unlocked()

	said, exit = w.run()
	w.check(said, 2)
	if exit != 1 {
		t.Errorf("after the kill: exit %d, want 1", exit)
	}
}

// unlocked waits for the rsyncs of a killed run: each keeps the lock of its DEST until it ends.
func (w *night) unlocked() {
	w.t.Helper()
	deadline := time.Now().Add(10 * time.Minute)
	for job, dest := range w.dests {
		if w.fates[job] == locked {
			continue
		}
		dir, err := os.Open(dest)
		w.must(err)
		for unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			if time.Now().After(deadline) {
				w.t.Fatalf("%s is still locked", dest)
			}
			time.Sleep(20 * time.Millisecond)
		}
		w.must(dir.Close())
	}
}

// status says the same of each job as the run did.
func (w *night) status() {
	w.t.Helper()
	r := testbin.Must(w.t, "status", "--json", "--config", w.config)
	n := 0
	for lines := bufio.NewScanner(strings.NewReader(r.Stdout)); lines.Scan(); n++ {
		var s struct {
			Job, Health string
			LastFailure *struct{ Exit int } `json:"last_failure"`
		}
		w.must(json.Unmarshal(lines.Bytes(), &s))
		f := w.fates[s.Job]
		want := map[bool]string{true: "ok", false: "failing"}[f == healthy]
		if f == noDest {
			want = "no dest"
		}
		if s.Health != want || f != healthy && (s.LastFailure == nil || s.LastFailure.Exit != f.exit) {
			w.t.Errorf("status of %s (%s): %s", s.Job, f.name, lines.Text())
		}
	}
	if n != len(w.fates) {
		w.t.Errorf("status of %d jobs", n)
	}
}

// Two runs at once: each DEST is written to by one of them at a time, and what the other finds locked it says. The
// figures are those of both.
func TestTwoRunsAtOnce(t *testing.T) {
	w := newNight(t, 14, 1)
	runs := make(chan testbin.Result, 2)
	for range 2 {
		go func() { runs <- testbin.Run(t, "run", "--all", "--config", w.config) }()
	}
	// The job whose check fails is one of them, whose DEST one run may find locked by the other.
	if a, b := <-runs, <-runs; min(a.Exit, b.Exit) != 1 {
		t.Errorf("exit %d and %d\n%s%s\n%s%s", a.Exit, b.Exit, a.Stdout, a.Stderr, b.Stdout, b.Stderr)
	}
	figures := w.figures()
	for job, f := range w.fates {
		l, err := rsbtbackup.List(t.Context(), w.dests[job])
		if f == healthy && (err != nil || len(l.Backups) == 0 || l.Pending) {
			t.Errorf("%s: %v, %+v", job, err, l)
		}
		p, _ := w.pings.of(job)
		switch {
		case strings.Contains(p.body, "locked by"): // the other run was at it, and has told of it before
		case !f.backsUp():
			w.told(job, f, figures)
		case p.event != "" && !strings.Contains(p.body, f.says):
			t.Errorf("ping of %s (%s): %+v", job, f.name, p)
		}
	}
}

// SIGTERM ends everything within ten seconds; what was begun is resumed by the next run.
func TestSigtermEndsAllJobs(t *testing.T) {
	dir, disk := t.TempDir(), loopfs.New(t, "1G")
	// As ssh does, it ends with the rsync that has started it.
	shell := filepath.Join(dir, "slow")
	w := &night{t: t, dir: dir}
	w.must(os.WriteFile(shell, []byte("#!/bin/sh\nif [ -e "+dir+"/slow.on ]; then touch "+dir+"/began.$$; while read -r x; do :; done; exit; fi\nshift\nexec \"$@\"\n"), 0o755))
	w.must(os.WriteFile(dir+"/slow.on", nil, 0o644))
	var text strings.Builder
	text.WriteString(fmt.Sprintf("[run]\njobs = 3\nstate = %q\n", dir+"/state"))
	for i := range 5 {
		dest := filepath.Join(disk, fmt.Sprint(i))
		w.makeDest(dest, healthy)
		text.WriteString(fmt.Sprintf("[job.j%d]\nsource = 'x:%s'\ndest = %q\nrsh = %q\n", i, w.source(fmt.Sprint(i)), dest, shell))
	}
	w.config = filepath.Join(dir, "c.toml")
	w.must(os.WriteFile(w.config, []byte(text.String()), 0o600))
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(testbin.Path(t), "run", "--all", "--config", w.config)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	w.must(cmd.Start())
	for began := 0; began < 3; time.Sleep(10 * time.Millisecond) {
		names, err := filepath.Glob(dir + "/began.*")
		w.must(err)
		began = len(names)
	}
	w.must(cmd.Process.Signal(syscall.SIGTERM))
	sent := time.Now()
	_ = cmd.Wait() // the exit code says it
	if took := time.Since(sent); cmd.ProcessState.ExitCode() != 143 || took > 30*time.Second {
		t.Errorf("exit %d after %v\n%s%s", cmd.ProcessState.ExitCode(), took, &stdout, &stderr)
	}
	if got := strings.Count(stdout.String(), "backup stopped (143)"); got != 5 {
		t.Errorf("%d of 5 jobs stopped:\n%s%s", got, &stdout, &stderr)
	}
	w.must(os.Remove(dir + "/slow.on"))
	testbin.Must(t, "run", "--all", "--config", w.config)
}
