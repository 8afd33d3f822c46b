package timers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/units"
)

func cronMachine(t *testing.T) (Machine, units.Started) {
	t.Helper()
	return Machine{t.TempDir(), false, "/usr/bin/rsbtbackup"}, units.Started{Name: "rsbtbackup-job-a.b", Args: []string{"a.b"}, On: "02:30", Program: "/usr/bin/rsbtbackup", Config: &config.Config{Files: []string{"/etc/rsbtbackup.toml"}}}
}

// TestCronIsInstalledAndRemoved: a file that cron reads, which is ours alone.
func TestCronIsInstalledAndRemoved(t *testing.T) {
	m, s := cronMachine(t)
	plan, err := m.Plan(s, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Install(context.Background()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(m.Root, "etc/cron.d/rsbtbackup-job-a_b")
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), "\n30 2 * * * root /usr/bin/rsbtbackup run a.b --config=/etc/rsbtbackup.toml >/dev/null\n") {
		t.Errorf("%v\n%s", err, data)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	removal, err := m.Removal(s.Name, false, os.Getenv)
	if err == nil {
		err = removal.Remove(context.Background())
	}
	if _, gone := os.Stat(path); err != nil || !errors.Is(gone, os.ErrNotExist) {
		t.Errorf("remove: %v, %v", err, gone)
	}
}

// TestFilesOfOthersAreKept: also what was made for a job whose name cron cannot tell from this one's.
func TestFilesOfOthersAreKept(t *testing.T) {
	m, s := cronMachine(t)
	plan, err := m.Plan(s, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	path := plan.Files[0].Path
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "# mine\n", units.Marker("rsbtbackup-job-a_b") + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		removal, err := m.Removal(s.Name, false, os.Getenv)
		if err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{"install": plan.Install(context.Background()), "remove": removal.Remove(context.Background())} {
			var foreign *ForeignError
			if data, _ := os.ReadFile(path); !errors.As(err, &foreign) || foreign.Path != path || string(data) != text {
				t.Errorf("%s over %q: %v, %q", what, text, err, data)
			}
		}
	}
}

// TestUnitsOfAUser lie where the manager of the user looks, and its template with them.
func TestUnitsOfAUser(t *testing.T) {
	m, s := cronMachine(t)
	m.Systemd, s.User = true, true
	home := t.TempDir()
	env := func(name string) string { return map[string]string{"HOME": home}[name] }
	plan, err := m.Plan(s, env)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range plan.Files {
		names = append(names, strings.TrimPrefix(f.Path, home+"/.config/systemd/user/"))
	}
	if got := strings.Join(names, " "); got != "rsbtbackup-job-a.b.service rsbtbackup-job-a.b.timer rsbtbackup-mail@.service" {
		t.Error(got)
	}
	if got := strings.Join(plan.Commands[1], " "); got != "systemctl --user enable --now rsbtbackup-job-a.b.timer" {
		t.Error(got)
	}
	packaged := filepath.Join(m.Root, "usr/lib/systemd/user")
	if err := errors.Join(os.MkdirAll(packaged, 0o755), os.WriteFile(filepath.Join(packaged, units.MailTemplate), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if plan, err = m.Plan(s, env); err != nil || len(plan.Files) != 2 {
		t.Errorf("with the template of a package: %v, %v", plan.Files, err)
	}
	m.Systemd = false
	if _, err := m.Plan(s, env); err == nil || !strings.Contains(err.Error(), "crontab -e") {
		t.Errorf("without systemd: %v", err)
	}
}

// TestAFailedCommandIsReported, with what it said.
func TestAFailedCommandIsReported(t *testing.T) {
	plan := Plan{Commands: [][]string{{"sh", "-c", "echo why >&2; exit 4"}}}
	if err := plan.Install(context.Background()); err == nil || !strings.Contains(err.Error(), "exit status 4: why") {
		t.Error(err)
	}
}

// TestOnOfTheTimer: what is installed again needs no new word about when.
func TestOnOfTheTimer(t *testing.T) {
	m, s := cronMachine(t)
	m.Systemd = true
	if on, err := m.On(s.Name, false, os.Getenv); on != "" || err != nil {
		t.Errorf("%q, %v", on, err)
	}
	plan, err := m.Plan(s, os.Getenv)
	plan.Commands = nil
	if err == nil {
		err = plan.Install(context.Background())
	}
	if on, next := m.On(s.Name, false, os.Getenv); on != "02:30" || err != nil || next != nil {
		t.Errorf("%q, %v, %v", on, err, next)
	}
}
