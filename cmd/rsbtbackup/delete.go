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
}

// Help shows how it is used.
func (deleteCommand) Help() string {
	return `
Unless all the names are known, and all may be deleted, none is. The space is free within a minute or so. Subvolumes
that somebody made inside a backup go with it.

EXAMPLE:

    rsbtbackup delete /backup/etc 2026-11-23-09:00 2026-11-23-10:00
    rsbtbackup delete /backup/etc latest --force`
}

func (c *deleteCommand) dest() string { return c.Dest }
func (*deleteCommand) changesDest()   {}

func (c *deleteCommand) run(ctx context.Context, u *ui, f *flags) error {
	bar := startDeleteBar(u)
	defer bar.remove(u)
	report, err := rsbtbackup.Delete(ctx, c.Dest, c.Names, rsbtbackup.DeleteOptions{
		Force: c.Force, LockWait: f.LockWait.duration(), Logger: u.log, Progress: bar.update,
	})
	bar.remove(u)
	var lines []string
	for _, name := range report.Deleted {
		lines = append(lines, "deleted "+name)
	}
	u.result(lines...)
	report.Deleted = append([]string{}, report.Deleted...) // [], not null
	return errors.Join(err, u.object(deleteObject{"delete", report}))
}
