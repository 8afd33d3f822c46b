// Package timers installs the texts of package units for systemd or cron, and removes them.
//
//	timers.go   what is written where, and which commands follow; doing and undoing it
//	systemd.go  what systemd says: of calendar expressions, and whether it is here
package timers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/internal/units"
)

// Plan is what an installation writes and then runs.
type Plan struct {
	Name     string // of what is started
	Files    []File
	Commands [][]string
}

// File is a file as a whole.
type File struct {
	Path, Text string
	IfMissing  bool // it is written only if there is none
}

// Machine is where timers go.
type Machine struct {
	Root    string // "/"; another one in tests
	Systemd bool   // it is what started this machine
	Program string // rsbtbackup
}

// This is the machine that we are on.
func This(program string) Machine { return Machine{"/", Booted(), program} }

// unitDir is where the units of an administrator, or of a user, are.
func (m Machine) unitDir(user bool, env func(string) string) (string, error) {
	if !user {
		return filepath.Join(m.Root, "etc/systemd/system"), nil
	}
	if dir := env("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "systemd/user"), nil
	}
	if home := env("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".config/systemd/user"), nil
	}
	return "", errors.New("neither HOME nor XDG_CONFIG_HOME is set, so there is no place for units of this user")
}

// packaged are the directories in which a package may have put the template for mails.
var packaged = []string{"usr/lib/systemd", "lib/systemd", "usr/local/lib/systemd"}

// Plan is what starts s at its time.
func (m Machine) Plan(s units.Started, env func(string) string) (Plan, error) {
	if !m.Systemd {
		return m.planCron(s)
	}
	dir, err := m.unitDir(s.User, env)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Name: s.Name, Files: []File{
		{Path: filepath.Join(dir, s.Name+".service"), Text: s.Service()},
		{Path: filepath.Join(dir, s.Name+".timer"), Text: s.Timer()},
	}}
	if !m.hasTemplate(s.User) {
		p.Files = append(p.Files, File{filepath.Join(dir, units.MailTemplate), units.Mail(s.User), true})
	}
	p.Commands = [][]string{systemctl(s.User, "daemon-reload"), systemctl(s.User, "enable", "--now", s.Name+".timer")}
	return p, nil
}

func (m Machine) planCron(s units.Started) (Plan, error) {
	text, err := s.Cron()
	switch {
	case err != nil:
		return Plan{}, err
	case s.User:
		line, err := s.CronLine("")
		if err == nil {
			err = fmt.Errorf("this machine was not started by systemd, and files for cron are of root: add a line by crontab -e: %s", line)
		}
		return Plan{}, err
	}
	return Plan{Name: s.Name, Files: []File{{Path: m.cronFile(s.Name), Text: text}}}, nil
}

func (m Machine) cronFile(name string) string {
	return filepath.Join(m.Root, "etc/cron.d", units.CronFile(name))
}

func (m Machine) hasTemplate(user bool) bool {
	kind := "system"
	if user {
		kind = "user"
	}
	for _, dir := range packaged {
		if _, err := os.Stat(filepath.Join(m.Root, dir, kind, units.MailTemplate)); err == nil {
			return true
		}
	}
	return false
}

func systemctl(user bool, args ...string) []string {
	words := []string{"systemctl"}
	if user {
		words = append(words, "--user")
	}
	return append(words, args...)
}

// ForeignError is a file that somebody else made.
type ForeignError struct{ Path string }

func (e *ForeignError) Error() string {
	return e.Path + " was not made by \"rsbtbackup schedule\" for these jobs, and is left as it is"
}

// Install writes the files and runs the commands.
func (p Plan) Install(ctx context.Context) error {
	for _, f := range p.Files {
		if err := ours(f.Path, p.Name); err != nil && !f.IfMissing {
			return err
		}
	}
	for _, f := range p.Files {
		if _, err := os.Lstat(f.Path); err == nil && f.IfMissing {
			continue
		}
		if err := write(f); err != nil {
			return err
		}
	}
	for _, c := range p.Commands {
		if err := run(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// ours reports whether the file is missing or was made for name.
func ours(path, name string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	if first, _, _ := strings.Cut(string(data), "\n"); first != units.Marker(name) {
		return &ForeignError{path}
	}
	return nil
}

// write replaces a file atomically. The mode is that of units, regardless of the umask: systemd warns about others.
func write(f File) error {
	if err := makeDir(filepath.Dir(f.Path)); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(f.Path), ".rsbtbackup-*")
	if err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.WriteString(f.Text)
	err = errors.Join(err, temporary.Chmod(0o644), temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), f.Path)
	}
	if err != nil {
		return fmt.Errorf("schedule: write %s: %w", f.Path, err)
	}
	return nil
}

// makeDir makes the directory and those above it, for everybody to enter.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := makeDir(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	return nil
}

// On is the calendar expression of the timer that is there, or "".
func (m Machine) On(name string, user bool, env func(string) string) (string, error) {
	dir, err := m.unitDir(user, env)
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(filepath.Join(dir, name+".timer"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("schedule: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if on, found := strings.CutPrefix(line, "OnCalendar="); found {
			return strings.TrimSpace(on), nil
		}
	}
	return "", nil
}

// Removal is what to remove for name.
func (m Machine) Removal(name string, user bool, env func(string) string) (Plan, error) {
	dir, err := m.unitDir(user, env)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Name: name}
	paths := []string{filepath.Join(dir, name+".timer"), filepath.Join(dir, name+".service")}
	if !user {
		paths = append(paths, m.cronFile(name))
	}
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil {
			p.Files = append(p.Files, File{Path: path})
		}
	}
	if m.Systemd {
		p.Commands = [][]string{systemctl(user, "disable", "--now", name+".timer"), systemctl(user, "daemon-reload")}
	}
	return p, nil
}

// Remove stops the timer and removes the files. A running job continues.
func (p Plan) Remove(ctx context.Context) error {
	for _, f := range p.Files {
		if err := ours(f.Path, p.Name); err != nil {
			return err
		}
	}
	if len(p.Commands) > 0 {
		if err := run(ctx, p.Commands[0]); err != nil {
			return err
		}
	}
	for _, f := range p.Files {
		if err := os.Remove(f.Path); err != nil {
			return fmt.Errorf("schedule: %w", err)
		}
	}
	if len(p.Commands) > 1 {
		return run(ctx, p.Commands[1])
	}
	return nil
}
