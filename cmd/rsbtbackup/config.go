// rsbtbackup config check|show|example|schema; import is in configimport.go

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/doctor"
)

type configCommand struct {
	Check   configCheckCommand   `cmd:"" help:"Look for mistakes in the config, and try its sources and DESTs."`
	Show    configShowCommand    `cmd:"" help:"Show the effective values of each job, and where they come from."`
	Example configExampleCommand `cmd:"" help:"Print a config to start from, with every key."`
	Import  configImportCommand  `cmd:"" help:"Convert rsnapshot.conf, btrbk.conf or a crontab to a config."`
	Schema  configSchemaCommand  `cmd:"" help:"Print the JSON schema of the config, for editors."`
}

// configFlag belongs to every command that reads the config.
type configFlag struct {
	Config string `placeholder:"FILE" help:"The config. The default is $XDG_CONFIG_HOME/rsbtbackup.toml (in ~/.config if that is not set) if it exists, otherwise /etc/rsbtbackup.toml."`
}

// load reads the config and prints its warnings.
func (f configFlag) load(u *ui) (*config.Config, error) {
	file, err := config.Find(f.Config)
	if err != nil {
		return nil, err
	}
	c, err := config.Load(file)
	if err != nil {
		return nil, err
	}
	for _, w := range c.Warnings {
		u.log.Warn(w.String(), "mend", w.Hint)
	}
	return c, nil
}

// jobs are the named ones, or all.
func selectJobs(c *config.Config, names []string) ([]config.Job, error) {
	if len(names) == 0 {
		return c.Jobs, nil
	}
	return c.Select(names)
}

type configCheckCommand struct {
	configFlag
	Online bool `help:"Also try each job: whether the source can be reached and has rsync, and whether DEST and the targets of copies are mounted and prepared."`
}

// Help shows how it is used.
func (configCheckCommand) Help() string {
	return `
Prints each mistake with its file and line. The exit code is 0 if there is none, otherwise 2; with --online that of the
worst job, as in "run".

EXAMPLE:

    rsbtbackup config check
    rsbtbackup config check --online
    rsbtbackup config check --config ./new.toml --json | jq -r 'select(.type == "problem").text'`
}

type problemObject struct {
	Type string `json:"type"`
	config.Problem
}

type configObject struct {
	Type  string   `json:"type"`
	Files []string `json:"files"`
	Jobs  []string `json:"jobs"`
}

func (c *configCheckCommand) run(ctx context.Context, u *ui, f *flags) error {
	read, err := c.load(u)
	var problems config.Problems
	if errors.As(err, &problems) {
		for _, p := range problems {
			u.result(problemLines(p)...)
			if err := u.object(problemObject{"problem", p}); err != nil {
				return err
			}
		}
		return &problemsError{problems}
	}
	if err != nil {
		return err
	}
	if c.Online {
		err = tryJobs(ctx, u, read.Jobs)
	}
	names := []string{}
	for _, j := range read.Jobs {
		names = append(names, j.Name)
	}
	u.result(fmt.Sprintf("%s in %s", plural(int64(len(names)), "job"), strings.Join(read.Files, ", ")))
	return errors.Join(err, u.object(configObject{"config", read.Files, names}))
}

// problemsError is the error after each problem was printed.
type problemsError struct{ problems config.Problems }

func (e *problemsError) Error() string {
	return plural(int64(len(e.problems)), "problem") + " in the config"
}

func (e *problemsError) Is(target error) bool { return target == config.ErrConfig }

func problemLines(p config.Problem) []string {
	lines := []string{p.String()}
	if p.Excerpt != "" {
		lines = append(lines, fmt.Sprintf("%6d | %s", p.Line, p.Excerpt))
	}
	if p.Hint != "" {
		lines = append(lines, "  "+p.Hint)
	}
	return lines
}

