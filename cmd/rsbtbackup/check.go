// rsbtbackup check DEST...

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/jobs"
)

type checkCommand struct {
	configFlag
	Dest []string `arg:"" optional:"" name:"DEST" help:"Backup directories."`

	All   bool     `help:"Check the DEST of every job of the config."`
	Job   []string `sep:"none" placeholder:"JOB" help:"Check the DEST of a job. May be repeated."`
	Group string   `placeholder:"GROUP" help:"Check the DEST of every job in a group."`

	MaxAge        someTime  `placeholder:"TIME" help:"How old the newest complete backup may be. The default is that of the config, or 26h."`
	MinFree       freeSpace `placeholder:"SIZE" help:"How much space must be free: 50G, 512MiB, 10%. The default is 5%. Below twice as much there is a warning."`
	MinMetadata   freeSpace `placeholder:"SIZE" help:"How much space must be free for metadata, as a size. The default is 128MiB, or a 64th of a file system below 8 GiB. Below twice as much there is a warning."`
	AcceptDamaged []string  `sep:"none" placeholder:"BACKUP" help:"Accept the known damage of this backup: no check fails because of it. May be repeated."`
	Nagios        bool      `help:"Print one line with figures, as a plugin of Nagios, and exit with 0 (ok), 1 (warning), 2 (critical) or 3 (unknown)."`
}

// Help shows how it is used.
func (checkCommand) Help() string {
	return `
For monitoring: prints one line for DEST, then one for each check: backup (its age), cur, pending (left by a crashed
run), records, verified (the result of verify), space, metadata, devices (their error counters), mount and log. With
--all, --job and --group the age of each copy of a job is checked, too, and there is a warning (job) if a step of the
job failed and has not succeeded since. For several DESTs it prints one line each, and with -v all lines. It changes
nothing and takes no lock, so a backup may run at the same time and a read-only mount is sufficient.

The exit code is 0 if no check failed, also with warnings; 1 if one failed; 10 if there is no backup directory.

Damage stays in the backups that have it, even if the next backup is intact. The check passes when these backups are
deleted, named with --accept-damaged, or verified again without damage (after a scrub has repaired them from a second
copy).

EXAMPLE:

    rsbtbackup check /backup/etc
    rsbtbackup check /backup/etc --max-age 50h --min-free 50G
    rsbtbackup check --all --nagios
    rsbtbackup check /backup/etc --json | jq -r '.results[]? | select(.level == "fail").text'`
}

func (c *checkCommand) dest() string {
	if len(c.Dest) == 1 {
		return c.Dest[0]
	}
	return "DEST"
}

// Validate is called by kong.
func (c *checkCommand) Validate() error {
	ofConfig := c.All || len(c.Job) > 0 || c.Group != ""
	switch {
	case c.MinMetadata.Percent > 0:
		return errors.New("--min-metadata: want a size such as 128MiB, not a percentage")
	case len(c.Dest) == 0 && !ofConfig:
		return errors.New("name a DEST, or give --all, --job or --group")
	case len(c.Dest) > 0 && ofConfig:
		return errors.New("a DEST cannot be combined with --all, --job and --group, which name jobs of the config")
	}
	return nil
}

// checked is one DEST with the results.
type checked struct {
	job       config.Job // without a name if there is no job
	report    *rsbtbackup.CheckReport
	err       error
	absent    bool // and is removable
	newest    time.Time
	free      uint64
	total     uint64
	listFound bool
}

type checkObject struct {
	Type string `json:"type"`
	Job  string `json:"job,omitempty"`
	*rsbtbackup.CheckReport
}

func (c *checkCommand) run(ctx context.Context, u *ui, f *flags) error {
	targets, state, err := c.targets(u)
	if err != nil && c.Nagios {
		return unknownStatus(u, err)
	}
	if err != nil {
		return err
	}
	var all []checked
	for _, j := range targets {
		d := checkOne(ctx, j, state)
		all = append(all, d)
		if err := u.object(checkObject{"check", j.Name, d.report}); err != nil {
			return err
		}
	}
	switch {
	case c.Nagios:
		return nagiosStatus(u, all, time.Now())
	case len(all) == 1:
		u.result(checkLines(all[0].report)...)
		if errors.Is(all[0].err, rsbtbackup.ErrCheck) {
			return &checkError{all[0].err, all[0].report, all[0].job.Name, !f.Quiet}
		}
		return all[0].err
	}
	return reportChecks(u, all, f.Verbose)
}

// targets are the jobs to check; a DEST without a job has no name. The command line takes precedence over the config.
func (c *checkCommand) targets(u *ui) (targets []config.Job, state string, err error) {
	for _, dest := range c.Dest {
		targets = append(targets, config.Job{Backup: rsbtbackup.BackupOptions{Dest: dest}})
	}
	if len(c.Dest) == 0 {
		read, err := c.load(u)
		if err != nil {
			return nil, "", err
		}
		if targets, err = c.pick(read); err != nil {
			return nil, "", err
		}
		state = stateDir(read)
	}
	for i := range targets {
		o := &targets[i].Check.Options
		o.MaxAge = cmp.Or(time.Duration(c.MaxAge), o.MaxAge)
		o.MinFree = cmp.Or(rsbtbackup.MinFree(c.MinFree), o.MinFree)
		o.MinMetadata = cmp.Or(uint64(c.MinMetadata.Bytes), o.MinMetadata)
		o.AcceptDamaged = slices.Concat(o.AcceptDamaged, c.AcceptDamaged)
	}
	return targets, state, nil
}

