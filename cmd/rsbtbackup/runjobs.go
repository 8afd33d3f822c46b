// rsbtbackup run [JOB...|--all|--group=GROUP]

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/jobs"
	"github.com/rsbtbackup/rsbtbackup/internal/machine"
	"github.com/rsbtbackup/rsbtbackup/internal/units"
)

type runCommand struct {
	configFlag
	Jobs []string `arg:"" optional:"" name:"JOB" help:"Jobs of the config; the name of a table means all jobs in it."`

	All         bool     `help:"Run all jobs."`
	Group       string   `placeholder:"GROUP" help:"Run the jobs of a group."`
	AtOnce      jobCount `name:"jobs" short:"j" placeholder:"N" help:"Run this many jobs at once. The default is that of the config, or 1."`
	IfOlderThan someTime `placeholder:"TIME" help:"Skip jobs whose newest complete backup is younger: 20h."`
	DryRun      bool     `short:"n" help:"Show what would be done; change nothing."`
}

// Help shows how it is used.
func (runCommand) Help() string {
	return `
Each job makes a backup, then copies, prunes, verifies and checks if the config says so and it is due. Every step has
its own result, and a failure of one job does not stop the others. Two jobs never write to the same DEST at once; the
longest job begins first. With retry-for in the config a source on another host that does not answer is tried again
while other jobs continue. Until all jobs have ended, systemd does not suspend the machine, except when the lid is
closed.

A table at the end lists all jobs. The reason of each failure is printed on stderr at once.

The exit code is that of the most severe failure. From the most to the least severe:

    129, 130, 143  interrupted: jobs that ran can be resumed, others were not begun
    1              failed, or damage was found, or a check failed
    2              the config is wrong (nothing was run), or an option in it
    14             no space left
    10             a DEST, or the target of a copy, is missing, not initialised or not on btrfs
    15             a hook failed (without a backup, if it was one of hooks.before)
    13             a safety guard stopped a backup
    12             a source, or the host of a copy, is missing or cannot be reached
    11             a DEST is locked by another run
    3              a backup is published, but not everything could be read

EXAMPLE:

    rsbtbackup run etc
    rsbtbackup run --all --jobs=4
    rsbtbackup run --group=web1 -n
    rsbtbackup run --all --if-older-than=20h -q`
}

func (c *runCommand) changes() bool { return !c.DryRun }

// Validate is called by kong.
func (c *runCommand) Validate() error { return oneWay(c.Jobs, c.All, c.Group) }

func (c *runCommand) pick(read *config.Config) ([]config.Job, error) {
	return pickJobs(read, c.Jobs, c.All, c.Group)
}

// oneWay refuses a call without jobs, and two ways to name them.
func oneWay(names []string, all bool, group string) error {
	ways := 0
	for _, way := range []bool{len(names) > 0, all, group != ""} {
		if way {
			ways++
		}
	}
	switch ways {
	case 0:
		return errors.New("name the jobs, or give --all or --group=GROUP")
	case 1:
		return nil
	}
	return errors.New("give one of: the names of jobs, --all, --group=GROUP")
}

func pickJobs(read *config.Config, names []string, all bool, group string) ([]config.Job, error) {
	switch {
	case all:
		return read.Jobs, nil
	case group != "":
		return read.SelectGroup(group)
	}
	return read.Select(names)
}

type stepObject struct {
	Type string `json:"type"`
	jobs.Verdict
}

type runObject struct {
	Type    string        `json:"type"`
	Exit    int           `json:"exit"`
	DryRun  bool          `json:"dry_run"`
	Jobs    []jobInObject `json:"jobs"`
	Started time.Time     `json:"started"`
	Ended   time.Time     `json:"ended"`
}

type jobInObject struct {
	Job    string      `json:"job"`
	Status jobs.Status `json:"status"`
	Exit   int         `json:"exit"`
	Tries  int         `json:"tries"`
}

func (c *runCommand) run(ctx context.Context, u *ui, f *flags) error {
	read, err := c.load(u)
	if err != nil {
		return err
	}
	picked, err := c.pick(read)
	if err != nil {
		return err
	}
	started := time.Now()
	w := newRunWatcher(u, newTelling(ctx, u, read, c.DryRun))
	w.unit.ready(len(picked))
	defer w.unit.watch(ctx)()
	sleep := func() {}
	if !c.DryRun {
		sleep = machine.KeepAwake("backups are made")
	}
	results := jobs.Run(ctx, picked, jobs.Options{
		Jobs: cmp.Or(int(c.AtOnce), read.Run.Jobs, 1), PerHost: read.Run.PerHost, PerDisk: read.Run.PerDisk,
		IfOlderThan: time.Duration(c.IfOlderThan), DryRun: c.DryRun,
		StateDir: stateDir(read), Service: os.Getenv(units.ServiceVariable), Version: programVersion(),
		ExitCode: exitCode, Now: time.Now, OnBattery: machine.OnBattery, Metered: machine.Metered, Watcher: w,
	})
	sleep()
	w.remove()
	err = c.report(ctx, u, results, started)
	w.others.end() // after the table, which a server that does not answer must not delay
	return err
}

