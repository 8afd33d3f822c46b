// rsbtbackup share DEST

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/share"
)

type shareCommand struct {
	Dest string `arg:"" name:"DEST" help:"A backup directory."`

	Path   string `placeholder:"DIR" xor:"what" help:"The directory to share. The default is the source of the newest backup; a directory below it is possible, too."`
	Browse bool   `xor:"what" help:"Share DEST itself, read-only, with each backup as a directory."`
	Name   string `placeholder:"NAME" help:"The name of the share. The default is the last part of its path."`
}

// Help shows how it is used.
func (shareCommand) Help() string {
	return `
Prints the lines for smb.conf with which Windows shows the backups of a directory as its previous versions (in the
properties of a file), and "smbclient" can fetch them. Nothing is changed. The source must be on this machine; use
--browse for backups of another machine.

The modes of DEST and of the files in a backup decide what users can see: a DEST with mode 0700 is visible only to root.
A file that was private only because of the mode of a directory above SRC is not private in DEST.

EXAMPLE:

    rsbtbackup share /backup/data >>/etc/samba/smb.conf
    testparm -s && smbcontrol all reload-config
    smbclient //localhost/data -U anna -c 'allinfo report.txt'`
}

func (c *shareCommand) dest() string { return c.Dest }

// Validate is called by kong.
func (c *shareCommand) Validate() error {
	if c.Name == "" {
		return nil
	}
	if err := share.CheckName(c.Name); err != nil {
		return fmt.Errorf("--name: %w", err)
	}
	return nil
}

type shareObject struct {
	Type string `json:"type"`
	*share.Share
}

func (c *shareCommand) run(ctx context.Context, u *ui, f *flags) error {
	s, err := share.Make(ctx, c.Dest, share.Options{Path: c.Path, Name: c.Name, Browse: c.Browse, Now: time.Now()})
	if err != nil {
		return err
	}
	for _, w := range s.Warnings {
		u.log.Warn(w)
	}
	u.result(s.Stanza...)
	return u.object(shareObject{"share", s})
}
