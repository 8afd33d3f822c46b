// The grammar: the commands, and the flags they have in common.

package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

type grammar struct {
	flags

	Init    initCommand    `cmd:"" help:"Make a directory on btrfs a backup directory."`
	Backup  backupCommand  `cmd:"" help:"Make a backup of SRC in DEST."`
	List    listCommand    `cmd:"" aliases:"snapshots" help:"List the backups in DEST."`
	Prune   pruneCommand   `cmd:"" help:"Delete backups in DEST that no rule keeps, or until enough space is free."`
	Rotate  rotateCommand  `cmd:"" help:"Delete the backups in DEST that are older than AGE."`
	Delete  deleteCommand  `cmd:"" aliases:"rm" help:"Delete single backups in DEST."`
	Pin     pinCommand     `cmd:"" help:"Protect a backup in DEST from every prune."`
	Unpin   unpinCommand   `cmd:"" help:"Remove the protection of a backup."`
	Ls      lsCommand      `cmd:"" help:"List files in a backup."`
	Cat     catCommand     `cmd:"" help:"Write a file of a backup to standard output."`
	Diff    diffCommand    `cmd:"" help:"Show what changed from backup A to backup B."`
	History historyCommand `cmd:"" help:"List the versions of a path through all backups."`
	Restore restoreCommand `cmd:"" help:"Restore a backup, or parts of it."`
	Copy    copyCommand    `cmd:"" help:"Copy backups to another disk or host."`
	Send    sendCommand    `cmd:"" help:"Write a backup to standard output, as an archive."`
	Receive receiveCommand `cmd:"" help:"Make a backup from an archive, or a btrfs send stream, on standard input."`
	Verify  verifyCommand  `cmd:"" help:"Read backups from the disk and name every damaged file."`
	Check   checkCommand   `cmd:"" help:"Check DEST, for monitoring: age, space, errors, leftovers."`
	Share   shareCommand   `cmd:"" help:"Print the configuration for Samba that shows backups as previous versions."`

	Run      runCommand      `cmd:"" help:"Run jobs of the config: back up, prune, verify and check."`
	Status   statusCommand   `cmd:"" help:"Show the state of each job of the config."`
	Doctor   doctorCommand   `cmd:"" help:"Try each step of a job, and say how to repair one that fails."`
	Schedule scheduleCommand `cmd:"" help:"Show or install the timer that runs jobs of the config."`
	Config   configCommand   `cmd:"" help:"Check, show or begin a config of many jobs."`
	Version  versionCommand  `cmd:"" help:"Show the versions of rsbtbackup and of rsync."`

	Completion completionCommand `cmd:"" help:"Print a script that completes commands in a shell."`
	Complete   completeCommand   `cmd:"" name:"__complete" hidden:""`
	Packaged   packagedCommand   `cmd:"" name:"__packaged" hidden:""`
}

// flags are those of every command.
type flags struct {
	ShowHelp    helpFlag    `name:"help" short:"h" help:"Show this help, or the help of a command."`
	ShowVersion versionFlag `name:"version" help:"Show the version, like the command version."`
	Verbose     bool        `short:"v" help:"Print each step."`
	Quiet       bool        `short:"q" help:"Print errors only."`
	JSON        bool        `name:"json" help:"Print JSON, one object per line."`
	Color       string      `enum:"auto,always,never" default:"auto" placeholder:"WHEN" help:"Colour the log: auto, always or never. Auto means on a terminal, unless NO_COLOR is set."`
	LockWait    seconds     `placeholder:"TIME" help:"Wait this long (90, 10m, 1h30m) for another run on DEST to end."`
}

// wholeGrammar is every command with its flags, as kong has them.
func wholeGrammar() (*kong.Node, error) {
	parser, err := kong.New(&grammar{}, append(rawStrings(), kong.NoDefaultHelp())...)
	if err != nil {
		return nil, fmt.Errorf("grammar: %w", err)
	}
	return parser.Model.Node, nil
}

