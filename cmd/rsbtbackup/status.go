// rsbtbackup status [JOB...]

package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/doctor"
	"github.com/rsbtbackup/rsbtbackup/internal/jobs"
)

type statusCommand struct {
	configFlag
	Jobs  []string `arg:"" optional:"" name:"JOB" help:"Jobs of the config. The default is all."`
	All   bool     `help:"All jobs, as without a name."`
	Group string   `placeholder:"GROUP" help:"The jobs of a group."`
}

// Help shows how it is used.
func (statusCommand) Help() string {
	return `
Prints one line for each job. STATE is ok; failing (a step failed and has not succeeded since; the reason is below the
table); late (the newest complete backup is older than check.max-age, by default 26h, or that of a copy is older than
twice as much); none (no complete backup yet); absent (the disk of a removable job is not connected); or no dest. LAST
is the age of the newest complete backup, SIZE its size, GROWTH what was added per day in the last month, FREE the free
space of the disk. NEXT is when the installed timer runs (or the file of cron that starts the job), and a verify that is
due.

It reads each DEST and takes no lock. The exit code is 0 whatever the state: use "rsbtbackup check --all" for
monitoring.

EXAMPLE:

    rsbtbackup status
    rsbtbackup status web1
    rsbtbackup status --json | jq -r 'select(.type == "status" and .health != "ok").job'`
}

// Validate is called by kong.
func (c *statusCommand) Validate() error {
	if len(c.Jobs) == 0 && !c.All && c.Group == "" {
		return nil
	}
	return oneWay(c.Jobs, c.All, c.Group)
}

type statusObject struct {
	Type string `json:"type"`
	jobs.Standing
	Next string `json:"next,omitempty"` // when the installed timer starts it

	nextError error
}

func (c *statusCommand) run(ctx context.Context, u *ui, f *flags) error {
	read, err := c.load(u)
	if err != nil {
		return err
	}
	picked, err := selectJobs(read, c.Jobs)
	if c.Group != "" {
		picked, err = read.SelectGroup(c.Group)
	}
	if err != nil {
		return err
	}
	now := time.Now()
	all := jobs.Stand(ctx, picked, stateDir(read), now)
	rows, below := [][]string{{"JOB", "STATE", "LAST", "BACKUPS", "SIZE", "GROWTH", "FREE", "NEXT"}}, []string{}
	asked := onceEach(startsWhen)
	for i, standing := range all {
		s := statusObject{Type: "status", Standing: standing}
		s.Next, s.nextError = doctor.Started(picked[i], asked)
		if err := u.object(s); err != nil {
			return err
		}
		rows = append(rows, statusRow(s, now))
		below = append(below, statusNotes(s, now)...)
	}
	u.result(append(table(rows), below...)...)
	for _, s := range all {
		if s.DestError != "" && s.Health != jobs.Absent {
			u.hint("to see how to repair it: " + quoteAll(c.doctor(s.Job)...))
			break
		}
	}
	return nil
}

// doctor is the command that tries a job.
func (c *statusCommand) doctor(job string) []string {
	words := []string{"rsbtbackup", "doctor", job}
	if c.Config != "" {
		words = append(words, "--config="+c.Config)
	}
	return words
}

func stateDir(c *config.Config) string { return jobs.StateDir(c.Run, os.Getenv, os.Geteuid()) }

func statusRow(s statusObject, now time.Time) []string {
	last, holds, grows, free := "-", "-", "-", "-"
	if !s.LastSuccess.IsZero() {
		last = age(now.Sub(s.LastSuccess))
	}
	if s.Size != nil {
		holds = size(*s.Size)
	}
	if s.Growth != nil {
		grows = size(int64(*s.Growth)) + "/d"
	}
	backups := "-"
	if s.DestError == "" {
		free, backups = size(int64(s.Free)), count(int64(s.Backups))
	}
	return []string{s.Job, string(s.Health), last, backups, holds, grows, free, nextText(s, now)}
}

// onceEach asks about each unit once, because one may start many jobs.
func onceEach(starts func(unit string) (string, error)) func(unit string) (string, error) {
	type answer struct {
		when string
		err  error
	}
	known := map[string]answer{}
	return func(unit string) (string, error) {
		a, ok := known[unit]
		if !ok {
			a.when, a.err = starts(unit)
			known[unit] = a
		}
		return a.when, a.err
	}
}

func nextText(s statusObject, now time.Time) string {
	texts := []string{cmp.Or(s.Next, "not scheduled")}
	if s.nextError != nil {
		texts[0] = "unknown"
	}
	if !s.VerifyDue.IsZero() && !s.VerifyDue.After(now) {
		texts = append(texts, "verify is due")
	}
	return strings.Join(texts, ", ")
}

// statusNotes say what is wrong with a job.
func statusNotes(s statusObject, now time.Time) []string {
	var notes []string
	if s.DestError != "" && s.Health != jobs.Absent {
		notes = append(notes, s.Job+": "+s.DestError)
	}
	if f := s.LastFailure; f != nil && s.Health == jobs.Failing {
		notes = append(notes, s.Job+": "+failureText(*f, now))
	}
	for _, c := range s.Copies {
		notes = append(notes, s.Job+": copy "+copyText(c, now))
	}
	if s.nextError != nil {
		notes = append(notes, s.Job+": "+s.nextError.Error())
	}
	if s.StateError != "" {
		notes = append(notes, s.Job+": "+s.StateError)
	}
	return notes
}

// failureText says which step failed, when and why.
func failureText(f jobs.Failure, now time.Time) string {
	ago := age(now.Sub(f.At))
	if ago != "now" {
		ago += " ago"
	}
	return fmt.Sprintf("%s failed (%d) %s: %s", f.Step, f.Exit, ago, f.Error)
}

// copyText says how old a copy is.
func copyText(c jobs.CopyStanding, now time.Time) string {
	text := "no complete backup in it is known"
	if !c.Newest.IsZero() {
		text = "its newest complete backup is " + oldText(now.Sub(c.Newest))
	}
	switch {
	case c.Absent && c.Late:
		text = "late: its removable disk is absent, and " + text
	case c.Absent:
		text = "its removable disk is absent"
	case c.Error != "":
		text = c.Error
	case c.Late:
		text = "late: " + text
	}
	return fmt.Sprintf("%s, %s: %s", c.Name, c.Target, text)
}

// oldText is an age in a sentence.
func oldText(d time.Duration) string {
	switch {
	case d < 0:
		return "from the future"
	case d < time.Minute:
		return "less than a minute old"
	}
	return age(d) + " old"
}
