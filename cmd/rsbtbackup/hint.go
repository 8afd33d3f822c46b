// Hints: from an error to a command that helps. The library's messages are the same for every program that uses it;
// only the command knows what to type.

package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/rsbtbackup/rsbtbackup"
)

// invocation is the command line that caused an error.
type invocation struct {
	args    []string
	flags   *flags
	command command // nil if it could not be parsed
}

// again is the same command line with flags added. They replace flags of the same name, except --exclude, which can be
// repeated.
func (i invocation) again(more ...string) string {
	ours, rest, dashes := cutRest(i.args)
	for _, flag := range more {
		if !strings.HasPrefix(flag, excludeFlag) {
			ours = withoutFlag(ours, flag)
		}
	}
	words := slices.Concat([]string{"rsbtbackup"}, ours, more)
	if dashes {
		words = slices.Concat(words, []string{"--"}, rest)
	}
	return quoteAll(words...)
}

const excludeFlag = "--exclude="

// without is the same command line without a flag; see withoutFlag.
func (i invocation) without(flag string) string {
	ours, rest, dashes := cutRest(i.args)
	words := append([]string{"rsbtbackup"}, withoutFlag(ours, flag)...)
	if dashes {
		words = slices.Concat(words, []string{"--"}, rest)
	}
	return quoteAll(words...)
}

// withRest is the same command line with a word for rsync added.
func (i invocation) withRest(word string) string {
	ours, rest, _ := cutRest(i.args)
	return quoteAll(slices.Concat([]string{"rsbtbackup"}, ours, []string{"--"}, rest, []string{word})...)
}

// withoutRest is the same command line without a word after "--".
func (i invocation) withoutRest(word string) string {
	ours, rest, _ := cutRest(i.args)
	rest = slices.DeleteFunc(slices.Clone(rest), func(w string) bool { return w == word })
	words := append([]string{"rsbtbackup"}, ours...)
	if len(rest) > 0 {
		words = slices.Concat(words, []string{"--"}, rest)
	}
	return quoteAll(words...)
}

// withoutFlag removes --name, --name=value and, if flag has a value, the word after --name.
func withoutFlag(words []string, flag string) []string {
	name, _, valued := strings.Cut(flag, "=")
	var left []string
	for n := 0; n < len(words); n++ {
		switch word := words[n]; {
		case word == name && valued:
			n++
		case word == name, valued && strings.HasPrefix(word, name+"="):
		default:
			left = append(left, word)
		}
	}
	return left
}

func (i invocation) dest() string {
	if c, ok := i.command.(hasDest); ok {
		return c.dest()
	}
	return "DEST"
}

// hints returns lines to print below err, mostly none or one. Only the first function that knows the error is used.
func hints(err error, i invocation) []string {
	if err == nil || errors.Is(err, errNoArguments) {
		return nil
	}
	if strings.Contains(err.Error(), ": getwd: ") {
		return []string{"the working directory was deleted; to leave it: cd"}
	}
	for _, find := range []func(error, invocation) ([]string, bool){
		commandLineHints, stoppedHints, limitHints, runHints, snapshotHints, copyHints, compareHints, archiveHints, destHints, sourceHints, targetHints, pathHints, entryHints, diskHints, guardHints, backupHints, spaceHints, systemHints,
	} {
		if lines, known := find(err, i); known {
			return lines
		}
	}
	if lines := rsyncHints(err, i); lines != nil {
		return lines
	}
	lines, _ := lastHints(err, i)
	return lines
}

// stoppedHints: the run was stopped, or another run prevents it.
func stoppedHints(err error, i invocation) ([]string, bool) {
	var stopped signalError
	var failed *rsbtbackup.StepError
	backup, isBackup := i.command.(*backupCommand)
	restore, isRestore := i.command.(*restoreCommand)
	switch {
	case errors.As(err, &stopped) && isBackup && !backup.dry():
		return []string{"to resume: " + i.again()}, true
	case errors.As(err, &stopped) && isRestore && !restore.DryRun:
		return []string{"to go on: " + i.goingOn(restore)}, true
	case errors.As(err, &stopped):
		return nil, true
	case errors.Is(err, rsbtbackup.ErrLocked) && errors.As(err, &failed) && failed.Step == "publish":
		return []string{"to resume: " + i.again()}, true // it has already waited
	case errors.Is(err, rsbtbackup.ErrLocked) && i.flags.LockWait == 0:
		return []string{"to wait for it: " + i.again("--lock-wait=10m")}, true
	case errors.Is(err, rsbtbackup.ErrLocked):
		return []string{"to see which program uses DEST: " + quoteAll("rsbtbackup", "check", i.dest())}, true
	}
	return nil, false
}

// systemHints: something is missing on this machine, or forbidden.
func systemHints(err error, i invocation) ([]string, bool) {
	backup, isBackup := i.command.(*backupCommand)
	_, isRestore := i.command.(*restoreCommand)
	asUser := os.Geteuid() != 0
	var failed *fs.PathError
	switch {
	case errors.Is(err, rsbtbackup.ErrRsyncTooOld) && errors.Is(err, rsbtbackup.ErrUsage):
		return []string{"to use a newer rsync: " + i.again("--rsync=/path/to/rsync")}, true
	case errors.Is(err, rsbtbackup.ErrRsyncNotFound) && slices.ContainsFunc(i.args, isRsyncFlag):
		return []string{"to run the one in PATH: " + i.without("--rsync=")}, true
	case errors.Is(err, rsbtbackup.ErrRsyncNotFound) && isHere("/usr/bin/rsync") && !slices.Contains(filepath.SplitList(os.Getenv("PATH")), "/usr/bin"):
		return []string{"it is not in PATH: " + i.again("--rsync=/usr/bin/rsync")}, true
	case errors.Is(err, rsbtbackup.ErrRsyncNotFound), errors.Is(err, rsbtbackup.ErrRsyncTooOld):
		return []string{"apt-get install rsync"}, true
	case errors.Is(err, syscall.EROFS) && !isRestore:
		return []string{"to see how it is mounted: " + quoteAll("findmnt", "-T", i.dest())}, true
	case errors.Is(err, rsbtbackup.ErrNotVerified) && !errors.Is(err, rsbtbackup.ErrDamaged):
		return []string{unsureHint(i)}, true
	case errors.Is(err, rsbtbackup.ErrUnread) && asUser, errors.Is(err, fs.ErrPermission) && asUser:
		return []string{"sudo " + i.again()}, true
	case errors.As(err, &failed) && errors.Is(failed.Err, syscall.EACCES):
		return []string{"this root has not all rights (CAP_DAC_OVERRIDE), as in some containers and units, and on shares; to see whose it is: " + quoteAll("ls", "-ld", failed.Path)}, true
	case errors.Is(err, rsbtbackup.ErrIncomplete) && isBackup && asUser && strings.Contains(err.Error(), "Permission denied") && isHere(backup.Src):
		return []string{"root can read everything: sudo " + i.again()}, true
	}
	return nil, false
}

// unsureHint: a comparison with the source finds every difference.
func unsureHint(i invocation) string {
	src := "SRC"
	if l, err := rsbtbackup.List(context.Background(), i.dest()); err == nil {
		src = cmp.Or(lastSource(l.Backups), src)
	}
	return "to compare the newest with its source: " + quoteAll("rsbtbackup", "verify", i.dest(), "latest", "--against", src)
}

func isPrune(c command) bool {
	switch c.(type) {
	case *pruneCommand, *rotateCommand:
		return true
	}
	return false
}

func isRsyncFlag(word string) bool { return word == "--rsync" || strings.HasPrefix(word, "--rsync=") }
