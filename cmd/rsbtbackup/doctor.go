// rsbtbackup doctor [JOB...|--all|--group=GROUP]

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/doctor"
	"github.com/rsbtbackup/rsbtbackup/internal/timers"
)

type doctorCommand struct {
	configFlag
	Jobs []string `arg:"" optional:"" name:"JOB" help:"Jobs of the config; the name of a table means all jobs in it."`

	All   bool   `help:"Try all jobs."`
	Group string `placeholder:"GROUP" help:"Try the jobs of a group."`
}

// Help shows how it is used.
func (doctorCommand) Help() string {
	return `
Tries each step of a job, from the source to the timer, and changes nothing: whether rsync is installed here; whether
the host of the source answers, has a known key, accepts the login and has rsync; whether the source can be listed;
whether DEST exists, is prepared and has space; whether copies can be made; whether the programs of the hooks exist.
Each failure is printed with the command that repairs it.

Only the top directory of a source is listed. Files below it that cannot be read are found by a backup, which then exits
with 3.

The exit code is 0 if nothing failed, also with warnings; otherwise that of the worst step, as in "run"; 2 if the config
is wrong.

EXAMPLE:

    rsbtbackup doctor web1
    rsbtbackup doctor --all --json | jq -r 'select(.level == "failed") | .job + ": " + .text'`
}

// Validate is called by kong.
func (c *doctorCommand) Validate() error { return oneWay(c.Jobs, c.All, c.Group) }

type findingObject struct {
	Type  string       `json:"type"`
	Job   string       `json:"job"`
	Step  string       `json:"step"`
	Level doctor.Level `json:"level"`
	Text  string       `json:"text"`
	Exit  int          `json:"exit"`
	Hint  string       `json:"hint,omitempty"`
}

func (c *doctorCommand) run(ctx context.Context, u *ui, f *flags) error {
	read, err := c.load(u)
	if err != nil {
		return err
	}
	picked, err := pickJobs(read, c.Jobs, c.All, c.Group)
	if err != nil {
		return err
	}
	o := doctor.Options{StateDir: stateDir(read), Textfile: read.Metrics.Textfile, Root: os.Geteuid() == 0, Config: c.Config, Starts: starts}
	var worst error
	for _, j := range picked {
		doctor.Examine(ctx, j, o, func(f doctor.Finding) {
			if err := u.finding(j, f); err != nil && (worst == nil || severity(exitCode(err)) > severity(exitCode(worst))) {
				worst = err
			}
		})
	}
	return errors.Join(context.Cause(ctx), worst)
}

// starts is the installed timer with that name, of the system or of this user, with its time, or the file for cron.
func starts(unit string) (string, error) {
	when, err := startsWhen(unit)
	if err != nil || when == "" || filepath.IsAbs(when) {
		return when, err
	}
	return unit + ".timer: " + when, nil
}

// startsWhen is the time of that timer alone, or the file.
func startsWhen(unit string) (string, error) {
	m := timers.This("")
	for _, user := range []bool{false, true} {
		if user && os.Geteuid() == 0 {
			continue
		}
		on, err := m.On(unit, user, os.Getenv)
		if err != nil || on != "" {
			return on, err
		}
	}
	p, err := m.Removal(unit, false, os.Getenv)
	if err != nil || len(p.Files) == 0 {
		return "", err
	}
	return p.Files[0].Path, nil
}

// levelMarks have the same width.
var levelMarks = map[doctor.Level]string{doctor.OK: "ok  ", doctor.Warning: "WARN", doctor.Failed: "FAIL", doctor.Untried: "-   "}

// finding prints a finding, and returns an error if it is a failure.
func (u *ui) finding(j config.Job, f doctor.Finding) error {
	o := findingObject{Type: "finding", Job: j.Name, Step: f.Step, Level: f.Level, Text: oneLine(errors.New(f.Text)), Hint: mend(f)}
	var failed error
	if f.Level == doctor.Failed {
		o.Exit = max(exitCode(f.Err), exitFailed)
		failed = &codeError{o.Exit, fmt.Errorf("%s: %s: %s", j.Name, f.Step, o.Text)}
	}
	u.result(fmt.Sprintf("%s  %s: %s: %s", levelMarks[f.Level], j.Name, o.Step, o.Text))
	if o.Hint != "" {
		u.result("      " + o.Hint)
	}
	return errors.Join(failed, u.object(o))
}

// mend is the remedy for a finding, in the form of a hint.
func mend(f doctor.Finding) string {
	command := quoteAll(f.Command...)
	if f.Mend == "" || command == "" {
		return f.Mend + command
	}
	return strings.Join([]string{f.Mend, command}, ": ")
}
