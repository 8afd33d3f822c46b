// rsbtbackup restore DEST BACKUP [PATH...]

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
)

type restoreCommand struct {
	Dest   string   `arg:"" name:"DEST" help:"A backup directory."`
	Backup string   `arg:"" name:"BACKUP" help:"A backup: its name, the beginning of it, latest (complete or not), or latest~N for the Nth before."`
	Paths  []string `arg:"" name:"PATH" optional:"" sep:"none" help:"A file or directory in it. Without PATH everything is restored."`

	Target      string `short:"t" placeholder:"DIR" help:"Restore to this directory, host:/path or user@host:/path. The whole PATH is put below it: ssh/keys becomes DIR/ssh/keys."`
	InPlace     bool   `help:"Restore to the source of the backup."`
	AsSubvolume string `placeholder:"NEW" help:"Make a writable subvolume NEW of the whole backup, on the same btrfs: this takes no time and no space."`

	Overwrite string   `placeholder:"WHEN" help:"What to do with a file that the target already has. Always: overwrite it. If-changed: overwrite it if size or time differ. If-newer: the same, but not if it is newer than in the backup. Never: keep it. Required unless the target is an empty directory."`
	Delete    bool     `help:"Delete files in the target that the backup does not have; with PATH, only below it."`
	Force     bool     `help:"Allow --delete with a backup that is incomplete or was made with rules that leave files out. Allow a target that is itself a directory with backups."`
	Exclude   []string `sep:"none" placeholder:"PATTERN" help:"Neither restore nor delete files that match this pattern of rsync. May be repeated."`
	Reflink   bool     `negatable:"" default:"true" help:"Share blocks with the backup instead of copying them, if the target is an empty directory on the same btrfs (default)."`
	DryRun    bool     `short:"n" help:"Show what would be changed; change nothing."`
	Bwlimit   string   `placeholder:"RATE" help:"Limit the transfer per second, as rsync does: 500k, 10m."`
	Timeout   seconds  `placeholder:"TIME" help:"Stop if no data was transferred for this long: 300, 5m."`
	Rsh       string   `short:"e" placeholder:"COMMAND" help:"The remote shell: 'ssh -p 2222'."`
	Rsync     string   `placeholder:"PROGRAM" help:"The rsync to run. The default is the first in PATH."`
}

// overwrites are the values of --overwrite. As an enum they would need a default.
var overwrites = []string{"always", "if-changed", "if-newer", "never"}

// Help shows how it is used.
func (restoreCommand) Help() string {
	return `
Contents and all metadata are restored. A directory above PATH gets its mode, owner and times, too. Symlinks in the
target are never followed; with --overwrite=never this needs rsync 3.5.0 at the target. Files that cannot be read are
named, everything else is restored, and the exit code is 3. DEST is only read. A reflink copy reads no data and does not
notice damage, so a backup with damage found by verify is copied by reading. --as-subvolume never reads data.

--delete is refused if the backup is incomplete, or was made with rules that leave files out (--exclude and the like),
because it would delete the files that the backup lacks. Repeat each --exclude, or use --force. Nothing is deleted on
other filesystems and in subvolumes below the target.

The dry run prints a code and a name, as rsync -i does: ">f+++++++++" is a new file, ">f.st......" one with another size
and time, "*deleting" a file that --delete removes.

EXAMPLE:

    rsbtbackup restore /backup/etc latest --target /tmp/etc
    rsbtbackup restore /backup/etc 2026-11-23 ssh hosts --target /tmp/etc
    rsbtbackup restore /backup/etc latest ssh --in-place --overwrite=if-changed --dry-run
    rsbtbackup restore /backup/www latest~2 -t root@web1:/var/www --overwrite=always --delete
    rsbtbackup restore /backup/vm latest --as-subvolume /backup/vm-test`
}

func (c *restoreCommand) dest() string  { return c.Dest }
func (c *restoreCommand) changes() bool { return !c.DryRun }

// Validate is called by kong.
func (c *restoreCommand) Validate() error {
	given := 0
	for _, is := range []bool{c.Target != "", c.InPlace, c.AsSubvolume != ""} {
		if is {
			given++
		}
	}
	if err := checkBwlimit(c.Bwlimit); err != nil {
		return err
	}
	switch {
	case c.Overwrite != "" && !slices.Contains(overwrites, c.Overwrite):
		return fmt.Errorf("--overwrite=%s: want always, if-changed, if-newer or never", c.Overwrite)
	case given != 1:
		return errors.New("give one of --target, --in-place and --as-subvolume")
	case c.AsSubvolume != "" && (len(c.Paths) > 0 || c.Overwrite != "" || c.Delete || c.Force || c.DryRun || len(c.Exclude) > 0):
		return errors.New("--as-subvolume makes the whole backup a new subvolume; it takes no PATH and none of --overwrite, --delete, --force, --exclude and --dry-run")
	}
	return nil
}

