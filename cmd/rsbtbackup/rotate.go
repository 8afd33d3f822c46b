// rsbtbackup rotate DEST AGE

package main

import (
	"context"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

type rotateCommand struct {
	Dest string   `arg:"" name:"DEST" help:"A backup directory."`
	Age  keepSpan `arg:"" name:"AGE" help:"How old a backup may become: 12h, 30d, 2w, 6m, 1y (m is months)."`

	Wait   bool `help:"Return when the space of what was deleted is free."`
	Force  bool `help:"Go on where a safety guard would stop the run."`
	DryRun bool `short:"n" help:"Show what would be deleted and how much that would free (root only); change nothing."`
}

// Help shows how it is used.
func (rotateCommand) Help() string {
	return `
Deletes the backups that are older than AGE, but never the newest complete one, nor one that is pinned. Ages are counted
from now. See prune for keeping some of the old ones.

EXAMPLE:

    rsbtbackup rotate /backup/etc 30d -n
    rsbtbackup rotate /backup/etc 30d`
}

func (c *rotateCommand) dest() string { return c.Dest }
func (*rotateCommand) changesDest()   {}

func (c *rotateCommand) run(ctx context.Context, u *ui, f *flags) error {
	return runPrune(ctx, u, c.Dest, rsbtbackup.PruneOptions{
		Policy: retention.Policy{Age: retention.Span(c.Age)}, Wait: c.Wait, Force: c.Force,
		DryRun: c.DryRun, LockWait: f.LockWait.duration(), Logger: u.log,
	})
}
