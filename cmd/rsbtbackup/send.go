// rsbtbackup send DEST BACKUP

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/rsbtbackup/rsbtbackup"
)

type sendCommand struct {
	Dest   string `arg:"" name:"DEST" help:"A backup directory."`
	Backup string `arg:"" name:"BACKUP" optional:"" help:"A backup: its name, the beginning of it, latest (complete or not), or latest~N for the Nth before."`
	Parent string `placeholder:"BACKUP" help:"Send only the differences to this backup, which the receiver must have."`
	Stdio  bool   `help:"Be the sending side of copy: list the backups here, and send what is asked for."`
}

// Help shows how it is used.
func (sendCommand) Help() string {
	return `
Writes a backup to standard output as an archive that other programs can compress, encrypt or store, and receive can
read: a line of JSON, a btrfs send stream, and a line with the SHA-256 of everything before it. Data that is compressed
on the disk is compressed in the archive. Needs root.

With --stdio it is the other side of copy on another host, which fetches backups. The receiver can only list the backups
and read them. An ssh key can therefore be restricted to this command, in ~/.ssh/authorized_keys of root:

    restrict,command="rsbtbackup send --stdio /backup/etc" ssh-ed25519 AAAA... vault

EXAMPLE:

    rsbtbackup send /backup/etc latest | zstd >etc.zst
    rsbtbackup send /backup/etc latest --parent=latest~1 | gpg --symmetric -o etc.gpg
    gpg -d etc.gpg | rsbtbackup receive /mnt/new/etc`
}

func (c *sendCommand) dest() string { return c.Dest }

// Validate is called by kong.
func (c *sendCommand) Validate() error {
	switch {
	case c.Stdio && (c.Backup != "" || c.Parent != ""):
		return errors.New("--stdio sends the backups that the other side asks for: it cannot be combined with BACKUP and --parent")
	case !c.Stdio && c.Backup == "":
		return errors.New("name the BACKUP to send")
	}
	return nil
}

// errToTerminal: an archive is not written to a terminal.
var errToTerminal = errors.New("an archive is not written to a terminal; send it to a file or another program")

func (c *sendCommand) run(ctx context.Context, u *ui, _ *flags) error {
	if u.shown {
		return &usageError{verb: "send", err: errToTerminal}
	}
	if c.Stdio {
		return rsbtbackup.ServeSend(ctx, c.Dest, interruptible(ctx, os.Stdin, 0), u.stdout)
	}
	out := &sendWriter{u.stdout}
	report, err := rsbtbackup.Send(ctx, c.Dest, c.Backup, rsbtbackup.SendOptions{Parent: c.Parent}, out)
	if err != nil {
		return err
	}
	u.note(fmt.Sprintf("sent %s: %s", report.Backup, size(int64(report.Bytes))))
	return nil
}

// sendWriter marks errors of the output, because an incomplete archive is useless.
type sendWriter struct{ w io.Writer }

func (s *sendWriter) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		err = fmt.Errorf("the archive is truncated: %w", err)
	}
	return n, err
}
