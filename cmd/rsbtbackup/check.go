// rsbtbackup check DEST

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
)

type checkCommand struct {
	Dest string `arg:"" name:"DEST" help:"A backup directory."`

	MaxAge      someTime  `placeholder:"TIME" help:"How old the newest complete backup may be: 26h if not given."`
	MinFree     freeSpace `placeholder:"SIZE" help:"How much space must be free: 50G, 512MiB, 10%; 5% if not given. Below twice as much it warns."`
	MinMetadata freeSpace `placeholder:"SIZE" help:"How much room there must be for metadata, as a size: 128MiB if not given, or a 64th of a file system below 8 GiB. Below twice as much it warns."`
}

// Help shows how it is used.
func (checkCommand) Help() string {
	return `
For monitoring: one line on everything, then one for each check: backup (its age), cur, pending (left by a run that
died), records, verified (what verify found), space, metadata, devices (their error counters), mount and log. Nothing
is changed or locked; a backup may run meanwhile, and a read-only mount will do.

The exit code is 0 if no check failed, also with warnings, 1 if one did, and 10 if there is no backup directory at all.

EXAMPLE:

    rsbtbackup check /backup/etc
    rsbtbackup check /backup/etc --max-age 50h --min-free 50G
    rsbtbackup check /backup/etc --json | jq -r '.results[]? | select(.level == "fail").text'`
}

func (c *checkCommand) dest() string { return c.Dest }

// Validate is called by kong.
func (c *checkCommand) Validate() error {
	if c.MinMetadata.Percent > 0 {
		return errors.New("--min-metadata: want a size such as 128MiB, not a percentage")
	}
	return nil
}

type checkObject struct {
	Type string `json:"type"`
	*rsbtbackup.CheckReport
}

func (c *checkCommand) run(ctx context.Context, u *ui, f *flags) error {
	report, err := rsbtbackup.Check(ctx, c.Dest, rsbtbackup.CheckOptions{
		MaxAge: time.Duration(c.MaxAge), MinFree: rsbtbackup.MinFree(c.MinFree), MinMetadata: uint64(c.MinMetadata.Bytes),
	})
	u.result(checkLines(report)...)
	return errors.Join(err, u.object(checkObject{"check", report}))
}

// checkLines begins with a line that says it all, for a monitor that shows
// only one.
func checkLines(r *rsbtbackup.CheckReport) []string {
	lines := []string{checkSummary(r)}
	for _, c := range r.Results {
		lines = append(lines, fmt.Sprintf("%-4s  %-8s  %s", strings.ToUpper(string(c.Level)), c.Name, c.Text))
	}
	return lines
}

func checkSummary(r *rsbtbackup.CheckReport) string {
	head := strings.ToUpper(string(r.Level)) + " " + r.Dest + ": "
	if r.Level == rsbtbackup.CheckOK {
		return head + r.Results[0].Text
	}
	var texts []string
	for _, level := range []rsbtbackup.CheckLevel{rsbtbackup.CheckFail, rsbtbackup.CheckWarn} {
		for _, c := range r.Results {
			if c.Level == level {
				texts = append(texts, c.Name+": "+c.Text)
			}
		}
	}
	return head + strings.Join(texts, "; ")
}
