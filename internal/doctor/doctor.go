package doctor

import (
	"context"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// Level is the result of a step.
type Level string

const (
	OK      Level = "ok"
	Warning Level = "warning" // a backup is made, but with problems
	Failed  Level = "failed"
	Untried Level = "untried" // because an earlier step failed
)

// Finding is the result of one step.
type Finding struct {
	Step  string // such as login
	Level Level
	Text  string
	Err   error // of what failed
	// Absent: the disk is absent, which is allowed.
	Absent bool
	// Mend is the purpose of Command, a line to type. Both may be empty, or only Command.
	Mend    string
	Command []string
}

// Options are those of Examine.
type Options struct {
	StateDir string
	Textfile string // for Prometheus; may be empty
	Root     bool   // this process is root's
	// Config is the config as given on the command line; "" if it was not given.
	Config string
	// Starts returns what starts jobs under the name of a unit, or "" if nothing is installed.
	Starts func(unit string) (string, error)
}

// Examine tries the steps of a job in their order, and reports each.
func Examine(ctx context.Context, j config.Job, o Options, tell func(Finding)) {
	for _, part := range []func() []Finding{
		func() []Finding { return Program(ctx, j) },
		func() []Finding { return Source(ctx, j, o) },
		func() []Finding { return rules(j) },
		func() []Finding { return Dest(ctx, j) },
		func() []Finding { return copies(ctx, j) },
		func() []Finding { return hooks(j) },
		func() []Finding { return servers(ctx, j) },
		func() []Finding { return state(o) },
		func() []Finding { return figures(o) },
		func() []Finding { return schedule(j, o) },
	} {
		for _, f := range part() {
			if ctx.Err() != nil {
				return
			}
			tell(f)
		}
	}
}

func ok(step, text string) Finding { return Finding{Step: step, Level: OK, Text: text} }

func failed(step string, err error, mend string, command ...string) Finding {
	return Finding{Step: step, Level: Failed, Text: err.Error(), Err: err, Mend: mend, Command: command}
}
