// rsbtbackup copy DEST TARGET [BACKUP...]

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/rsbtbackup/rsbtbackup"
)

type copyCommand struct {
	Dest   string   `arg:"" name:"DEST" help:"A backup directory, here or as HOST:PATH."`
	Target string   `arg:"" name:"TARGET" help:"Another directory that init has prepared, on another btrfs, or HOST:PATH, reached by ssh."`
	Names  []string `arg:"" name:"BACKUP" optional:"" help:"What to copy: a name, the beginning of it, latest (complete or not), or latest~N for the Nth before. The default is all."`

	DryRun     bool   `short:"n" help:"Show what would be copied; change nothing."`
	Force      bool   `help:"Copy into a TARGET that holds backups of another source."`
	Rsh        string `short:"e" placeholder:"COMMAND" help:"The remote shell: 'ssh -p 2222'."`
	Program    string `placeholder:"PROGRAM" help:"The path of rsbtbackup on the other host."`
	Bwlimit    string `placeholder:"RATE" help:"Limit the transfer per second, as rsync does: 500k, 10m."`
	Decompress bool   `help:"Decompress compressed data before sending it, for a target with another block size."`

	Keep keepFlags `embed:""`
}

// Help shows how it is used.
func (copyCommand) Help() string {
	return `
Sends the backups that TARGET lacks, oldest first, each as an increment of the nearest one that both sides have. A copy
has the name, the record and the pin of its backup. TARGET is a backup directory like any other: list, restore, verify,
check and copy work on it, and if the first disk is lost, continue with backup into it. A backup appears in TARGET only
when it is complete; an interrupted one is sent again by the next run. DEST is only read. A TARGET that has backups of
another source, and none in common with DEST, is refused (exit code 13) without --force: use a separate TARGET for each
DEST.

A pin or a result of verify that is newer than the copy is passed on by the next copy. An unpin is not: unpin the backup
in TARGET, too.

With --keep-... TARGET is pruned at the end, and backups that its rules do not keep are not sent. Without these options
nothing is deleted there. On another host "rsbtbackup receive --stdio PATH" is run; an ssh key can be restricted to that
command, and then the rules are those of that command (see receive --help). A DEST on another host is fetched from
"rsbtbackup send --stdio PATH". Needs root on both sides.

The exit code is 0 if TARGET has all these backups.

EXAMPLE:

    install -d -m 0700 /mnt/second/etc && rsbtbackup init /mnt/second/etc
    rsbtbackup copy /backup/etc /mnt/second/etc
    rsbtbackup copy /backup/etc root@vault:/backup/etc latest -n
    rsbtbackup copy root@web1:/backup/etc /backup/web1/etc
    rsbtbackup copy /backup/etc root@vault:/backup/etc --keep-within=90d --bwlimit=5m`
}

func (c *copyCommand) dest() string  { return c.Dest }
func (c *copyCommand) changes() bool { return !c.DryRun }

type copyObject struct {
	Type string `json:"type"`
	*rsbtbackup.CopyReport
}

// Validate is called by kong.
func (c *copyCommand) Validate() error { return checkBwlimit(c.Bwlimit) }

func (c *copyCommand) run(ctx context.Context, u *ui, f *flags) error {
	bar := startBar(u, copyLine)
	report, err := rsbtbackup.Copy(ctx, c.Dest, c.Target, c.Names, rsbtbackup.CopyOptions{
		SSH: strings.Fields(c.Rsh), Program: c.Program, Decompress: c.Decompress, Bwlimit: c.Bwlimit, Keep: c.Keep.policy(), Force: c.Force, DryRun: c.DryRun,
		LockWait: f.LockWait.duration(), Logger: u.log, Progress: func(p rsbtbackup.CopyProgress) { bar.change(func(s copySeen) copySeen { return s.next(p) }) },
	})
	bar.remove(u)
	for _, notice := range report.Notices {
		u.log.Warn(notice)
	}
	u.result(copyLines(report, err)...)
	return errors.Join(err, u.object(copyObject{"copy", report}))
}

