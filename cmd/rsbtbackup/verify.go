// rsbtbackup verify DEST [BACKUP...]

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rsbtbackup/rsbtbackup"
)

type verifyCommand struct {
	Dest  string   `arg:"" name:"DEST" help:"A backup directory."`
	Names []string `arg:"" name:"BACKUP" optional:"" help:"A backup: its name, the beginning of it, latest (complete or not), or latest~N for the Nth before. The default is all of them; with --against the newest. Several only with --against-copy."`

	NewOnly bool `help:"Read only data that was added since the newest backup that was verified without damage. Needs root."`
	Jobs    int  `short:"j" placeholder:"N" help:"Read with this many threads. The default is 4. A single hard disk may be faster with 1."`

	Against       string   `placeholder:"SRC" help:"Compare the backup with this source, by content and all attributes. SRC is given as for backup."`
	OneFileSystem bool     `short:"x" help:"With --against: stay on the file system of SRC. Give here the options with which the backup left files out."`
	Exclude       []string `sep:"none" placeholder:"PATTERN" help:"With --against: leave out files that match. May be repeated, like the next two options."`
	ExcludeFrom   []string `sep:"none" placeholder:"FILE" help:"With --against: leave out files that match a pattern in FILE."`
	Filter        []string `sep:"none" placeholder:"RULE" help:"With --against: add a filter rule of rsync."`
	Timeout       seconds  `placeholder:"TIME" help:"With --against: stop if no data was transferred for this long: 300, 5m."`
	Rsh           string   `short:"e" placeholder:"COMMAND" help:"With --against or --against-copy: the remote shell: 'ssh -p 2222'."`
	SSH           sshFlags `embed:""`
	Rsync         string   `placeholder:"PROGRAM" help:"With --against: the rsync to run. The default is the first in PATH."`

	AgainstCopy string `placeholder:"TARGET" help:"Compare the backups with their copies in TARGET, which is given as for copy: by checksums if possible, otherwise by reading both."`
	Program     string `placeholder:"PROGRAM" help:"With --against-copy: the path of rsbtbackup on the other host."`

	ExcludeCaches    bool     `help:"With --against: leave out what backup leaves out with this option. The same for the next one."`
	ExcludeIfPresent []string `sep:"none" placeholder:"NAME" help:"With --against: leave out the contents of each directory that has a file NAME. May be repeated."`

	shell string // rsh, with the options from the ssh flags
}

// Help shows how it is used.
func (verifyCommand) Help() string {
	return `
Every file is read from the disk, not from memory, so that btrfs verifies every checksum. Each damaged file is named
with the damaged ranges, the other backups that share them, and the nearest older backup in which the file is intact.
Run by root, it reads data that several backups share only once. The result is stored in the record of each backup.

The exit code is 0 if everything is intact; 1 if something is damaged, could not be read, could not be verified, or
differs from SRC. A file that the user may not read is not reported as damaged. A file written with nodatacow (chattr
+C) cannot be verified: it has no checksums, so it is read, but damage would not be noticed.

A damaged backup is not repaired. If it is the newest, the next backup copies from SRC every file that cannot be read,
or everything if metadata is damaged.

With --against each line has a code and a name, as in rsync -i: what a backup would do. ">f" is a file to copy, "cd",
"cL" and "cD" a directory, symlink or device to create, "." an entry of which only attributes differ. The letters after
it say what differs: c content, s size, t time, p mode, o owner, g group, a ACL, x extended attributes; "+++" means that
the backup does not have it. "*deleting" is an entry that only the backup has.

With --against-copy a file is not read if both filesystems have the same checksums for it. They can be compared if they
are of the same kind, and of data that is stored in the same way (compressed alike, or not at all). They show that the
same data was written; verify without this option shows that the disk still returns it. All other files are read on both
sides. Names, modes, owners, times, attributes, ACLs, flags of chattr, holes and hard links are compared, too. Each line
has a path and what differs. A backup without a copy is an error only if it is given by name, because TARGET may have
other rules. On another host "rsbtbackup send --stdio PATH" is run; a key that is restricted to "receive --stdio" is
sufficient. That host gets a description of the backup and answers with the differences. Needs root.

EXAMPLE:

    rsbtbackup verify /backup/etc
    rsbtbackup verify /backup/etc latest
    rsbtbackup verify /backup/etc --new-only
    rsbtbackup verify /backup/etc latest --against /etc
    rsbtbackup verify /backup/etc --against-copy /mnt/second/etc
    rsbtbackup verify /backup/etc latest latest~1 --against-copy root@vault:/backup/etc
    rsbtbackup verify /backup/etc --json | jq -r 'select(.type == "damage") | .backup + "/" + .path'`
}

