// rsbtbackup schedule JOB|--all|--group=GROUP

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/timers"
	"github.com/rsbtbackup/rsbtbackup/internal/units"
)

type scheduleCommand struct {
	configFlag
	Job string `arg:"" optional:"" name:"JOB" help:"A job of the config, or the name of a table, for all jobs in it."`

	All     bool   `help:"All jobs."`
	Group   string `placeholder:"GROUP" help:"The jobs of a group."`
	On      string `placeholder:"WHEN" help:"When to run: a calendar expression of systemd.time(7) such as daily, 02:30 or \"Mon..Fri 22:00\". The default is schedule.on of the config, or the present value of the timer."`
	Install bool   `help:"Write the files and start the timer."`
	Remove  bool   `help:"Stop the timer and remove the files that --install wrote."`
	User    bool   `help:"Use units of the calling user, not of the system."`
}

// Help shows how it is used.
func (scheduleCommand) Help() string {
	return `
Prints the service and the timer that run the jobs, and the commands that start them. --install writes them, --remove
removes them. After adding a dest to the config, repeat it with --install: the service may write only to the dests that
it names. Its hooks run outside of it, with all rights of root.

If a run fails, rsbtbackup-mail@.service mails the end of the log to root, or with --user to the user. It uses
/usr/sbin/sendmail, which dma, msmtp-mta, postfix and exim provide. A run that was missed while the machine was off is
made later. On a machine that systemd did not start, a file in /etc/cron.d is written instead. With --user jobs run
while the user is logged in, or always after "loginctl enable-linger".

EXAMPLE:

    rsbtbackup schedule --all --on=02:30
    rsbtbackup schedule --all --on=02:30 --install
    systemctl list-timers rsbtbackup-all.timer
    systemctl start --wait rsbtbackup-all.service
    rsbtbackup schedule --all --remove`
}

// Validate is called by kong.
func (c *scheduleCommand) Validate() error {
	ways := 0
	for _, way := range []bool{c.Job != "", c.All, c.Group != ""} {
		if way {
			ways++
		}
	}
	switch {
	case ways > 1:
		return errors.New("give one of: the name of a job, --all, --group=GROUP")
	case ways == 0:
		return errors.New("name a job, or give --all or --group=GROUP")
	case c.Install && c.Remove:
		return errors.New("--install and --remove cannot be combined")
	case c.Remove && c.On != "":
		return errors.New("--remove needs no --on")
	}
	return nil
}

// unit is the name of the units, which says what they start.
func (c *scheduleCommand) unit() string {
	switch {
	case c.All:
		return "rsbtbackup-all"
	case c.Group != "":
		return "rsbtbackup-group-" + c.Group
	}
	return "rsbtbackup-job-" + c.Job
}

// what is the same as arguments of "run".
func (c *scheduleCommand) what() []string {
	switch {
	case c.All:
		return []string{"--all"}
	case c.Group != "":
		return []string{"--group=" + c.Group}
	}
	return []string{c.Job}
}

