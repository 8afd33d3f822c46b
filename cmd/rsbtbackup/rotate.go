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

	Wait   bool `help:"Wait until the space of deleted backups is free."`
	Force  bool `help:"Continue although a safety guard would stop the run."`
	DryRun bool `short:"n" help:"Show what would be deleted and how much that would free (root only); change nothing."`
}

// Help shows how it is used.
func (rotateCommand) Help() string {
	return `
Deletes the backups that are older than AGE, except pinned ones and the newest complete one. Ages are relative to now.
To keep some of the old backups, use prune.

EXAMPLE:

    rsbtbackup rotate /backup/etc 30d -n
    rsbtbackup rotate /backup/etc 30d`
}

func (c *rotateCommand) dest() string  { return c.Dest }
func (c *rotateCommand) changes() bool { return !c.DryRun }

func (c *rotateCommand) run(ctx context.Context, u *ui, f *flags) error {
	return runPrune(ctx, u, c.Dest, rsbtbackup.PruneOptions{
		Policy: retention.Policy{Age: retention.Span(c.Age)}, Wait: c.Wait, Force: c.Force,
		DryRun: c.DryRun, LockWait: f.LockWait.duration(), Logger: u.log,
	})
}