// root returns what kong builds for a command line that begins with word: the common flags with that command alone, or
// the whole grammar. Building the other commands would take a third of the time of a start.
func (g *grammar) root(word string) (any, []kong.Option) {
	for field, value := range reflect.ValueOf(g).Elem().Fields() {
		name := cmp.Or(field.Tag.Get("name"), strings.ToLower(field.Name))
		_, isCommand := field.Tag.Lookup("cmd")
		if !isCommand || word == "" || word != name && !slices.Contains(strings.Split(field.Tag.Get("aliases"), ","), word) {
			continue
		}
		command := kong.DynamicCommand(name, field.Tag.Get("help"), "", value.Addr().Interface(), string(field.Tag))
		return &g.flags, []kong.Option{command}
	}
	return g, nil
}

// Help is the last part of the root help.
func (grammar) Help() string {
	return `
Every finished backup is a complete, read-only directory. Backups share all unchanged data.

Only one run at a time changes a DEST: others fail at once, or wait with --lock-wait. The records of the backups are
locked only briefly; without --lock-wait a run waits for them for one minute, or ten minutes before it publishes a
backup.

EXAMPLE:

    install -d -m 0700 /backup/etc
    rsbtbackup init /backup/etc
    rsbtbackup backup /etc /backup/etc
    rsbtbackup list /backup/etc

EXIT CODES:

      0  done
      1  failed
      2  wrong usage or config, or no such backup, path or job
      3  the backup is published or restored, but rsync could not read everything
     10  DEST is missing, not initialised or not on btrfs
     11  DEST is locked by another run
     12  SRC, or the target of restore, is missing, unusable or out of reach
     13  a safety guard stopped the run
     14  no space left, or prune cannot reach --min-free
     15  a hook of a job failed
    129  interrupted by SIGHUP
    130  interrupted by SIGINT (Ctrl-C)
    143  interrupted by SIGTERM`
}

// errHelpShown ends the parsing after --help, even if arguments are missing.
var errHelpShown = errors.New("help shown")

// helpFlag replaces kong's own, which ends the process.
type helpFlag bool

// BeforeReset runs before missing arguments are reported.
func (helpFlag) BeforeReset(ctx *kong.Context) error {
	if err := ctx.PrintUsage(false); err != nil {
		return err
	}
	return errHelpShown
}

// errVersionAsked ends the parsing after --version, even if arguments are missing.
var errVersionAsked = errors.New("version asked for")

// versionFlag is the flag for the command version.
type versionFlag bool

// BeforeReset runs before missing arguments are reported.
func (versionFlag) BeforeReset() error { return errVersionAsked }

// helpWriter shows in the help that the last arguments of backup follow "--", for which kong has no notation. Both
// forms have the same width.
type helpWriter struct{ io.Writer }

func (w helpWriter) Write(help []byte) (int, error) {
	_, err := w.Writer.Write(bytes.ReplaceAll(help, []byte("[<RSYNC-ARG> ...]"), []byte("[-- RSYNC-ARG...]")))
	return len(help), err
}

// seconds is a duration that may be a plain number of seconds, as in rsync.
type seconds time.Duration

// UnmarshalText reads 90, 90s or 1h30m.
func (s *seconds) UnmarshalText(text []byte) error {
	d, err := config.ParseTime(string(text))
	*s = seconds(d)
	return err
}

// someTime is the age of a backup, of more than 0 seconds; 0 means the default.
type someTime time.Duration

// UnmarshalText reads 26h or 90m.
func (t *someTime) UnmarshalText(text []byte) error {
	d, err := config.ParseAge(string(text))
	*t = someTime(d)
	if err == nil && d == 0 {
		return fmt.Errorf("%q: want more than 0", text)
	}
	return err
}

// percent is a share from 0 to 100.
type percent int

// UnmarshalText reads 10 or 10%.
func (p *percent) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(strings.TrimSuffix(string(text), "%"))
	if err != nil || n < 0 || n > 100 {
		return fmt.Errorf("%q: want 0 to 100", text)
	}
	*p = percent(n)
	return nil
}

func (s seconds) duration() time.Duration { return time.Duration(s) }
