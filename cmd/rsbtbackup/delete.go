// rsbtbackup delete DEST BACKUP...

package main

import (
	"context"
	"errors"

	"github.com/rsbtbackup/rsbtbackup"
)

type deleteCommand struct {
	Dest  string   `arg:"" name:"DEST" help:"A backup directory."`
	Names []string `arg:"" name:"BACKUP" help:"What to delete: a name, the beginning of it, latest (complete or not), or latest~N for the Nth before."`
	Force bool     `help:"Delete pinned backups, the newest, and the newest complete one too."`

	Wait   bool `help:"Wait until the space of deleted backups is free."`
	DryRun bool `short:"n" help:"Show what would be deleted and how much that would free (root only); change nothing."`
}

// Help shows how it is used.
func (deleteCommand) Help() string {
	return `
If one name is unknown, or one of the backups must not be deleted, none is deleted. The space is free within about a
minute. Subvolumes that were made inside a backup are deleted with it. To delete a whole DEST, see docs/RETIRING.md.

EXAMPLE:

    rsbtbackup delete /backup/etc 2026-11-23-09:00 2026-11-23-10:00 -n
    rsbtbackup delete /backup/etc latest --force`
}

func (c *deleteCommand) dest() string  { return c.Dest }
func (c *deleteCommand) changes() bool { return !c.DryRun }

func (c *deleteCommand) run(ctx context.Context, u *ui, f *flags) error {
	o := rsbtbackup.DeleteOptions{Force: c.Force, Wait: c.Wait, DryRun: c.DryRun, LockWait: f.LockWait.duration(), Logger: u.log}
	verb := "would delete "
	var bar *bar[deleted]
	if !o.DryRun {
		verb, bar = "deleted ", startBar(u, deleteLine)
		defer bar.remove(u)
		o.Progress = deletions(bar)
	}
	report, err := rsbtbackup.Delete(ctx, c.Dest, c.Names, o)
	bar.remove(u)
	var lines []string
	for _, name := range report.Deleted {
		lines = append(lines, verb+name)
	}
	if report.Frees != nil {
		lines = append(lines, "dry run: that would free "+about(report.AtMost)+size(int64(*report.Frees)))
	}
	u.result(lines...)
	report.Deleted = append([]string{}, report.Deleted...) // [], not null
	return errors.Join(err, u.object(deleteObject{"delete", report}))
}
