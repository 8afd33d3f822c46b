// rsbtbackup init DEST

package main

import (
	"context"
	"fmt"

	"github.com/rsbtbackup/rsbtbackup"
)

type initCommand struct {
	Dest string `arg:"" name:"DEST" help:"An existing directory on btrfs, for the backups of one source."`
}

// Help shows how it is used.
func (initCommand) Help() string {
	return `
Needs the right to create files in DEST, and may be repeated at any time. A directory with backups made by RsbtBackup or
rsyncbtrfs is adopted unchanged. If .log was removed, it is made again.

EXAMPLE:

    install -d -m 0700 /backup/etc
    rsbtbackup init /backup/etc`
}

func (c *initCommand) dest() string { return c.Dest }
func (*initCommand) changes() bool  { return true }

func (c *initCommand) run(ctx context.Context, u *ui, f *flags) error {
	report, err := rsbtbackup.Init(ctx, c.Dest, rsbtbackup.InitOptions{LockWait: f.LockWait.duration(), Logger: u.log})
	if err != nil {
		return err
	}
	u.result(initLine(report))
	return u.object(initObject{"init", report})
}

func initLine(r *rsbtbackup.InitReport) string {
	found := ""
	if r.Backups > 0 {
		found = ", with " + plural(int64(r.Backups), "backup")
	}
	switch {
	case r.Already:
		return fmt.Sprintf("%s is a backup directory already%s", r.Dest, found)
	case r.Adopted != "":
		return fmt.Sprintf("%s adopted from %s%s", r.Dest, r.Adopted, found)
	}
	return fmt.Sprintf("%s is a backup directory now%s", r.Dest, found)
}
