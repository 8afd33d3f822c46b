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

	Path   string `placeholder:"DIR" xor:"what" help:"The directory that is shared: the source of the newest backup, if not given, or one below it."`
	Browse bool   `xor:"what" help:"Share DEST itself, read-only: each backup is a directory."`
	Name   string `placeholder:"NAME" help:"The name of the share: the last part of its path, if not given."`
}

// Help shows how it is used.
func (shareCommand) Help() string {
	return `
Prints what smb.conf needs for Windows to show the backups of a directory as its previous versions (in the properties of a
file), and for "smbclient" to fetch them. Nothing is changed. It takes a source on this machine; backups of another machine
are shown with --browse.

People see in a backup what the modes of its files, and of DEST, let them: a DEST of mode 0700 is for root alone. What only
a directory above SRC kept private is not private in DEST.

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
