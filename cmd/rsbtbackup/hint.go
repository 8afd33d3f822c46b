// Hints: from an error to a command that helps. What the library says is the
// same for every program that uses it; what to type is known only here.

package main

import (
	"errors"
	"io/fs"
	"os"
	"slices"

	"github.com/rsbtbackup/rsbtbackup"
)

// invocation is the command line an error came from.
type invocation struct {
	args    []string
	flags   *flags
	command command // nil if it could not be parsed
}

// again is the same command line with flags added.
func (i invocation) again(more ...string) string {
	ours, rest, dashes := cutRest(i.args)
	words := slices.Concat([]string{"rsbtbackup"}, ours, more)
	if dashes {
		words = slices.Concat(words, []string{"--"}, rest)
	}
	return quoteAll(words...)
}

func (i invocation) dest() string {
	if c, ok := i.command.(hasDest); ok {
		return c.dest()
	}
	return "DEST"
}

// hints returns lines to print below err, most often none or one.
func hints(err error, i invocation) []string {
	var usage *usageError
	var stopped signalError
	var option *rsbtbackup.RsyncOptionError
	var controls *controlsError
	_, isBackup := i.command.(*backupCommand)
	_, isRestore := i.command.(*restoreCommand)
	switch {
	case err == nil, errors.Is(err, errNoArguments):
		return nil
	case errors.As(err, &usage):
		return []string{quoteAll(slices.DeleteFunc([]string{"rsbtbackup", usage.verb, "--help"}, isEmpty)...)}
	case errors.As(err, &stopped):
		if isBackup {
			return []string{"to resume: " + i.again()}
		}
	case errors.As(err, &option):
		if option.Hint != "" {
			return []string{option.Hint}
		}
	case errors.Is(err, rsbtbackup.ErrNotInitialized):
		return []string{quoteAll("rsbtbackup", "init", i.dest())}
	case errors.Is(err, rsbtbackup.ErrNotBtrfs):
		return []string{"DEST has to be on btrfs; to see where that is mounted: findmnt -t btrfs"}
	case errors.Is(err, rsbtbackup.ErrDest) && errors.Is(err, fs.ErrNotExist):
		return []string{quoteAll("mkdir", "-p", i.dest()) + " && " + quoteAll("rsbtbackup", "init", i.dest())}
	case errors.Is(err, rsbtbackup.ErrLocked):
		if i.flags.LockWait == 0 {
			return []string{"to wait for it: " + i.again("--lock-wait=10m")}
		}
	case errors.Is(err, rsbtbackup.ErrNotEmpty):
		return []string{"to look first: " + i.again("--dry-run"), "to restore what differs: " + i.again("--overwrite=if-changed")}
	case errors.Is(err, rsbtbackup.ErrNoPath):
		return pathHints(i)
	case errors.As(err, &controls):
		return []string{i.again() + " | less"}
	case errors.Is(err, rsbtbackup.ErrGuard):
		return guardHints(i)
	case errors.Is(err, rsbtbackup.ErrNoBackup), errors.Is(err, rsbtbackup.ErrAmbiguous), errors.Is(err, rsbtbackup.ErrBackupGone):
		return []string{quoteAll("rsbtbackup", "list", i.dest())}
	case errors.Is(err, rsbtbackup.ErrUsage) && isPrune(i.command):
		return []string{quoteAll("rsbtbackup", "prune", "--help")}
	case errors.Is(err, rsbtbackup.ErrNoSpace) && isPrune(i.command):
		return []string{"to see what is used: " + quoteAll("btrfs", "filesystem", "usage", i.dest())}
	case errors.Is(err, rsbtbackup.ErrNoSpace) && isRestore:
		return nil
	case errors.Is(err, rsbtbackup.ErrNoSpace):
		return []string{quoteAll("rsbtbackup", "prune", i.dest(), "--keep-last=7"), "to see what is used: " + quoteAll("btrfs", "filesystem", "usage", i.dest())}
	case errors.Is(err, rsbtbackup.ErrRsyncNotFound), errors.Is(err, rsbtbackup.ErrRsyncTooOld):
		return []string{"apt-get install rsync"}
	case errors.Is(err, rsbtbackup.ErrUnread) && os.Geteuid() != 0:
		return []string{"sudo " + i.again()}
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		return []string{"sudo " + i.again()}
	}
	return rsyncHints(err, i)
}

// guardHints: what to look at, then how to go on all the same.
func guardHints(i invocation) []string {
	if d, ok := i.command.(*deleteCommand); ok {
		return []string{"to look: " + quoteAll("rsbtbackup", "list", d.Dest), "to delete it all the same: " + i.again("--force")}
	}
	b, ok := i.command.(*backupCommand)
	if !ok {
		return nil
	}
	return []string{"to look: " + quoteAll("ls", "-la", b.Src), "if it is as it should be: " + i.again("--force")}
}

func isPrune(c command) bool {
	switch c.(type) {
	case *pruneCommand, *rotateCommand:
		return true
	}
	return false
}

// pathHints shows what the backup does have.
func pathHints(i invocation) []string {
	backup := ""
	switch c := i.command.(type) {
	case *lsCommand:
		backup = c.Backup
	case *catCommand:
		backup = c.Backup
	case *restoreCommand:
		backup = c.Backup
	}
	if backup == "" {
		return nil
	}
	return []string{quoteAll("rsbtbackup", "ls", i.dest(), backup)}
}

// rsyncHints is for what rsync ended with.
func rsyncHints(err error, i invocation) []string {
	b, ok := i.command.(*backupCommand)
	var exit *rsbtbackup.RsyncExitError
	if !ok || !errors.As(err, &exit) {
		return nil
	}
	switch {
	case errors.Is(err, rsbtbackup.ErrSource):
		words := []string{"rsync", "--list-only"}
		if b.Rsh != "" {
			words = append(words, "-e", b.Rsh)
		}
		return []string{"to try the source alone: " + quoteAll(append(words, b.Src)...)}
	case b.Partial == partialRefuse && exit.Code == rsyncPartial:
		return []string{"to publish what could be read: " + i.again("--partial=publish")}
	}
	return nil
}

// rsyncPartial is the exit code of an rsync that could not read everything.
const rsyncPartial = 23

func isEmpty(s string) bool { return s == "" }