func (c *verifyCommand) dest() string { return c.Dest }

// Validate is called by kong.
func (c *verifyCommand) Validate() error {
	leavesOut := c.OneFileSystem || len(c.Exclude)+len(c.ExcludeFrom)+len(c.Filter) > 0 || c.Timeout != 0 || c.Rsync != "" ||
		c.SSH.given() || c.ExcludeCaches || len(c.ExcludeIfPresent) > 0
	switch {
	case c.Jobs < 0:
		return fmt.Errorf("--jobs=%d: want 1 or more", c.Jobs)
	case c.Against != "" && c.AgainstCopy != "":
		return errors.New("--against cannot be combined with --against-copy")
	case c.Against == "" && (leavesOut || c.Rsh != "" && c.AgainstCopy == ""):
		return errors.New("--one-file-system, --exclude, --exclude-from, --filter, --timeout, --rsh, --ssh-identity, --ssh-user, --ssh-known-hosts, --rsync, --exclude-caches and --exclude-if-present need --against")
	case c.AgainstCopy == "" && c.Program != "":
		return errors.New("--program needs --against-copy")
	case c.AgainstCopy == "" && len(c.Names) > 1:
		return errors.New("name one BACKUP, or none for all; several go with --against-copy")
	case c.Against+c.AgainstCopy != "" && (c.NewOnly || c.Jobs != 0):
		return errors.New("--new-only and --jobs cannot be combined with --against or --against-copy")
	}
	var err error
	if c.Against != "" {
		c.shell, err = c.SSH.shell(c.Rsh, c.Against)
	}
	return err
}

// backup is the named one, or "".
func (c *verifyCommand) backup() string {
	if len(c.Names) == 0 {
		return ""
	}
	return c.Names[0]
}

// verifyObject leaves out the damages, each of which has its own line.
type verifyObject struct {
	Type string `json:"type"`
	*rsbtbackup.VerifyReport
	Damages *struct{} `json:"damages,omitempty"`
}

type damageObject struct {
	Type string `json:"type"`
	rsbtbackup.Damage
}

type againstObject struct {
	Type string `json:"type"`
	*rsbtbackup.AgainstReport
	Changes *struct{} `json:"changes,omitempty"`
}

func (c *verifyCommand) run(ctx context.Context, u *ui, f *flags) error {
	switch {
	case c.Against != "":
		return c.compare(ctx, u)
	case c.AgainstCopy != "":
		return c.compareCopies(ctx, u)
	}
	bar := startBar(u, verifyProgressLine)
	report, err := rsbtbackup.Verify(ctx, c.Dest, rsbtbackup.VerifyOptions{
		Backup: c.backup(), NewOnly: c.NewOnly, Jobs: c.Jobs, Logger: u.log, Progress: func(p rsbtbackup.VerifyProgress) {
			bar.change(func(rsbtbackup.VerifyProgress) rsbtbackup.VerifyProgress { return p })
		},
		Found: func(d rsbtbackup.Damage) {
			u.result(damageLines(d)...)
			if err := u.object(damageObject{"damage", d}); err != nil {
				u.note(err.Error())
			}
		},
	})
	bar.remove(u)
	for _, notice := range report.Notices {
		u.log.Warn(notice)
	}
	report.Backups = append([]rsbtbackup.VerifiedBackup{}, report.Backups...) // [], not null
	u.result(verifyLines(report, err, c.NewOnly, f.Verbose)...)
	return errors.Join(err, u.object(verifyObject{"verify", report, nil}))
}

// damageLines is one damage as text, with what helps to repair it.
func damageLines(d rsbtbackup.Damage) []string {
	path := d.Path
	if path == "" {
		path = "."
	}
	head := fmt.Sprintf("damaged: %s in %s: %s", quote(path), d.Backup, damagedPlace(d))
	lines := []string{head}
	if len(d.Shared) > 0 || d.Elsewhere > 0 {
		lines = append(lines, "  also in "+sharedText(d))
	}
	if d.Intact != "" {
		return append(lines, "  intact in "+d.Intact)
	}
	return append(lines, "  no older backup has it intact")
}

