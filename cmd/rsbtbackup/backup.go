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
	// Rest is for the help only; run.go hides the arguments after "--" from kong.
	Rest []string `arg:"" name:"RSYNC-ARG" optional:"" help:"Further options, passed to rsync unchanged."`

	Inplace          bool     `short:"i" negatable:"" default:"true" help:"Write only the changed blocks of a changed file, so that it shares the others with the last backup (default). With --no-inplace the whole file is written."`
	Checksum         bool     `short:"c" help:"Compare files by content, not by size and time."`
	OneFileSystem    bool     `short:"x" help:"Stay on the file system of SRC. A btrfs subvolume below SRC counts as another."`
	Exclude          []string `sep:"none" placeholder:"PATTERN" help:"Leave out files that match this pattern of rsync. May be repeated, like the next two options."`
	ExcludeFrom      []string `sep:"none" placeholder:"FILE" help:"Leave out files that match a pattern in FILE."`
	Filter           []string `sep:"none" placeholder:"RULE" help:"Add a filter rule of rsync."`
	ExcludeCaches    bool     `help:"Leave out the contents of each directory that has a CACHEDIR.TAG (with its signature), except that file. Needs a SRC on this machine, as does the next option."`
	ExcludeIfPresent []string `sep:"none" placeholder:"NAME" help:"Leave out the contents of each directory that has a file NAME, except that file. May be repeated."`
	Bwlimit          string   `placeholder:"RATE" help:"Limit the transfer per second, as rsync does: 500k, 10m."`
	Timeout          seconds  `placeholder:"TIME" help:"Stop if no data was transferred for this long: 300, 5m."`
	Rsh              string   `short:"e" placeholder:"COMMAND" help:"The remote shell: 'ssh -p 2222'."`
	SSH              sshFlags `embed:""`
	Rsync            string   `placeholder:"PROGRAM" help:"The rsync to run. The default is the first in PATH."`

	Partial          string  `enum:"publish,refuse" default:"publish" placeholder:"publish|refuse" help:"What to do if rsync cannot read everything: publish the backup as incomplete (default), or refuse and keep it for the next run."`
	MaxDeletePercent percent `placeholder:"N" help:"Stop when more than N % of the files in the last backup are gone from SRC."`
	Scan             string  `enum:"auto,full,walk" default:"auto" placeholder:"auto|full|walk" help:"How changes in a local SRC are found. Walk: a walk of SRC, or btrfs itself, finds what is new, and rsync compares only that. Full: rsync compares everything. Auto (default): walk, and from time to time full as a check."`
	SnapshotSource   bool    `help:"Back up a snapshot of SRC, so that nothing changes while it is read, and remove the snapshot afterwards. SRC must be on btrfs, in a subvolume that you own unless you are root."`
	SnapshotNested   bool    `help:"The same, with a snapshot of each subvolume nested below SRC. With --snapshot-source alone these must be left out, by -x or --exclude."`
	SkipUnchanged    bool    `help:"Make no backup if nothing has changed. The last one then counts as made now."`
	Force            bool    `help:"Continue although a safety guard would stop the run."`
	DryRun           bool    `short:"n" help:"Show what would be transferred; change nothing."`

	Prune bool      `help:"After publishing, delete the backups that no --keep rule below matches, as prune does."`
	Keep  keepFlags `embed:""`

	shell string // rsh, with the options from the ssh flags
}

// Help shows how it is used.
func (backupCommand) Help() string {
	return `
The contents of SRC become a new read-only directory in DEST, named after the time. The next run resumes an interrupted
backup, and continues with a partly copied file. Arguments after -- are passed to rsync, except options with which the
backup would not be a copy of SRC: these are refused. Write ./-name for a path that begins with a dash.

The dry run prints a code and a name, as rsync -i does: ">f+++++++++" is a new file, ">f.st......" one with another size
and time, "*deleting" a file that SRC does not have. It compares with the last backup, or with the unfinished one that
would be resumed. With --prune it also shows what would be deleted. A file that was moved is shown as deleted and new:
only a real run notices that it is the same.

With --skip-unchanged nothing is published and nothing pruned if the new backup would equal the last one, with all
metadata and hard links. The last one is marked as still current: check, status and run treat it as made now.

EXAMPLE:

    rsbtbackup backup /etc /backup/etc
    rsbtbackup backup root@web1:/var/www /backup/web1 --exclude=.cache
    rsbtbackup backup /home /backup/home -x -- --skip-compress=gz/mp4 --fuzzy`
}

func (c *backupCommand) dest() string           { return c.Dest }
func (c *backupCommand) changes() bool          { return !c.dry() }
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
		RefusePartial: c.Partial == partialRefuse, MaxDeletePercent: int(c.MaxDeletePercent), Force: c.Force, Scan: c.Scan,
		SnapshotSource: c.SnapshotSource, SnapshotNested: c.SnapshotNested, SkipUnchanged: c.SkipUnchanged,
		DryRun: c.DryRun, Changes: u.change, LockWait: f.LockWait.duration(),
		Logger: u.log, Version: programVersion(),
	}
	if c.Prune {
		o.Prune = &rsbtbackup.PruneOptions{Policy: c.Keep.policy()}
	}
	return o
}

// backupLines is the report as text: one line about the backup, one about rsync.
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