func copyLines(r *rsbtbackup.CopyReport, err error) []string {
	var lines []string
	had, unkept := 0, 0
	for _, b := range r.Backups {
		increment := ""
		if b.Parent != "" {
			increment = ", incremental on " + b.Parent
		}
		switch b.Result {
		case rsbtbackup.Copied:
			lines = append(lines, fmt.Sprintf("copied %s: %s%s", b.Name, size(int64(b.Bytes)), increment))
		case rsbtbackup.CopyWould:
			lines = append(lines, "would copy "+b.Name+increment)
		case rsbtbackup.CopyHad:
			had++
			if len(b.News) > 0 && r.DryRun {
				lines = append(lines, "would pass on for "+b.Name+": "+strings.Join(b.News, ", "))
			} else if len(b.News) > 0 {
				lines = append(lines, "passed on for "+b.Name+": "+strings.Join(b.News, ", "))
			}
		case rsbtbackup.CopyUnkept:
			unkept++
		case rsbtbackup.CopyRefused, rsbtbackup.CopyFailed:
			lines = append(lines, "not copied: "+b.Name)
		}
	}
	if had > 0 {
		lines = append(lines, plural(int64(had), "backup")+" already in the target")
	}
	if unkept > 0 {
		lines = append(lines, plural(int64(unkept), "backup")+" not copied, because the rules of the target would delete them at once")
	}
	for _, name := range r.Deleted {
		lines = append(lines, "deleted in the target: "+name)
	}
	if len(r.Backups) == 0 && err == nil {
		lines = append(lines, "no backups to copy")
	}
	return lines
}

// copyHints: an error about TARGET is not about DEST, and must not lead to deletions in DEST.
func copyHints(err error, i invocation) ([]string, bool) {
	c, ok := i.command.(*copyCommand)
	var step *rsbtbackup.StepError
	switch {
	case !ok:
		return nil, false
	case errors.Is(err, rsbtbackup.ErrUnusual):
		return []string{c.there("to see what would be deleted, and to delete it with --force instead of -n: ", append([]string{"rsbtbackup", "prune", "-n"}, keepArgs(i)...)...)}, true
	case errors.Is(err, rsbtbackup.ErrGuard):
		return []string{c.there("each DEST has a TARGET of its own; to see what is in this one: ", "rsbtbackup", "list"), "to mix them nevertheless: " + i.again("--force")}, true
	case errors.Is(err, rsbtbackup.ErrTarget): // another host, which was not reached or fell silent
		return []string{c.aloneHint()}, true
	case errors.Is(err, rsbtbackup.ErrNoSpace):
		return []string{c.there("to see what is used in TARGET: ", "rsbtbackup", "check")}, true
	case errors.As(err, &step) && step.Step == "TARGET" && errors.Is(err, syscall.EROFS):
		return []string{"to see how it is mounted: " + quoteAll("findmnt", "-T", c.Target)}, true
	case errors.As(err, &step) && step.Step == "TARGET" && errors.Is(err, rsbtbackup.ErrNotInitialized):
		return []string{c.there("", "rsbtbackup", "init")}, true
	case errors.As(err, &step) && step.Step == "TARGET" && exitCode(err) == exitDest:
		if isRemote(c.Target) || !errors.Is(err, fs.ErrNotExist) {
			return []string{mounted}, true
		}
		if create := createHint(c.Target); create != "" {
			return []string{mountHint(c.Target), "to make it: " + create}, true
		}
		return []string{mountHint(c.Target)}, true
	case strings.Contains(err.Error(), "something has the name"):
		return []string{c.there("to see what it is: ", "ls", "-la")}, true
	case strings.Contains(err.Error(), "is no copy of it"):
		return []string{c.there("it was changed there, or has another source; to see it: ", "rsbtbackup", "list"), "it is copied again when it is deleted in TARGET"}, true
	}
	return nil, false
}

// aloneHint tries the other host without a copy.
func (c *copyCommand) aloneHint() string {
	place := c.Target
	if !isRemote(place) {
		place = c.Dest
	}
	host, _, _ := strings.Cut(place, ":")
	words := strings.Fields(cmp.Or(c.Rsh, "ssh"))
	return "to try the other host alone: " + quoteAll(append(words, host, cmp.Or(c.Program, "rsbtbackup"), "version")...)
}

// keepArgs are the rules as given.
func keepArgs(i invocation) []string {
	var rules []string
	for n, arg := range i.args {
		if !strings.HasPrefix(arg, "--keep-") {
			continue
		}
		rules = append(rules, arg)
		if !strings.Contains(arg, "=") && n+1 < len(i.args) {
			rules = append(rules, i.args[n+1])
		}
	}
	return rules
}

// there is a command about TARGET, on its host.
func (c *copyCommand) there(why string, command ...string) string {
	host, path, remote := strings.Cut(c.Target, ":")
	if remote && !strings.Contains(host, "/") {
		return "on " + host + ": " + why + quoteAll(append(command, path)...)
	}
	return why + quoteAll(append(command, c.Target)...)
}