func (c *scheduleCommand) run(ctx context.Context, u *ui, f *flags) error {
	if os.Geteuid() != 0 && !c.User && (c.Install || c.Remove) {
		return &usageError{"schedule", errors.New("only root may change units of the system; --user makes units of your own")}
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	machine := timers.This(program)
	if c.Remove {
		return c.remove(ctx, u, machine)
	}
	started, err := c.started(u, machine)
	if err != nil {
		return err
	}
	plan, err := machine.Plan(started, os.Getenv)
	if err != nil {
		return &usageError{"schedule", err}
	}
	next, err := timers.Next(ctx, started.On)
	if err != nil {
		return &usageError{"schedule", err}
	}
	for _, w := range startedWarnings(started, machine) {
		u.log.Warn(w)
	}
	if c.Install {
		err = plan.Install(ctx)
	}
	return errors.Join(err, c.report(u, plan, started.On, next, err == nil))
}

// started reads the config.
func (c *scheduleCommand) started(u *ui, m timers.Machine) (units.Started, error) {
	read, err := c.load(u)
	if err != nil {
		return units.Started{}, err
	}
	picked := read.Jobs
	switch {
	case c.Group != "":
		picked, err = read.SelectGroup(c.Group)
	case c.Job != "":
		picked, err = read.Select([]string{c.Job})
	}
	if err != nil {
		return units.Started{}, err
	}
	on, err := c.when(picked, m)
	if err != nil {
		return units.Started{}, err
	}
	return units.Started{Name: c.unit(), Args: c.what(), On: on, Program: m.Program, Config: read, Jobs: withRealPaths(picked), User: c.User, Homes: homes(picked)}, nil
}

// when is the time on the command line, or that of all jobs, or that of the existing timer.
func (c *scheduleCommand) when(picked []config.Job, m timers.Machine) (string, error) {
	if c.On != "" {
		return c.On, nil
	}
	var ons, names []string
	for _, j := range picked {
		if !slices.Contains(ons, j.Schedule.On) {
			ons, names = append(ons, j.Schedule.On), append(names, j.Name)
		}
	}
	switch {
	case len(ons) > 1:
		return "", &usageError{"schedule", fmt.Errorf("schedule.on is %q for job %s and %q for job %s: give --on, or schedule them one by one or by group", ons[0], names[0], ons[1], names[1])}
	case len(ons) == 0:
		return "", &usageError{"schedule", errors.New("the config has no job")}
	case ons[0] != "":
		return ons[0], nil
	}
	on, err := m.On(c.unit(), c.User, os.Getenv)
	if err == nil && on == "" {
		err = &usageError{"schedule", errors.New("say when: --on=daily, or schedule.on = \"daily\" in the config")}
	}
	return on, err
}

// withRealPaths resolves symlinks, because systemd looks for mounts on the given path only.
func withRealPaths(picked []config.Job) []config.Job {
	jobs := slices.Clone(picked)
	for i, j := range jobs {
		if real, err := filepath.EvalSymlinks(j.Backup.Dest); err == nil {
			jobs[i].Backup.Dest = real
		}
		if config.Host(j.Backup.Source) != "" {
			continue
		}
		if real, err := filepath.EvalSymlinks(j.Backup.Source); err == nil {
			jobs[i].Backup.Source = real
		}
	}
	return jobs
}

// homes are the roots of the subvolumes of sources of which snapshots are made. A missing or remote source is reported
// by the run.
func homes(picked []config.Job) []string {
	var found []string
	for _, j := range picked {
		if !j.Backup.SnapshotSource && !j.Backup.SnapshotNested || config.Host(j.Backup.Source) != "" {
			continue
		}
		if home := home(j.Backup.Source); home != "" && !slices.Contains(found, home) {
			found = append(found, home)
		}
	}
	return found
}

// home is the nearest directory from path upwards with the inode number that only the root of a subvolume has.
func home(path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	for dir := real; ; dir = filepath.Dir(dir) {
		var st unix.Stat_t
		var fs unix.Statfs_t
		switch {
		case unix.Stat(dir, &st) != nil, unix.Statfs(dir, &fs) != nil, uint32(fs.Type) != unix.BTRFS_SUPER_MAGIC:
			return ""
		case st.Ino == subvolumeRoot:
			return dir
		case dir == "/":
			return ""
		}
	}
}

// subvolumeRoot is BTRFS_FIRST_FREE_OBJECTID.
const subvolumeRoot = 256

// startedWarnings: problems that would be noticed only when the timer starts the jobs.
func startedWarnings(s units.Started, m timers.Machine) []string {
	var warnings []string
	told := func(j config.Job) bool { return j.Ping.URL.IsSet() || len(j.HTTP) > 0 }
	_, noMail := os.Stat("/usr/sbin/sendmail")
	if noMail != nil && slices.ContainsFunc(s.Jobs, func(j config.Job) bool { return !told(j) }) {
		warnings = append(warnings, "failures will not be mailed: there is no /usr/sbin/sendmail (install a mail transport such as msmtp-mta, dma or postfix), and not every job has a ping.url or an http server in the config")
	}
	hooks := slices.ContainsFunc(s.Jobs, func(j config.Job) bool { return j.Hooks.Any() })
	if _, err := os.Stat("/run/dbus/system_bus_socket"); err != nil && hooks && m.Systemd && !s.User {
		warnings = append(warnings, "hooks cannot be run by the service: systemd-run needs D-Bus (apt install dbus)")
	}
	return warnings
}

type scheduleObject struct {
	Type     string         `json:"type"`
	Name     string         `json:"name"`
	On       string         `json:"on,omitempty"`
	Next     string         `json:"next,omitempty"`
	Files    []fileInObject `json:"files"`
	Commands []string       `json:"commands"`
	Done     bool           `json:"done"`
}

type fileInObject struct {
	Path string `json:"path"`
	Text string `json:"text,omitempty"`
}

func (c *scheduleCommand) report(u *ui, p timers.Plan, on, next string, fine bool) error {
	o := scheduleObject{Type: "schedule", Name: p.Name, On: on, Next: next, Files: []fileInObject{}, Commands: []string{}, Done: fine && (c.Install || c.Remove)}
	for _, words := range p.Commands {
		o.Commands = append(o.Commands, quoteAll(words...))
	}
	for _, file := range p.Files {
		o.Files = append(o.Files, fileInObject{file.Path, file.Text})
	}
	if fine {
		u.result(c.lines(o)...)
	}
	return u.object(o)
}

func (c *scheduleCommand) lines(o scheduleObject) []string {
	var lines []string
	for _, file := range o.Files {
		switch {
		case o.Done && c.Remove:
			lines = append(lines, "removed "+file.Path)
		case o.Done:
			lines = append(lines, "wrote "+file.Path)
		default:
			lines = append(lines, "# "+file.Path)
			lines = append(append(lines, strings.Split(strings.TrimSuffix(file.Text, "\n"), "\n")...), "")
		}
	}
	for _, command := range o.Commands {
		if o.Done {
			lines = append(lines, "ran   "+command)
		} else {
			lines = append(lines, "# then: "+command)
		}
	}
	if o.Next != "" {
		lines = append(lines, "next  "+o.Next)
	}
	if !o.Done {
		lines = append(lines, "nothing was written: use --install")
	}
	return lines
}

func (c *scheduleCommand) remove(ctx context.Context, u *ui, m timers.Machine) error {
	plan, err := m.Removal(c.unit(), c.User, os.Getenv)
	if err != nil {
		return err
	}
	if len(plan.Files) == 0 {
		return &usageError{"schedule", fmt.Errorf("%s is not scheduled here", c.unit())}
	}
	err = plan.Remove(ctx)
	return errors.Join(err, c.report(u, plan, "", "", err == nil))
}
