// Hints of last resort, for errors without another hint.

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/share"
)

// lastHints gives every refusal a next step.
func lastHints(err error, i invocation) ([]string, bool) {
	var failed *rsbtbackup.StepError
	var checked *checkError
	_, isBackup := i.command.(*backupCommand)
	restore, isRestore := i.command.(*restoreCommand)
	diff, isDiff := i.command.(*diffCommand)
	_, isCheck := i.command.(*checkCommand)
	imported, isImport := i.command.(*configImportCommand)
	verify, isVerify := i.command.(*verifyCommand)
	switch {
	case isImport && errors.Is(err, fs.ErrNotExist):
		return []string{"to see what there is: " + quoteAll("ls", "-la", existing(imported.File))}, true
	case isImport:
		return []string{"to see what can be imported: " + helpOf("config import")}, true
	case isVerify && errors.Is(err, rsbtbackup.ErrSource) && !isRemote(verify.Against) && !isHere(verify.Against):
		return []string{"to see what there is: " + quoteAll("ls", "-la", existing(verify.Against))}, true
	case errors.Is(err, share.ErrPath):
		return []string{"to share DEST itself: " + quoteAll("rsbtbackup", "share", i.dest(), "--browse")}, true
	case errors.As(err, &checked):
		return checkHints(checked, i), true
	case isCheck && len(i.args) > 0 && exitCode(err) == exitFailed:
		return []string{"to see every check: " + i.again("--verbose")}, true
	case isBackup && errors.Is(err, rsbtbackup.ErrIncomplete):
		return incompleteHints(err, i), true
	case isRestore && errors.As(err, &failed) && failed.Step == "check names":
		return []string{"a filesystem of Linux holds all of them: " + quoteAll("rsbtbackup", "restore", i.dest(), restore.Backup, "--target=DIR")}, true
	case isRestore && errors.Is(err, rsbtbackup.ErrIncomplete) && restore.Target != "" && unstorable().MatchString(err.Error()):
		return []string{"another try would miss the same; to see which filesystem that is: " + quoteAll("findmnt", "-T", restore.Target)}, true
	case isRestore && errors.Is(err, rsbtbackup.ErrIncomplete):
		return []string{"to try the missing files again: " + i.goingOn(restore)}, true
	case isRestore:
		return elsewhereHints(err, restore, i)
	case isDiff && diff.Text && errors.Is(err, rsbtbackup.ErrUsage) && diff.Path != nil:
		return []string{"to see what differs: " + i.without("--text")}, true
	case errors.Is(err, rsbtbackup.ErrUsage) && len(i.paths()) > 0 && errors.As(err, &failed) && failed.Step == "options":
		return []string{"paths are those in the backup, from its top on: " + quoteAll("rsbtbackup", "ls", i.dest(), cmp.Or(slices.Concat(i.backups(), []string{latest})[0], latest))}, true
	case errors.Is(err, rsbtbackup.ErrUsage), errors.Is(err, rsbtbackup.ErrOverlap):
		return []string{helpOf(i.verb())}, true
	}
	return nil, false
}

// oversized is what rsync says of an attribute that is larger than btrfs can store.
var oversized = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`rsync_xal_set: [lf]setxattr\(".*","([^"]+)"\) failed: No space left on device`)
})