func (c *checkCommand) pick(read *config.Config) ([]config.Job, error) {
	switch {
	case c.All:
		return read.Jobs, nil
	case c.Group != "":
		return read.SelectGroup(c.Group)
	}
	return read.Select(c.Job)
}

func checkOne(ctx context.Context, j config.Job, state string) checked {
	d := checked{job: j}
	d.report, d.err = rsbtbackup.Check(ctx, j.Backup.Dest, j.Check.Options)
	if d.absent = j.Removable && jobs.DiskAbsent(j.Backup.Dest, d.err); d.absent {
		d.err, d.report.Level = nil, rsbtbackup.CheckOK
		for i := range d.report.Results {
			d.report.Results[i].Level = rsbtbackup.CheckOK
			d.report.Results[i].Text = "the removable disk is absent: " + d.report.Results[i].Text
		}
		return d
	}
	d.addFailure(state, time.Now())
	if l, err := rsbtbackup.List(ctx, j.Backup.Dest); err == nil { // the figures; check has reported the errors
		d.listFound, d.free, d.total, d.newest = true, l.Free, l.Total, newestComplete(l.Backups)
		d.addCopies(jobs.CopiesStand(ctx, j, state, l, time.Now()))
	}
	return d
}

// addFailure adds a warning if a step of the job failed and has not succeeded since, which DEST does not show.
func (d *checked) addFailure(state string, now time.Time) {
	if d.job.Name == "" || unopened(d.report) {
		return
	}
	text := ""
	switch st, err := jobs.ReadState(state, d.job.Name); {
	case err != nil:
		text = err.Error()
	case st.Failing() && st.Dest == d.job.Backup.Dest:
		text = failureText(*st.LastFailure(), now)
	default:
		return
	}
	d.report.Results = append(d.report.Results, rsbtbackup.CheckResult{Name: "job", Level: rsbtbackup.CheckWarn, Text: text})
	if d.report.Level == rsbtbackup.CheckOK {
		d.report.Level = rsbtbackup.CheckWarn
	}
}

// addCopies adds a result for each copy of the job.
func (d *checked) addCopies(copies []jobs.CopyStanding) {
	for _, s := range copies {
		result := rsbtbackup.CheckResult{Name: "copy", Level: rsbtbackup.CheckOK, Text: copyText(s, time.Now())}
		if s.Late || s.Error != "" && !s.Absent {
			result.Level, d.report.Level = rsbtbackup.CheckFail, rsbtbackup.CheckFail
			if d.err == nil {
				d.err = fmt.Errorf("%w: copy %s", rsbtbackup.ErrCheck, s.Name)
			}
		}
		d.report.Results = append(d.report.Results, result)
	}
}

// newestComplete is when the transfer of the newest complete backup ended, from which check counts its age.
func newestComplete(backups []rsbtbackup.Snapshot) time.Time {
	for _, b := range slices.Backward(backups) {
		switch {
		case b.Status != rsbtbackup.Complete:
		case b.Record != nil && !b.Record.Ended.IsZero():
			return b.Record.Ended
		default:
			return b.Time
		}
	}
	return time.Time{}
}

// reportChecks prints a line for each DEST, and returns an error if one failed.
func reportChecks(u *ui, all []checked, verbose bool) error {
	var failed []string
	worst := exitOK
	for _, d := range all {
		lines := checkLines(d.report)
		if !verbose {
			lines = lines[:1]
		}
		u.result(lines...)
		if d.err == nil {
			continue
		}
		failed = append(failed, cmp.Or(d.job.Name, d.job.Backup.Dest))
		if code := exitCode(d.err); severity(code) > severity(worst) {
			worst = code
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return &codeError{worst, fmt.Errorf("%d of %s failed: %s", len(failed), plural(int64(len(all)), "check"), strings.Join(some(failed, 10), ", "))}
}

// checkLines begins with a summary, for a monitor that shows only one line.
func checkLines(r *rsbtbackup.CheckReport) []string {
	lines := []string{strings.ToUpper(string(r.Level)) + " " + checkSummary(r)}
	if unopened(r) { // the summary has them
		return lines
	}
	for _, c := range r.Results {
		lines = append(lines, fmt.Sprintf("%-4s  %-8s  %s", strings.ToUpper(string(c.Level)), c.Name, c.Text))
	}
	return lines
}

// unopened reports that there is no DEST to check.
func unopened(r *rsbtbackup.CheckReport) bool {
	return len(r.Results) == 1 && r.Results[0].Name == "open"
}

// checkSummary is the summary of DEST, after its level.
func checkSummary(r *rsbtbackup.CheckReport) string {
	head := r.Dest + ": "
	if r.Level == rsbtbackup.CheckOK {
		return head + r.Results[0].Text
	}
	var texts []string
	for _, level := range []rsbtbackup.CheckLevel{rsbtbackup.CheckFail, rsbtbackup.CheckWarn} {
		for _, c := range r.Results {
			switch {
			case c.Level == level && unopened(r):
				texts = append(texts, plain(c.Text))
			case c.Level == level:
				texts = append(texts, c.Name+": "+c.Text)
			}
		}
	}
	return head + strings.Join(texts, "; ")
}