func (c *restoreCommand) run(ctx context.Context, u *ui, f *flags) error {
	if c.AsSubvolume != "" {
		return c.clone(ctx, u)
	}
	options := c.options(u)
	bar := startTransferBar(u, c.expected)
	options.Progress = linesFor(bar)
	report, err := rsbtbackup.Restore(ctx, options)
	bar.remove(u)
	if err == nil || errors.Is(err, rsbtbackup.ErrIncomplete) {
		u.result(restoreLines(report, err == nil)...)
	}
	return errors.Join(err, u.object(restoreObject{"restore", report}))
}

// expected is the number of files; unknown for a part of a backup.
func (c *restoreCommand) expected() int64 {
	if len(c.Paths) > 0 {
		return 0
	}
	return filesIn(c.Dest)
}

func (c *restoreCommand) clone(ctx context.Context, u *ui) error {
	start := time.Now()
	report, err := rsbtbackup.Clone(ctx, c.Dest, c.Backup, c.AsSubvolume)
	if err == nil {
		for _, notice := range report.Notices {
			u.log.Warn(notice)
			if !u.quiet {
				u.hint(damageHint(c.Dest, c.Backup))
			}
		}
		u.result(fmt.Sprintf("%s is now the writable subvolume %s, made in %s", report.Backup, report.Path, took(time.Since(start))))
	}
	return errors.Join(err, u.object(cloneObject{"clone", report}))
}

func (c *restoreCommand) options(u *ui) rsbtbackup.RestoreOptions {
	o := rsbtbackup.RestoreOptions{
		Dest: c.Dest, Backup: c.Backup, Paths: c.Paths, Target: c.Target, InPlace: c.InPlace,
		Overwrite: rsbtbackup.Overwrite(c.Overwrite), Delete: c.Delete, Force: c.Force, Exclude: c.Exclude, NoReflink: !c.Reflink,
		DryRun: c.DryRun, Bwlimit: c.Bwlimit, Timeout: c.Timeout.duration(), Rsh: c.Rsh, RsyncProgram: c.Rsync, Logger: u.log,
	}
	if c.DryRun {
		o.Changes = u.change
	}
	return o
}

// reflinked counts as rsync does, but only entries that share their blocks if rsync has counted the others.
func reflinked(r *rsbtbackup.RestoreReport) int64 {
	switch n := r.Reflinked; {
	case n == nil:
		return 0
	case r.Stats != nil:
		return n.Files
	default:
		return n.Files + n.Directories + n.Symlinks + n.Specials + n.HardLinks
	}
}

// restoreLines is the report as text. If rsync had to try again and failed, its count of transferred files says little.
func restoreLines(r *rsbtbackup.RestoreReport, whole bool) []string {
	if r.DryRun {
		lines := []string{fmt.Sprintf("dry run of %s to %s in %s, nothing was changed", r.Backup, r.Target, took(r.End.Sub(r.Start)))}
		if s := r.Stats; s != nil {
			lines = append(lines, fmt.Sprintf("%s (%s), %s to transfer (%s), %s to delete", plural(s.Files, "file"), size(s.TotalSize), count(s.Transferred), size(s.TransferredSize), count(s.Deleted)))
		}
		return lines
	}
	part := ""
	if !whole {
		part = "in part "
	}
	lines := []string{fmt.Sprintf("%s restored %sto %s in %s", r.Backup, part, r.Target, took(r.End.Sub(r.Start)))}
	if n, all := r.Reflinked, reflinked(r); all > 0 {
		share := "share their"
		if all == 1 {
			share = "shares its"
		}
		lines = append(lines, fmt.Sprintf("%s (%s) %s blocks with the backup", plural(all, "file"), size(n.Bytes), share))
	}
	switch s := r.Stats; {
	case s == nil:
	case !whole:
		failed := "not all of them restored"
		if r.Failed > 0 {
			failed = count(int64(r.Failed)) + " of them not restored, or not completely"
		}
		lines = append(lines, fmt.Sprintf("%s (%s) to restore, %s; %s deleted", plural(s.Files, "file"), size(s.TotalSize), failed, count(s.Deleted)))
	default:
		lines = append(lines, fmt.Sprintf("%s (%s), %s transferred (%s), %s deleted", plural(s.Files, "file"), size(s.TotalSize), count(s.Transferred), size(s.Literal), count(s.Deleted)))
	}
	return lines
}
