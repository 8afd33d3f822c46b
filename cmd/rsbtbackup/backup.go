// rsbtbackup backup SRC DEST [-- RSYNC-ARGS]

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rsbtbackup/rsbtbackup"
)

const (
	partialPublish = "publish"
	partialRefuse  = "refuse"
)

type backupCommand struct {
	// A path to kong (type:"path") would make host:/etc absolute.
	Src  string `arg:"" name:"SRC" help:"What to back up: a directory, host:/path, user@host:/path, host::module/path or rsync://host/module/path."`
	Dest string `arg:"" name:"DEST" help:"A directory that init has prepared."`
	// Rest is there to be shown; run.go keeps what follows "--" from kong.
	Rest []string `arg:"" name:"RSYNC-ARG" optional:"" help:"Further options for rsync, as they are."`

	Inplace          bool     `short:"i" negatable:"" default:"true" help:"Write changed blocks into the file of the last backup, so that a changed block costs a block (default). With --no-inplace a changed file is written anew."`
	Checksum         bool     `short:"c" help:"Compare files by content, not by size and time."`
	OneFileSystem    bool     `short:"x" help:"Stay on the file system of SRC. A btrfs subvolume below SRC counts as another."`
	Exclude          []string `sep:"none" placeholder:"PATTERN" help:"Leave out what matches, as rsync does. May be repeated, as the next two."`
	ExcludeFrom      []string `sep:"none" placeholder:"FILE" help:"Leave out what matches a pattern in FILE."`
	Filter           []string `sep:"none" placeholder:"RULE" help:"Add a filter rule of rsync."`
	ExcludeCaches    bool     `help:"Leave out what is in a directory with a CACHEDIR.TAG (of its signature), but for that file. For a SRC on this machine, as the next one."`
	ExcludeIfPresent []string `sep:"none" placeholder:"NAME" help:"Leave out what is in a directory with a file NAME, but for that file. May be repeated."`
	Bwlimit          string   `placeholder:"RATE" help:"Limit the transfer, as rsync does: 500k, 10m."`
	Timeout          seconds  `placeholder:"TIME" help:"Give up when nothing has moved for this long: 300, 5m."`
	Rsh              string   `short:"e" placeholder:"COMMAND" help:"The remote shell: 'ssh -p 2222'."`
	SSH              sshFlags `embed:""`
	Rsync            string   `placeholder:"PROGRAM" help:"The rsync to run. Without it the first in PATH."`

	Partial          string `enum:"publish,refuse" default:"publish" placeholder:"publish|refuse" help:"When rsync cannot read everything: publish the backup as incomplete (default), or refuse and keep it for the next run."`
	MaxDeletePercent int    `placeholder:"N" help:"Stop when more than N % of the files in the last backup are gone from SRC."`
	Scan             string `enum:"auto,full,walk" default:"auto" placeholder:"auto|full|walk" help:"How to find what has changed in a local SRC: walk it, or have btrfs say what is newer, and ask rsync about that (walk), let rsync compare everything (full), or the first with the second now and then as a check (auto, the default)."`
	SnapshotSource   bool   `help:"Back up a snapshot of SRC, which is removed afterwards: all of it is of one instant. SRC is in a btrfs subvolume of yours, or you are root."`
	SnapshotNested   bool   `help:"The same with a snapshot of each subvolume nested below SRC. Without it these are to be left out, by -x or --exclude."`
	SkipUnchanged    bool   `help:"Make no backup if nothing has changed: the last one then counts as made now."`
	Force            bool   `help:"Go on where a safety guard would stop the run."`
	DryRun           bool   `short:"n" help:"Show what would be transferred; change nothing."`

	Prune bool      `help:"After publishing, delete the backups that no --keep rule below matches, as prune does."`
	Keep  keepFlags `embed:""`

	shell string // rsh, with what the flags of ssh ask for
}

// Help shows how it is used.
func (backupCommand) Help() string {
	return `
The contents of SRC become a new read-only directory in DEST, named after the time. An interrupted backup is resumed
by the next one, and a file that was under way is continued. What follows -- goes to rsync as it is, but for options that would make the backup no copy of SRC.
A path that begins with a dash is written ./-name.

The dry run prints, as rsync -i does, a code and a name: ">f+++++++++" is a new file, ">f.st......" one of another size
and time than in the last backup, or in the unfinished one that would be resumed, "*deleting" what is not in SRC any
more. With --prune it shows what that would delete, too. A file that was moved shows as deleted and new: only a real run
sees that it is the same.

With --skip-unchanged nothing is published, and nothing pruned, if the new backup would hold what the last one holds, with
all metadata and hard links. The last one is marked as still current, so that check, status and run take it for fresh.

EXAMPLE:

    rsbtbackup backup /etc /backup/etc
    rsbtbackup backup root@web1:/var/www /backup/web1 --exclude=.cache
    rsbtbackup backup /home /backup/home -x -- --skip-compress=gz/mp4 --fuzzy`
}

