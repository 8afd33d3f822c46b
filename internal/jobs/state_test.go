package jobs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

func job(name string) config.Job {
	return config.Job{Name: name, Table: name, Backup: rsbtbackup.BackupOptions{Source: "/src/" + name, Dest: "/dest/" + name}}
}

func result(minutes int, verdicts ...Verdict) Result {
	at := noon.Add(time.Duration(minutes) * time.Minute)
	for i := range verdicts {
		verdicts[i].Ended = at
	}
	j := job("a")
	j.Prune.Policy.Last = 1
	return Result{Job: j, Verdicts: verdicts, Started: at.Add(-time.Minute), Ended: at}
}

func TestOnlySuccessMovesTheStateOn(t *testing.T) {
	s := State{}.add(result(0, Verdict{Step: Backup, Status: OK}, Verdict{Step: Prune, Status: OK}))
	if s.Length != time.Minute || !s.Steps[Backup].OK.Equal(noon) || s.LastFailure() != nil {
		t.Fatalf("after a success: %+v", s)
	}
	s = s.add(result(1, Verdict{Step: Backup, Status: OK}, Verdict{Step: Prune, Status: Failed, Error: "no", Exit: 14}))
	if !s.Steps[Prune].failing() || s.Steps[Backup].failing() || !s.Steps[Prune].OK.Equal(noon) || s.LastFailure().Exit != 14 {
		t.Fatalf("after a failed prune: %+v", s)
	}
	for _, status := range []Status{Fresh, Skipped, Stopped} {
		if next := s.add(result(2, Verdict{Step: Backup, Status: status})); !next.Steps[Backup].At.Equal(s.Steps[Backup].At) || !next.Steps[Prune].failing() {
			t.Errorf("%s: %+v", status, next)
		}
	}
	s = s.add(result(3, Verdict{Step: Backup, Status: Incomplete, Error: "some", Exit: 3}, Verdict{Step: Prune, Status: OK}))
	if s.Steps[Prune].failing() || !s.Steps[Backup].failing() || s.LastFailure().Error != "some" || s.LastFailure().Step != Backup {
		t.Errorf("after a prune that went well: %+v", s)
	}
	moved := result(4, Verdict{Step: Backup, Status: OK})
	moved.Job.Backup.Dest = "/elsewhere"
	if s := s.add(moved); len(s.Steps) != 1 {
		t.Errorf("another dest: %+v", s)
	}
}

// TestTheFailureThatCounts: the reason that is shown is that of a step which still fails, also if another one failed
// later and then succeeded. A fresh job has not run its hooks again, whatever else was due.
func TestTheFailureThatCounts(t *testing.T) {
	fails := func(s Step) Verdict { return Verdict{Step: s, Status: Failed, Error: string(s), Exit: 1} }
	s := State{}.add(result(0, Verdict{Step: Backup, Status: OK}, fails(Prune)))
	s = s.add(result(1, fails(Backup)))
	s = s.add(result(2, Verdict{Step: Backup, Status: OK}))
	if f := s.LastFailure(); !s.Failing() || f == nil || f.Step != Prune {
		t.Errorf("%+v, want that of prune", f)
	}
	s = s.add(result(3, Verdict{Step: Backup, Status: OK}, Verdict{Step: Prune, Status: OK}))
	if f := s.LastFailure(); s.Failing() || f == nil || f.Step != Backup {
		t.Errorf("%+v, want that of the backup", f)
	}
	s = s.add(result(4, Verdict{Step: Backup, Status: OK}, fails(AfterHook)))
	if s = s.add(result(5, Verdict{Step: Backup, Status: Fresh}, Verdict{Step: Prune, Status: OK})); !s.Failing() {
		t.Errorf("a fresh job forgot the failure of its hook: %+v", s)
	}
}

// What the config has no more is forgotten, as it can never succeed again.
func TestStepsRemovedFromTheConfig(t *testing.T) {
	r := result(0)
	r.Job.Copies = []config.Copy{{Name: "usb"}, {Name: "off"}}
	r.Job.Verify = config.Verify{Every: config.Every{Always: true}, Against: true}
	r.Job.Check.Every.Always = true
	var all []Step
	for _, s := range []Step{Backup, Prune, Verify, Against, Check, copyStep("usb"), copyStep("off"), BeforeHook} {
		r.Verdicts = append(r.Verdicts, Verdict{Step: s, Status: Failed, Error: "no", Ended: noon})
		all = append(all, s)
	}
	before := State{}.add(r)
	for _, s := range all {
		if !before.Steps[s].failing() {
			t.Errorf("%s is not failing", s)
		}
	}
	gone := result(1, Verdict{Step: Backup, Status: OK})
	gone.Job.Prune.Policy.Last, gone.Job.Copies = 0, []config.Copy{{Name: "off"}}
	if after := before.add(gone); len(after.Steps) != 2 || after.Steps[Backup].failing() || !after.Steps[copyStep("off")].failing() {
		t.Errorf("%+v", after)
	}
	// A run that was stopped before it did anything tells nothing of hooks.
	stopped := result(1, Verdict{Step: Backup, Status: Stopped})
	if after := before.add(stopped); !after.Steps[BeforeHook].failing() {
		t.Errorf("%+v", after)
	}
}

