// rsbtbackup pin DEST BACKUP, rsbtbackup unpin DEST BACKUP

package main

import (
	"context"

	"github.com/rsbtbackup/rsbtbackup"
)

type pinCommand struct {
	Dest string `arg:"" name:"DEST" help:"A backup directory."`
	Name string `arg:"" name:"BACKUP" help:"A backup: its name, the beginning of it, latest (complete or not), or latest~N for the Nth before."`
	Note string `placeholder:"TEXT" help:"The reason. It is shown if somebody tries to delete the backup."`
}

// Help shows how it is used.
func (pinCommand) Help() string {
	return `
A pinned backup is kept by every prune and rotate, and by delete without --force. Pinning does not wait for a running
backup. Pinning a backup again replaces the note.

EXAMPLE:

    rsbtbackup pin /backup/etc latest --note='before the upgrade'`
}

func (c *pinCommand) dest() string { return c.Dest }
func (*pinCommand) changes() bool  { return true }

func (c *pinCommand) run(ctx context.Context, u *ui, f *flags) error {
	b, err := rsbtbackup.Pin(ctx, c.Dest, c.Name, rsbtbackup.PinOptions{Note: c.Note, LockWait: f.LockWait.duration(), Logger: u.log})
	if err != nil {
		return err
	}
	u.result(b.Name + " is pinned")
	return u.object(snapshotObject{"pin", b})
}

type unpinCommand struct {
	Dest string `arg:"" name:"DEST" help:"A backup directory."`
	Name string `arg:"" name:"BACKUP" help:"A backup, given as for pin."`
}

// Help shows how it is used.
func (unpinCommand) Help() string {
	return `
Removes the pin. A backup without a pin stays as it is.

EXAMPLE:

    rsbtbackup unpin /backup/etc 2026-11-23-09:00`
}

func (c *unpinCommand) dest() string { return c.Dest }
func (*unpinCommand) changes() bool  { return true }

func (c *unpinCommand) run(ctx context.Context, u *ui, f *flags) error {
	b, was, err := rsbtbackup.Unpin(ctx, c.Dest, c.Name, rsbtbackup.PinOptions{LockWait: f.LockWait.duration(), Logger: u.log})
	if err != nil {
		return err
	}
	if was {
		u.result(b.Name + " is no longer pinned")
	} else {
		u.result(b.Name + " was not pinned")
	}
	return u.object(snapshotObject{"unpin", b})
}
