// rsbtbackup receive DEST

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"golang.org/x/sys/unix"
)

type receiveCommand struct {
	Dest  string `arg:"" name:"DEST" help:"A backup directory."`
	Name  string `placeholder:"NAME" help:"Another name for the backup."`
	Stdio bool   `help:"Be the receiving side of copy: list the backups here, and receive what is sent."`

	Keep keepFlags `embed:""`
}

// Help shows how it is used.
func (receiveCommand) Help() string {
	return `
Reads an archive of send, or a stream of "btrfs send", from standard input and makes a backup of it. The backup appears
only when it is complete and every checksum was right. An increment needs the backup that it builds on in DEST,
unchanged since it was received. btrfs-progs is not needed. Needs root.

With --stdio it is the other side of copy on another host. The sender can only learn the names, UUIDs and sources of the
backups, add backups, pin them, and ask what in a copy differs from a backup that the sender describes. Nothing can be
deleted, renamed or read. An ssh key for backups can therefore be restricted to this command, in ~/.ssh/authorized_keys
of root:

    restrict,command="rsbtbackup receive --stdio /backup/etc --keep-within=90d" ssh-ed25519 AAAA... etc@host

With --keep-... DEST is pruned at the end, as by prune. In such a command these are the only rules: the owner of the key
cannot change them, and copy does not send what they would not keep. Rules by number or by day are not safe against a
thief of the key, who could send new backups until the good ones are deleted. Use --keep-within, or pin backups.

EXAMPLE:

    rsbtbackup receive /mnt/new/etc <etc.archive
    zstd -d <etc.zst | rsbtbackup receive /mnt/new/etc
    btrfs send /snapshots/2026-11-23-09:00 | rsbtbackup receive /mnt/new/etc`
}

func (c *receiveCommand) dest() string { return c.Dest }
func (*receiveCommand) changes() bool  { return true }

// Validate is called by kong.
func (c *receiveCommand) Validate() error {
	if c.Stdio && c.Name != "" {
		return errors.New("--name cannot be combined with --stdio")
	}
	return nil
}

type receiveObject struct {
	Type string `json:"type"`
	*rsbtbackup.ReceiveReport
}

var errFromTerminal = errors.New("an archive is read from standard input, which is a terminal")

func (c *receiveCommand) run(ctx context.Context, u *ui, f *flags) error {
	if isTerminal(writerOf(os.Stdin)) {
		return &usageError{verb: "receive", err: errFromTerminal}
	}
	in := &beginning{Reader: interruptible(ctx, os.Stdin, c.limit())}
	o := rsbtbackup.ReceiveOptions{Name: c.Name, Keep: c.Keep.policy(), LockWait: f.LockWait.duration(), Logger: u.log}
	if c.Stdio {
		return rsbtbackup.ServeCopy(ctx, c.Dest, in, u.stdout, o)
	}
	report, err := rsbtbackup.Receive(ctx, c.Dest, in, o)
	for _, notice := range report.Notices {
		u.log.Warn(notice)
	}
	if report.Backup != "" {
		line := "received " + report.Backup
		if report.Parent != "" {
			line += ", incremental on " + report.Parent
		}
		if !report.Checked {
			line += " (a bare stream: only its own checksums could be compared)"
		}
		u.result(line)
	}
	for _, name := range report.Deleted {
		u.result("deleted " + name)
	}
	return errors.Join(packed(err, in.bytes), u.object(receiveObject{"receive", report}))
}

// limit: DEST is locked while somebody else's program is waited for. 0 is none.
func (c *receiveCommand) limit() time.Duration {
	if c.Stdio {
		return 24 * time.Hour
	}
	return 0
}

// writerOf allows asking whether a file is a terminal.
func writerOf(f *os.File) io.Writer { return f }

// interruptible ends with ctx, although a read of a pipe does not: it waits for both, and no longer than limit, unless
// that is 0.
func interruptible(ctx context.Context, f *os.File, limit time.Duration) io.Reader {
	wake, end, err := os.Pipe()
	if err != nil {
		return f // the goroutine ends with its input
	}
	context.AfterFunc(ctx, func() { _ = end.Close() }) // which ends the wait
	return &interrupted{ctx: ctx, file: f, wake: wake, limit: limit}
}

type interrupted struct {
	ctx        context.Context
	file, wake *os.File
	limit      time.Duration
}

func (i *interrupted) Read(p []byte) (int, error) {
	if err := i.wait(); err != nil {
		return 0, err
	}
	return i.file.Read(p)
}

// wait begins with short waits: Go's scheduler takes the processor from a thread that waits for 10 ms, which takes
// longer than to look again.
func (i *interrupted) wait() error {
	for short := 20; ; short-- {
		most := 5
		if short <= 0 {
			most = cmp.Or(int(i.limit.Milliseconds()), -1)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(i.file.Fd()), Events: unix.POLLIN}, {Fd: int32(i.wake.Fd()), Events: unix.POLLIN}}, most)
		switch {
		case i.ctx.Err() != nil:
			return context.Cause(i.ctx)
		case err == nil && n > 0:
			return nil
		case err == nil && short <= 0:
			return fmt.Errorf("the other side has sent nothing for %s", i.limit)
		case err != nil && !errors.Is(err, unix.EINTR):
			return os.NewSyscallError("poll", err)
		}
	}
}