func TestFiguresOfAState(t *testing.T) {
	added := uint64(7)
	report := &rsbtbackup.Report{Name: "n", AddedBytes: &added, Stats: &rsyncexec.Stats{TotalSize: 5, Files: 3}}
	s := State{}.add(result(0, Verdict{Step: Backup, Status: OK, Backup: report, Started: noon.Add(-time.Second)}))
	s = s.see(&rsbtbackup.Listing{Free: 1, Total: 2, Backups: []rsbtbackup.Snapshot{{Time: noon, Status: rsbtbackup.Complete}}})
	failed := result(1, Verdict{Step: Backup, Status: Failed, Exit: 12, Backup: &rsbtbackup.Report{Stats: &rsyncexec.Stats{}}})
	for _, s := range []State{s, s.add(failed)} {
		if b := s.Steps[Backup]; *b.Bytes != 5 || *b.Files != 3 || *b.Added != 7 || s.Free != 1 || s.Total != 2 || !s.Newest.Equal(noon) {
			t.Errorf("%+v", s)
		}
	}
	if b := s.Steps[Backup]; b.Took != time.Second || b.Exit != 0 || s.add(failed).Steps[Backup].Exit != 12 {
		t.Errorf("%+v", b)
	}
	failed.Job.Backup.Dest = "/elsewhere"
	if s := s.add(failed); s.Free != 0 || !s.Newest.IsZero() || s.Steps[Backup].Bytes != nil {
		t.Errorf("of another dest: %+v", s)
	}
}

func TestStateFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "state")
	if s, err := ReadState(dir, "a"); err != nil || s.Steps != nil {
		t.Errorf("a missing one: %+v, %v", s, err)
	}
	want := State{}.add(result(0, Verdict{Step: Backup, Status: OK}))
	if err := writeState(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadState(dir, "a")
	if err != nil || got.Length != want.Length || !got.Steps[Backup].OK.Equal(noon) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, garbage := range []string{"", "{", "null", `{"version":2,"job":"a"}`, `{"version":1,"job":"b"}`, `{"version":1,"job":"a","steps":7}`, strings.Repeat("\x00", 4096)} {
		if err := os.WriteFile(stateFile(dir, "a"), []byte(garbage), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := ReadState(dir, "a")
		if err == nil || !strings.Contains(err.Error(), dir+"/a.json") || s.Steps != nil {
			t.Errorf("%.20q: %+v, %v", garbage, s, err)
		}
	}
	if err := writeState(dir, want); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestStateDir(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	for _, tt := range []struct {
		run  config.Run
		env  func(string) string
		euid int
		want string
	}{
		{config.Run{State: "/x"}, env("STATE_DIRECTORY", "/y"), 0, "/x"},
		{config.Run{}, env("STATE_DIRECTORY", "/y"), 0, "/y"},
		{config.Run{}, env("HOME", "/root", "XDG_STATE_HOME", "/z"), 0, "/var/lib/rsbtbackup"},
		{config.Run{}, env("HOME", "/home/u", "XDG_STATE_HOME", "/z"), 1000, "/z/rsbtbackup"},
		{config.Run{}, env("HOME", "/home/u"), 1000, "/home/u/.local/state/rsbtbackup"},
	} {
		if got := StateDir(tt.run, tt.env, tt.euid); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func FuzzState(f *testing.F) {
	f.Add(`{"version":1,"job":"a","steps":{"backup":{"at":"2026-11-28T12:00:00Z","failure":{"at":"2026-11-28T12:00:00Z"}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		if err := os.WriteFile(stateFile(dir, "a"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := ReadState(dir, "a")
		if err != nil {
			return
		}
		s.LastFailure()
		if err := writeState(dir, s.add(result(0, Verdict{Step: Backup, Status: OK}))); err != nil {
			t.Error(err)
		}
	})
}

// TestBackupsMadeDuringACopyAreNotCopied: DEST is only read by a copy, and another run may add a backup meanwhile.
func TestBackupsMadeDuringACopyAreNotCopied(t *testing.T) {
	r := result(0, Verdict{Step: copyStep("x"), Status: OK, Started: noon.Add(-time.Hour), Ended: noon})
	r.Job.Copies = []config.Copy{{Name: "x"}}
	s := State{}.add(r).Steps[copyStep("x")]
	before, during := made(2*time.Hour, rsbtbackup.Complete, 0), made(30*time.Minute, rsbtbackup.Complete, 0)
	if got := copied(&rsbtbackup.Listing{Backups: []rsbtbackup.Snapshot{before, during}}, s.OK); !got.Equal(before.Time) {
		t.Errorf("%v, want %v: %+v", got, before.Time, s)
	}
}