type tryObject struct {
	Type  string `json:"type"`
	Job   string `json:"job"`
	What  string `json:"what"` // source, dest or copy
	OK    bool   `json:"ok"`
	Exit  int    `json:"exit"`
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`

	absent bool // its disk is removable
}

// tryJobs tries both ends of each job, one after the other. It returns the most severe error.
func tryJobs(ctx context.Context, u *ui, jobs []config.Job) error {
	var failed []error
	for _, j := range jobs {
		for _, o := range append([]tryObject{
			tried(j, "source "+j.Backup.Source, append(doctor.Program(ctx, j), doctor.Source(ctx, j, doctor.Options{Root: os.Geteuid() == 0})...)),
			triedDest(ctx, j),
		}, triedCopies(ctx, j)...) {
			if o.OK && o.absent {
				u.result(fmt.Sprintf("WARN  %s: %s: its removable disk is absent", j.Name, o.What))
			} else if o.OK {
				u.result(fmt.Sprintf("ok    %s: %s", j.Name, o.What))
			} else {
				u.result(fmt.Sprintf("FAIL  %s: %s: %s", j.Name, o.What, o.Error))
				failed = append(failed, &codeError{o.Exit, fmt.Errorf("%s: %s", j.Name, o.Error)})
				if o.Hint != "" {
					u.result("      " + o.Hint)
				}
			}
			if err := u.object(o); err != nil {
				return err
			}
		}
	}
	if len(failed) == 0 {
		return context.Cause(ctx)
	}
	worst := failed[0]
	for _, err := range failed {
		if severity(exitCode(err)) > severity(exitCode(worst)) {
			worst = err
		}
	}
	return worst
}

// tried is the result for one end of a job: its first failure, if any.
func tried(j config.Job, what string, findings []doctor.Finding) tryObject {
	o := tryObject{Type: "try", Job: j.Name, What: what, OK: true}
	for _, f := range findings {
		o.absent = o.absent || f.Absent
		if f.Level == doctor.Failed {
			o.OK, o.Exit, o.Error, o.Hint = false, max(exitCode(f.Err), exitFailed), oneLine(f.Err), mend(f)
			break
		}
	}
	return o
}

type configShowCommand struct {
	configFlag
	Jobs []string `arg:"" optional:"" name:"JOB" help:"Only these jobs."`
}

// Help shows how it is used.
func (configShowCommand) Help() string {
	return `
Prints the effective values of each job as TOML. A comment names the line that each value comes from, with the file and
the table if they are not those of the job. Secrets are not shown.

EXAMPLE:

    rsbtbackup config show
    rsbtbackup config show web1`
}

type jobObject struct {
	Type   string          `json:"type"`
	Job    string          `json:"job"`
	Source string          `json:"source"`
	Dest   string          `json:"dest"`
	Groups []string        `json:"groups"`
	Values []valueInObject `json:"values"`
}

type valueInObject struct {
	Key   string          `json:"key"`
	Value string          `json:"value"` // as TOML
	From  []config.Origin `json:"from"`
}

func (c *configShowCommand) run(ctx context.Context, u *ui, f *flags) error {
	read, err := c.load(u)
	if err != nil {
		return err
	}
	jobs, err := selectJobs(read, c.Jobs)
	if err != nil {
		return err
	}
	if len(read.Values) > 0 && len(c.Jobs) == 0 {
		u.result(table(valueRows(read.Values, "", ""))...)
		u.result("")
	}
	shown := ""
	for _, j := range jobs {
		if err := u.object(newJobObject(j)); err != nil {
			return err
		}
		if j.Table == shown {
			continue // the jobs of one table have the same values
		}
		shown = j.Table
		lines := []string{fmt.Sprintf("[job.%s]  # %s", j.Table, place(j.Defined))}
		if names := namesIn(read.Jobs, j.Table); len(names) > 1 {
			lines = append(lines, "# the jobs "+strings.Join(names, ", "))
		}
		u.result(append(append(lines, table(valueRows(j.Values, "job."+j.Table, j.Defined.File))...), "")...)
	}
	return nil
}

func newJobObject(j config.Job) jobObject {
	o := jobObject{"job", j.Name, j.Backup.Source, j.Backup.Dest, append([]string{}, j.Groups...), nil}
	for _, v := range j.Values {
		o.Values = append(o.Values, valueInObject{v.Key, v.Text, v.From})
	}
	return o
}

func namesIn(jobs []config.Job, table string) []string {
	var names []string
	for _, j := range jobs {
		if j.Table == table {
			names = append(names, j.Name)
		}
	}
	return names
}

func place(o config.Origin) string { return fmt.Sprintf("%s:%d", o.File, o.Line) }

// valueRows are the values of a table of its own, in the file that is named above them.
func valueRows(values []config.Value, own, file string) [][]string {
	var rows [][]string
	for _, v := range values {
		var from []string
		for _, o := range v.From {
			text := place(o)
			if o.File == file {
				text = fmt.Sprintf("line %d", o.Line)
			}
			if own != "" && o.Table != own {
				text += " [" + o.Table + "]"
			}
			from = append(from, text)
		}
		rows = append(rows, []string{v.Key + " = " + v.Text, "# " + strings.Join(slices.Compact(from), ", ")})
	}
	return rows
}

type configExampleCommand struct{}

// Help shows how it is used.
func (configExampleCommand) Help() string {
	return `
Prints two jobs, and every other key as a comment with its description, regardless of --json and --quiet.

EXAMPLE:

    rsbtbackup config example >/etc/rsbtbackup.toml`
}

func (configExampleCommand) run(ctx context.Context, u *ui, f *flags) error {
	u.write(u.stdout, config.Example())
	return nil
}

type configSchemaCommand struct{}

// Help shows how it is used.
func (configSchemaCommand) Help() string {
	return `
Editors that support TOML (taplo, Even Better TOML) use the schema to complete and check the config. It is printed
regardless of --json and --quiet.

EXAMPLE:

    rsbtbackup config schema >/etc/rsbtbackup.schema.json    # and in line 1 of the config: #:schema /etc/rsbtbackup.schema.json`
}

func (configSchemaCommand) run(ctx context.Context, u *ui, f *flags) error {
	data, err := json.MarshalIndent(config.Schema(), "", "  ")
	if err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	u.write(u.stdout, string(data)+"\n")
	return nil
}