func damagedPlace(d rsbtbackup.Damage) string {
	if len(d.Ranges) == 0 {
		return "its metadata cannot be read"
	}
	var text strings.Builder
	if d.Kind == rsbtbackup.MetadataDamage {
		text.WriteString("its metadata cannot be read for ")
	}
	const shown = 3
	for i, r := range d.Ranges[:min(len(d.Ranges), shown)] {
		if i > 0 {
			text.WriteString(", ")
		}
		text.WriteString(fmt.Sprintf("%d bytes at %d", r.Length, r.Offset))
	}
	if more := len(d.Ranges) - shown; more > 0 {
		text.WriteString(fmt.Sprintf(" and %d more places, %s in total", more, plural(d.Bytes, "byte")))
	}
	return text.String()
}

// sharedText names backups, and files that have another path there.
func sharedText(d rsbtbackup.Damage) string {
	const shown = 5
	text := ""
	for i, s := range d.Shared[:min(len(d.Shared), shown)] {
		if i > 0 {
			text += ", "
		}
		text += s.Backup
		if s.Path != d.Path {
			text += " " + quote(s.Path)
		}
	}
	if more := len(d.Shared) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	if d.Elsewhere > 0 {
		if text != "" {
			text += ", and "
		}
		text += plural(int64(d.Elsewhere), "file") + " outside of the backups"
	}
	return text
}

// shownNotVerified is how many files without checksums are named without -v: with nodatacow there are very many.
const shownNotVerified = 10

func verifyLines(r *rsbtbackup.VerifyReport, err error, newOnly, all bool) []string {
	switch {
	case len(r.Backups) > 0:
	case err != nil:
		return nil
	case newOnly:
		return []string{"nothing to read: no backup in " + r.Dest + " is newer than the last one found clean"}
	default:
		return []string{"nothing to read: no backups yet in " + r.Dest}
	}
	elapsed := r.Ended.Sub(r.Started)
	what := plural(int64(len(r.Backups)), "backup")
	if len(r.Backups) == 1 {
		what = r.Backups[0].Name
	}
	line := fmt.Sprintf("%s read in %s: %s, %s", what, took(elapsed), plural(r.Files, "file"), size(r.Bytes))
	if seconds := elapsed.Seconds(); seconds > 0 {
		line += " (" + size(int64(float64(r.Bytes)/seconds)) + "/s)"
	}
	switch {
	case r.Damaged > 0:
		line += fmt.Sprintf("; %d damaged", r.Damaged)
	case r.Unread > 0 && r.NotVerified == 0:
		line += fmt.Sprintf("; %d could not be read, no damage in the rest", r.Unread)
	case r.Unread > 0:
		line += fmt.Sprintf("; %d could not be read", r.Unread)
	case r.NotVerified == 0:
		line += "; no damage"
	}
	if r.NotVerified > 0 {
		line += fmt.Sprintf("; %d not verified", r.NotVerified)
	}
	lines := []string{line}
	for i, f := range r.NotVerifiedFiles {
		if i == shownNotVerified && !all {
			lines = append(lines, fmt.Sprintf("... and %d more without checksums", r.NotVerified-i))
			break
		}
		lines = append(lines, fmt.Sprintf("no checksums: %s in %s", quote(f.Path), f.Backup))
	}
	if r.Damaged > 0 {
		lines = append(lines, "damaged files stay damaged in these backups; if the newest is one of them, the next backup copies the files again from the source")
	}
	if r.Damaged == 0 && r.DeviceErrors > 0 {
		lines = append(lines, plural(int64(r.DeviceErrors), "device error")+" found and corrected from a second copy: check the disk")
	}
	return lines
}

func (c *verifyCommand) compare(ctx context.Context, u *ui) error {
	options := rsbtbackup.AgainstOptions{
		Backup: c.backup(), Source: c.Against, OneFileSystem: c.OneFileSystem, Filter: c.Filter, Exclude: c.Exclude,
		ExcludeFrom: c.ExcludeFrom, ExcludeCaches: c.ExcludeCaches, ExcludeIfPresent: c.ExcludeIfPresent, Rsh: c.shell, Timeout: c.Timeout.duration(), RsyncProgram: c.Rsync, Logger: u.log,
		Found: u.change,
	}
	bar := startTransferBar(u, func() int64 { return filesIn(c.Dest) })
	options.Progress = linesFor(bar)
	report, err := rsbtbackup.VerifyAgainst(ctx, c.Dest, options)
	bar.remove(u)
	if err == nil {
		u.result(fmt.Sprintf("%s is the same as %s, compared by content in %s", report.Backup, report.Source, took(report.Ended.Sub(report.Started))))
	}
	return errors.Join(err, u.object(againstObject{"against", report, nil}))
}