func (c *backupCommand) dest() string           { return c.Dest }
func (*backupCommand) changesDest()             {}
func (c *backupCommand) takeRest(args []string) { c.Rest = args }

// dry reports a dry run, also one by rsync's own option.
func (c *backupCommand) dry() bool {
	return c.DryRun || slices.Contains(c.Rest, "-n") || slices.Contains(c.Rest, "--dry-run")
}

// Validate is called by kong, before what follows "--" is added.
func (c *backupCommand) Validate() error {
	if len(c.Rest) > 0 {
		return fmt.Errorf("unexpected argument %s: options for rsync follow --", c.Rest[0])
	}
	if c.MaxDeletePercent < 0 || c.MaxDeletePercent > 100 {
		return fmt.Errorf("--max-delete-percent=%d: want 0 to 100", c.MaxDeletePercent)
	}
	if err := checkBwlimit(c.Bwlimit); err != nil {
		return err
	}
	var err error
	if c.shell, err = c.SSH.shell(c.Rsh, c.Src); err != nil {
		return err
	}
	switch empty := c.Keep.policy().IsEmpty(); {
	case c.Prune && empty:
		return errors.New("--prune needs a rule such as --keep-daily=7: without one it would delete every backup")
	case !c.Prune && !empty:
		return errors.New("the --keep rules need --prune")
	}
	return nil
}

func (c *backupCommand) run(ctx context.Context, u *ui, f *flags) error {
	options := c.options(u, f)
	bar := startTransferBar(u, func() int64 { return filesIn(c.Dest) })
	options.Progress = linesFor(bar)
	report, err := rsbtbackup.Backup(ctx, options)
	bar.remove(u)
	if err == nil || errors.Is(err, rsbtbackup.ErrIncomplete) {
		u.result(backupLines(report)...)
	}
	if p := report.Prune; p != nil {
		u.result(pruneReport(p, report.Started)...)
		neverNull(p)
	}
	return errors.Join(err, u.object(backupObject{"backup", report}))
}

func (c *backupCommand) options(u *ui, f *flags) rsbtbackup.BackupOptions {
	o := rsbtbackup.BackupOptions{
		Source: c.Src, Dest: c.Dest,
		WholeFiles: !c.Inplace, Checksum: c.Checksum, OneFileSystem: c.OneFileSystem,
		Filter: c.Filter, Exclude: c.Exclude, ExcludeFrom: c.ExcludeFrom,
		ExcludeCaches: c.ExcludeCaches, ExcludeIfPresent: c.ExcludeIfPresent,
		Bwlimit: c.Bwlimit, Rsh: c.shell, Timeout: c.Timeout.duration(),
		RsyncArgs: c.Rest, RsyncProgram: c.Rsync,
		RefusePartial: c.Partial == partialRefuse, MaxDeletePercent: c.MaxDeletePercent, Force: c.Force, Scan: c.Scan,
		SnapshotSource: c.SnapshotSource, SnapshotNested: c.SnapshotNested, SkipUnchanged: c.SkipUnchanged,
		DryRun: c.DryRun, Changes: u.change, LockWait: f.LockWait.duration(),
		Logger: u.log, Version: programVersion(),
	}
	if c.Prune {
		o.Prune = &rsbtbackup.PruneOptions{Policy: c.Keep.policy()}
	}
	return o
}

// backupLines is the report for people: one line on the backup, one on rsync.
func backupLines(r *rsbtbackup.Report) []string {
	head := fmt.Sprintf("%s %s in %s, %s", r.Name, r.Status, took(r.Ended.Sub(r.Started)), basis(r))
	moved := "%s (%s), %s transferred (%s), %s deleted"
	if r.Resumed {
		moved = "%s (%s), %s transferred (%s) since it was resumed, %s deleted"
	}
	if r.DryRun {
		head = fmt.Sprintf("dry run in %s, %s, nothing was changed", took(r.Ended.Sub(r.Started)), basis(r))
		moved = "%s (%s), %s to transfer (%s), %s to delete"
	}
	s := r.Stats
	if r.Skipped {
		head = fmt.Sprintf("nothing has changed since %s: no backup was made, in %s", r.Base, took(r.Ended.Sub(r.Started)))
	}
	if s == nil || r.Skipped {
		return []string{head}
	}
	sent := s.Literal
	if r.DryRun {
		sent = s.TransferredSize // nothing was sent
	}
	line := fmt.Sprintf(moved, plural(s.Files, "file"), size(s.TotalSize), count(s.Transferred), size(sent), count(s.Deleted))
	if r.AddedBytes != nil {
		line += ", " + size(int64(*r.AddedBytes)) + " added"
	}
	return []string{head, line}
}

func basis(r *rsbtbackup.Report) string {
	text := "the first one"
	if r.Base != "" {
		text = "incremental on " + r.Base
	}
	if r.Resumed {
		text += ", resumed"
	}
	return text
}
