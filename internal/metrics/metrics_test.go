package metrics

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/jobs"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 5e8, time.UTC)

// parse reads what node_exporter would, with its own parser, as name{labels} -> value.
func parse(t *testing.T, text string) map[string]float64 {
	t.Helper()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	all := map[string]float64{}
	for name, f := range families {
		if f.GetHelp() == "" || f.GetType().String() != "GAUGE" {
			t.Errorf("%s: help %q, type %s", name, f.GetHelp(), f.GetType())
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%s", l.GetName(), l.GetValue()))
			}
			all[name+"{"+strings.Join(labels, ",")+"}"] = m.GetGauge().GetValue()
		}
	}
	return all
}

func TestFormat(t *testing.T) {
	bytes, files, added := int64(1<<40), int64(12), uint64(4096)
	got := parse(t, format([]jobs.State{
		{Job: "etc", Dest: "/b/\"q\"\\n\n\xff", Newest: noon, Free: 5, Total: 10, Steps: map[jobs.Step]jobs.StepState{
			jobs.Backup:     {At: noon, OK: noon, Took: 1500 * time.Millisecond, Bytes: &bytes, Files: &files, Added: &added},
			jobs.Prune:      {At: noon, OK: noon.Add(-time.Hour), Exit: 14, Failure: &jobs.Failure{At: noon}},
			jobs.BeforeHook: {At: noon, OK: noon},
		}},
		{Job: "new", Dest: "/b/new"},
		{Job: "bad", Dest: "/b/bad", Steps: map[jobs.Step]jobs.StepState{jobs.Backup: {At: noon, Exit: 12, Failure: &jobs.Failure{At: noon}}}},
	}))
	const at = 1795953600.5
	want := map[string]float64{
		"rsbtbackup_newest_backup_timestamp_seconds{job=etc}":                       at,
		"rsbtbackup_newest_backup_timestamp_seconds{job=new}":                       0,
		"rsbtbackup_newest_backup_timestamp_seconds{job=bad}":                       0,
		"rsbtbackup_failing{job=etc}":                                               1,
		"rsbtbackup_failing{job=new}":                                               0,
		"rsbtbackup_failing{job=bad}":                                               1,
		"rsbtbackup_dest_free_bytes{job=etc,dest=/b/\"q\"\\n\n\uFFFD}":              5,
		"rsbtbackup_dest_total_bytes{job=etc,dest=/b/\"q\"\\n\n\uFFFD}":             10,
		"rsbtbackup_backup_added_bytes{job=etc}":                                    4096,
		"rsbtbackup_step_last_run_timestamp_seconds{job=etc,step=backup}":           at,
		"rsbtbackup_step_last_run_timestamp_seconds{job=etc,step=prune}":            at,
		"rsbtbackup_step_last_run_timestamp_seconds{job=etc,step=hooks.before}":     at,
		"rsbtbackup_step_last_run_timestamp_seconds{job=bad,step=backup}":           at,
		"rsbtbackup_step_last_success_timestamp_seconds{job=etc,step=backup}":       at,
		"rsbtbackup_step_last_success_timestamp_seconds{job=etc,step=prune}":        at - 3600,
		"rsbtbackup_step_last_success_timestamp_seconds{job=etc,step=hooks.before}": at,
		"rsbtbackup_step_last_success_timestamp_seconds{job=bad,step=backup}":       0,
		"rsbtbackup_step_duration_seconds{job=etc,step=backup}":                     1.5,
		"rsbtbackup_step_duration_seconds{job=etc,step=prune}":                      0,
		"rsbtbackup_step_duration_seconds{job=etc,step=hooks.before}":               0,
		"rsbtbackup_step_duration_seconds{job=bad,step=backup}":                     0,
		"rsbtbackup_step_exit_code{job=etc,step=backup}":                            0,
		"rsbtbackup_step_exit_code{job=etc,step=prune}":                             14,
		"rsbtbackup_step_exit_code{job=etc,step=hooks.before}":                      0,
		"rsbtbackup_step_exit_code{job=bad,step=backup}":                            12,
		"rsbtbackup_step_bytes{job=etc,step=backup}":                                1 << 40,
		"rsbtbackup_step_files{job=etc,step=backup}":                                12,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestEveryMetricIsDocumented: and none is that there is not.
func TestEveryMetricIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/TELLING.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := 0
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| `rsbtbackup_") {
			documented++
		}
	}
	all := families(nil)
	for _, f := range all {
		if !strings.Contains(string(page), "| `rsbtbackup_"+f.name+"` |") {
			t.Errorf("docs/TELLING.md does not have rsbtbackup_%s", f.name)
		}
	}
	if documented != len(all) {
		t.Errorf("%d metrics are documented, there are %d", documented, len(all))
	}
}

func job(name string) config.Job {
	j := config.Job{Name: name}
	j.Backup.Dest = "/b/" + name
	return j
}

func result(name string, exit int, at time.Time) jobs.Result {
	st := jobs.StepState{At: at, OK: at, Exit: exit}
	return jobs.Result{Job: job(name), State: jobs.State{Version: 1, Job: name, Dest: "/b/" + name, Steps: map[jobs.Step]jobs.StepState{jobs.Backup: st}}}
}

func read(t *testing.T, file string) map[string]float64 {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))
}

func remember(t *testing.T, dir, text, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The file has every job of the config: what this run knows, what another run has remembered since, what earlier ones
// have.
func TestTextfileHasEveryJob(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	file := filepath.Join(dir, "r.prom")
	stateOf := func(name, dest string, at time.Time, exit int) string {
		return fmt.Sprintf(`{"version":1,"job":%q,"dest":%q,"steps":{"backup":{"at":%q,"exit":%d}}}`, name, dest, at.Format(time.RFC3339Nano), exit)
	}
	remember(t, state, stateOf("earlier", "/b/earlier", noon, 3), "earlier")
	remember(t, state, stateOf("newer", "/b/newer", noon.Add(time.Hour), 11), "newer")
	remember(t, state, stateOf("older", "/b/older", noon.Add(-time.Hour), 11), "older")
	remember(t, state, stateOf("elsewhere", "/other", noon, 12), "elsewhere")
	remember(t, state, "garbage", "garbage")
	clock := noon
	tf := New(file, []config.Job{job("earlier"), job("newer"), job("older"), job("elsewhere"), job("garbage"), job("never")}, state, func() time.Time { return clock })
	for _, name := range []string{"newer", "older", "garbage"} {
		tf.Done(result(name, 1, noon))
	}
	if got := read(t, file); got["rsbtbackup_step_exit_code{job=newer,step=backup}"] != 11 || got["rsbtbackup_newest_backup_timestamp_seconds{job=garbage}"] != 0 {
		t.Errorf("after the first: %v", got)
	}
	if err := tf.Close(); err != nil {
		t.Fatal(err)
	}
	exits := map[string]float64{}
	for name, value := range read(t, file) {
		if rest, ok := strings.CutPrefix(name, "rsbtbackup_step_exit_code{job="); ok {
			exits[strings.TrimSuffix(rest, ",step=backup}")] = value
		}
	}
	if diff := cmp.Diff(map[string]float64{"earlier": 3, "newer": 11, "older": 1, "garbage": 1}, exits); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o644 {
		t.Errorf("%v, %v", info, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// While jobs end one after the other the file is not written each time.
func TestNotTooOften(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.prom")
	clock := noon
	tf := New(file, []config.Job{job("a")}, t.TempDir(), func() time.Time { return clock })
	for _, step := range []struct {
		later time.Duration
		want  float64
	}{{0, 1}, {often / 2, 1}, {often / 2, 3}} {
		clock = clock.Add(step.later)
		exit := 1
		if step.later > 0 {
			exit = 3
		}
		tf.Done(result("a", exit, clock))
		if got := read(t, file)["rsbtbackup_step_exit_code{job=a,step=backup}"]; got != step.want {
			t.Errorf("after %v: %v", clock.Sub(noon), got)
		}
	}
}

// A reader, and a second run, at any moment: the file is whole.
func TestReplaceIsAtomic(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.prom")
	var writers sync.WaitGroup
	for n := range 2 {
		writers.Go(func() {
			for range 20 {
				if err := replace(file, func() string { return strings.Repeat(fmt.Sprintln(n), 10_000) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for reads := 0; ; {
		text, err := os.ReadFile(file)
		if err == nil && (len(text) != 20_000 || strings.Contains(string(text), "0") && strings.Contains(string(text), "1")) {
			t.Fatalf("%d bytes", len(text))
		}
		if reads++; reads > 0 {
			select {
			case <-done:
				return
			default:
			}
		}
	}
}

func TestPlacesThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(dir+"/real", 0o755))
	must(os.Symlink("real", dir+"/link"))
	must(os.WriteFile(dir+"/victim", []byte("mine"), 0o600))
	must(os.Symlink("../victim", dir+"/real/r.prom"))
	must(os.Mkdir(dir+"/real/dir.prom", 0o755))
	for file, want := range map[string]string{
		"/link/r.prom":    "open " + dir + "/link: it is a symlink, which is not followed",
		"/none/r.prom":    "open " + dir + "/none: no such file or directory",
		"/victim/r.prom":  "open " + dir + "/victim: not a directory",
		"/real/dir.prom":  "write " + dir + "/real/dir.prom: ",
		"/real/r.prom":    "",
		"/real/new.prom":  "",
		"/real/new.prom ": "",
	} {
		err := replace(dir+file, func() string { return "x 1\n" })
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
	if text, err := os.ReadFile(dir + "/victim"); err != nil || string(text) != "mine" {
		t.Errorf("a symlink was followed: %q, %v", text, err)
	}
	if info, err := os.Lstat(dir + "/real/r.prom"); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%v, %v", info, err)
	}
	if left, err := filepath.Glob(dir + "/real/.*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := replace("/proc/r.prom", func() string { return "" }); !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
		t.Errorf("where no file can be: %v", err)
	}
}