// unstorable is what rsync says of an ACL or an attribute that a filesystem cannot store at all.
var unstorable = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(set_acl|rsync_xal_set): .*: Operation not supported \(95\)`)
})

// incompleteHints: leave out files that cannot be read, or make them readable.
func incompleteHints(err error, i invocation) []string {
	if strings.Contains(err.Error(), "Too many open files (24)") {
		return []string{"to let rsync open more: ulimit -n 65536"}
	}
	if m := oversized().FindStringSubmatch(err.Error()); m != nil {
		return []string{"an attribute is too large for btrfs; to leave it out: " + i.again("--filter=-x "+m[1])}
	}
	if m := unstorable().FindStringSubmatch(err.Error()); m != nil {
		without := map[string]string{"set_acl": "--no-acls", "rsync_xal_set": "--no-xattrs"}[m[1]]
		return []string{"DEST cannot store that; to see how it is mounted: " + quoteAll("findmnt", "-T", i.dest()), "to do without: " + i.withRest(without)}
	}
	return []string{"to leave out files that cannot be read: " + i.again(excludeFlag+"PATTERN")}
}

// elsewhereHints: restore to another place.
func elsewhereHints(err error, c *restoreCommand, i invocation) ([]string, bool) {
	switch {
	case c.InPlace && (errors.Is(err, rsbtbackup.ErrUsage) || errors.Is(err, rsbtbackup.ErrGuard)):
		return []string{"to restore elsewhere: " + i.without("--in-place") + " --target=DIR"}, true
	case c.AsSubvolume != "" && (errors.Is(err, rsbtbackup.ErrTarget) || errors.Is(err, rsbtbackup.ErrGuard)):
		return []string{"to choose a new name on the filesystem of DEST: " + i.again("--as-subvolume=NEW")}, true
	case c.Target != "" && errors.Is(err, rsbtbackup.ErrGuard):
		words := withoutFlag(withoutFlag(i.args, "--target="), "-t=")
		return []string{"to restore elsewhere: " + quoteAll(slices.Concat([]string{"rsbtbackup"}, words, []string{"--target=DIR"})...)}, true
	case c.Target != "" && errors.Is(err, rsbtbackup.ErrTarget) && !isRemote(c.Target):
		return []string{"to see what it is: " + quoteAll("ls", "-ld", c.Target)}, true
	case errors.Is(err, rsbtbackup.ErrUsage):
		return []string{helpOf("restore")}, true
	}
	return nil, false
}

// checkError has the failed checks, for the hints.
type checkError struct {
	error
	report *rsbtbackup.CheckReport
	job    string // empty if there is none
	shown  bool   // the reasons were printed
}

// Error names the checks; their reasons are above, if they were printed.
func (e *checkError) Error() string {
	var failed []string
	for _, r := range e.report.Results {
		if r.Level == rsbtbackup.CheckFail {
			failed = append(failed, r.Name)
		}
	}
	if !e.shown {
		return e.error.Error()
	}
	return fmt.Sprintf("%d of %d checks failed: %s", len(failed), len(e.report.Results), strings.Join(failed, ", "))
}

// Unwrap returns the error of the library.
func (e *checkError) Unwrap() error { return e.error }

// checkHints: each failed check has its own remedy.
func checkHints(checked *checkError, i invocation) []string {
	dest, src := checked.report.Dest, "SRC"
	if l, err := rsbtbackup.List(context.Background(), dest); err == nil {
		src = cmp.Or(lastSource(l.Backups), src)
	}
	backup := quoteAll("rsbtbackup", "backup", src, dest)
	prune := "to free space: " + quoteAll("rsbtbackup", "prune", dest, "--keep-last=7", "-n")
	does := map[string]string{
		"backup":   "to make one: " + backup,
		"records":  "to see which: " + quoteAll("rsbtbackup", "list", "-v", dest),
		"verified": damageHint(dest),
		"space":    prune,
		"metadata": prune,
		"devices":  "to read all that is there: " + quoteAll("rsbtbackup", "verify", dest),
		"mount":    "to see messages of the kernel: dmesg | grep -i btrfs",
		"copy":     "to copy: " + i.readingConfig("run", checked.job),
		"log":      "to see what is there: " + quoteAll("ls", "-la", dest),
	}
	var lines []string
	for _, r := range checked.report.Results {
		line := cmp.Or(does[r.Name], "the next backup repairs it: "+backup)
		said := slices.ContainsFunc(lines, func(other string) bool { return commandIn(other) == commandIn(line) })
		if r.Level == rsbtbackup.CheckFail && !said {
			lines = append(lines, line)
		}
	}
	return lines
}

// commandIn is the command of a hint.
func commandIn(hint string) string { return hint[strings.LastIndex(hint, ": ")+1:] }

// verb is the command that was typed, by its name in the help.
func (i invocation) verb() string {
	root, err := wholeGrammar()
	if err != nil {
		return ""
	}
	for _, word := range i.args {
		for _, node := range root.Children {
			if node.Name == word || slices.Contains(node.Aliases, word) {
				return strings.TrimSpace(node.Name)
			}
		}
	}
	return ""
}