// report prints the table, and returns an error if any job failed.
func (c *runCommand) report(ctx context.Context, u *ui, results []jobs.Result, started time.Time) error {
	o := runObject{Type: "run", DryRun: c.DryRun, Jobs: []jobInObject{}, Started: started, Ended: time.Now()}
	rows := [][]string{{"JOB", "RESULT", "BACKUP", "TOOK", "SENT", "ADDED"}}
	var failed []string
	for _, r := range results {
		exit := exitOf(r)
		o.Jobs = append(o.Jobs, jobInObject{r.Job.Name, r.Status(), exit, r.Tries})
		rows = append(rows, runRow(r))
		if exit != exitOK {
			failed = append(failed, r.Job.Name)
		}
		if severity(exit) > severity(o.Exit) {
			o.Exit = exit
		}
	}
	u.result(table(rows)...)
	if os.Getenv("INVOCATION_ID") != "" && slices.ContainsFunc(results, wroteNowhere) {
		u.hint("the service may write to the dests only that it was made for; for those of today: " + quoteAll(c.schedule()...))
	}
	err := u.object(o)
	if len(failed) == 0 {
		return err
	}
	coded := &codeError{o.Exit, fmt.Errorf("%d of %s did not succeed: %s", len(failed), plural(int64(len(results)), "job"), strings.Join(some(failed, 10), ", "))}
	return errors.Join(&notWellError{coded, failed}, err)
}

// notWellError is about a run of which jobs failed.
type notWellError struct {
	*codeError
	jobs []string
}

// Unwrap gives the exit code.
func (e *notWellError) Unwrap() error { return e.codeError }

// runHints: a failure can be examined step by step, unless somebody stopped the run or the next run may succeed.
func runHints(err error, i invocation) ([]string, bool) {
	var failed *notWellError
	c, ok := i.command.(*runCommand)
	if !ok || !errors.As(err, &failed) {
		return nil, false
	}
	if failed.code > exitSignal || failed.code == exitLocked || failed.code == exitIncomplete {
		return nil, true
	}
	words := []string{"rsbtbackup", "doctor", failed.jobs[0]}
	if c.Config != "" {
		words = append(words, "--config="+c.Config)
	}
	return []string{"to try each step: " + quoteAll(words...)}, true
}

// wroteNowhere reports whether a step of the job found DEST mounted read-only.
func wroteNowhere(r jobs.Result) bool {
	return slices.ContainsFunc(r.Verdicts, func(v jobs.Verdict) bool { return errors.Is(v.Err, syscall.EROFS) })
}

// schedule is the command that updates the service for the same jobs.
func (c *runCommand) schedule() []string {
	words := []string{"rsbtbackup", "schedule"}
	switch {
	case c.All:
		words = append(words, "--all")
	case c.Group != "":
		words = append(words, "--group="+c.Group)
	default:
		words = append(words, c.Jobs...)
	}
	if c.Config != "" && c.Config != "/etc/rsbtbackup.toml" {
		words = append(words, "--config="+c.Config)
	}
	return append(words, "--install")
}

// some are the first n words, and how many more there are.
func some(words []string, n int) []string {
	if len(words) <= n {
		return words
	}
	return append(words[:n:n], fmt.Sprintf("and %d more", len(words)-n))
}

// exitOf is the exit code of the most severe step.
func exitOf(r jobs.Result) int {
	worst := exitOK
	for _, v := range r.Verdicts {
		if severity(v.Exit) > severity(worst) {
			worst = v.Exit
		}
	}
	return worst
}

// runRow is one job. RESULT names the steps that did not succeed.
func runRow(r jobs.Result) []string {
	name, sent, added := "-", "-", "-"
	if v, ok := r.Find(jobs.Backup); ok && v.Backup != nil {
		if v.Backup.Name != "" {
			name = v.Backup.Name
		}
		if v.Backup.Stats != nil {
			sent = size(v.Backup.Stats.Literal)
		}
		added = sizeOrDash(v.Backup.AddedBytes)
	}
	return []string{r.Job.Name, resultText(r), name, took(r.Ended.Sub(r.Started)), sent, added}
}

func resultText(r jobs.Result) string {
	var texts []string
	for _, v := range r.Verdicts {
		switch {
		case v.Status == jobs.OK:
		case v.Step == jobs.Backup && v.Exit == exitOK:
			texts = append(texts, string(v.Status))
		default:
			texts = append(texts, fmt.Sprintf("%s %s (%d)", v.Step, v.Status, v.Exit))
		}
	}
	if len(texts) == 0 {
		return string(jobs.OK)
	}
	return strings.Join(texts, ", ")
}

// jobCount is a number of jobs.
type jobCount int

// UnmarshalText refuses 0.
func (n *jobCount) UnmarshalText(text []byte) error {
	var k keepMin
	if err := k.UnmarshalText(text); err != nil {
		return err
	}
	*n = jobCount(k)
	return nil
}
