// Hints: from an error to a command that helps. What the library says is the
// same for every program that uses it; what to type is known only here.

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// invocation is the command line an error came from.
type invocation struct {
	args    []string
	flags   *flags
	command command // nil if it could not be parsed
}

// again is the same command line with flags added, which take the place of
// those of the same name but for --exclude, which adds up.
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

// withoutFlag leaves out --name, --name=value and, if flag has a value, that
// after --name.
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

// hints returns lines to print below err, most often none or one.
func hints(err error, i invocation) []string {
	var usage *usageError
	var stopped signalError
	var option *rsbtbackup.RsyncOptionError
	var controls *controlsError
	var failed *rsbtbackup.StepError
	var inside *rsbtbackup.DestInsideError
	var held *rsbtbackup.HeldError
	var lacks *rsbtbackup.LacksError
	var fake *rsbtbackup.FakeSuperError
	var checked *problemsError
	var unknown *config.UnknownError
	backup, isBackup := i.command.(*backupCommand)
	restore, isRestore := i.command.(*restoreCommand)
	switch {
	case err == nil, errors.Is(err, errNoArguments):
		return nil
	case errors.As(err, &usage):
		return usageHints(usage, i)
	case errors.As(err, &checked):
		return nil // each was shown with its hint
	case errors.Is(err, config.ErrNoConfig):
		return []string{"to begin one: rsbtbackup config example >/etc/rsbtbackup.toml"}
	case errors.Is(err, config.ErrConfig):
		return []string{"to see all that is wrong: " + i.configCheck()}
	case errors.As(err, &unknown):
		return []string{"to see which there are: " + i.configShow()}
	case errors.As(err, &stopped):
		switch {
		case isBackup && !backup.dry():
			return []string{"to resume: " + i.again()}
		case isRestore && !restore.DryRun:
			return []string{"to go on: " + i.goingOn(restore)}
		}
	case errors.As(err, &option):
		if option.Hint != "" {
			return []string{option.Hint}
		}
	case errors.Is(err, rsbtbackup.ErrNotInitialized), errors.Is(err, rsbtbackup.ErrNotBtrfs):
		return noDestHints(err, i)
	case errors.Is(err, rsbtbackup.ErrDest) && errors.Is(err, fs.ErrNotExist):
		return missingHints(i)
	case errors.Is(err, rsbtbackup.ErrDest) && !errors.Is(err, fs.ErrPermission):
		return unusableHints(i)
	case isBackup && errors.Is(err, rsbtbackup.ErrSource) && isFile(backup.Src):
		return fileHints(backup, i)
	case errors.Is(err, rsbtbackup.ErrLocked) && errors.As(err, &failed) && failed.Step == "publish":
		return []string{"to resume: " + i.again()} // it has waited
	case errors.Is(err, rsbtbackup.ErrLocked):
		if i.flags.LockWait == 0 {
			return []string{"to wait for it: " + i.again("--lock-wait=10m")}
		}
	case errors.Is(err, rsbtbackup.ErrNotEmpty):
		return []string{"to look first: " + i.again("--dry-run"), "to restore what differs: " + i.again("--overwrite=if-changed")}
	case errors.Is(err, rsbtbackup.ErrNoPath):
		return pathHints(i)
	case errors.Is(err, rsbtbackup.ErrTooLarge):
		return bothFilesHints("diff -u", i)
	case errors.Is(err, rsbtbackup.ErrBinary):
		return bothFilesHints("cmp", i)
	case errors.As(err, &failed) && failed.Step == "flush" && isRestore:
		return []string{"to see what the kernel says of the target's disk: dmesg | tail"}
	case errors.Is(err, rsbtbackup.ErrDamaged) && !isVerify(i.command):
		return lostHints(i)
	case diskFailed(err):
		return damageHints(i)
	case errors.As(err, &controls):
		return []string{i.again() + " | less"}
	case errors.Is(err, rsbtbackup.ErrOverlap):
		return nil
	case errors.As(err, &inside):
		return insideHints(inside, i)
	case errors.As(err, &lacks):
		return lacksHints(lacks, i)
	case errors.As(err, &fake):
		return []string{"to restore them: " + quoteAll("rsbtbackup", "restore", i.dest(), restore.Backup, "--target=DIR")}
	case errors.Is(err, rsbtbackup.ErrGuard):
		return guardHints(i)
	case errors.Is(err, rsbtbackup.ErrDamaged):
		return healHints(i)
	case errors.Is(err, rsbtbackup.ErrNoBackup), errors.Is(err, rsbtbackup.ErrAmbiguous), errors.Is(err, rsbtbackup.ErrBackupGone):
		return []string{cmp.Or(i.spelled(), quoteAll("rsbtbackup", "list", i.dest()))}
	case errors.Is(err, rsbtbackup.ErrUsage) && isPrune(i.command):
		return []string{quoteAll("rsbtbackup", "prune", "--help")}
	case errors.As(err, &held):
		return []string{"to see which: lsof -nP | " + quoteAll("grep", "-F", filepath.Join(i.dest(), held.Backup))}
	case errors.Is(err, rsbtbackup.ErrNoSpace) && isPrune(i.command):
		return []string{"to see what is used: " + quoteAll("btrfs", "filesystem", "usage", i.dest())}
	case errors.Is(err, rsbtbackup.ErrNoSpace) && isRestore:
		return nil
	case errors.Is(err, rsbtbackup.ErrNoSpace):
		return spaceHints(i)
	case errors.Is(err, rsbtbackup.ErrRsyncTooOld) && errors.Is(err, rsbtbackup.ErrUsage):
		return []string{"to use a newer rsync: " + i.again("--rsync=/path/to/rsync")}
	case errors.Is(err, rsbtbackup.ErrRsyncNotFound) && slices.ContainsFunc(i.args, isRsyncFlag):
		return nil // the path that was given is wrong
	case errors.Is(err, rsbtbackup.ErrRsyncNotFound), errors.Is(err, rsbtbackup.ErrRsyncTooOld):
		return []string{"apt-get install rsync"}
	case errors.Is(err, syscall.EROFS) && !isRestore:
		return []string{"to see how it is mounted: " + quoteAll("findmnt", "-T", i.dest())}
	case errors.Is(err, rsbtbackup.ErrUnread) && os.Geteuid() != 0:
		return []string{"sudo " + i.again()}
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		return []string{"sudo " + i.again()}
	case errors.Is(err, rsbtbackup.ErrIncomplete) && isBackup && os.Geteuid() != 0 && strings.Contains(err.Error(), "Permission denied") && isHere(backup.Src):
		return []string{"root can read everything: sudo " + i.again()}
	}
	return rsyncHints(err, i)
}

// goingOn is the same restore once more: what it has written is there now, and
// what it was to leave alone still is.
func (i invocation) goingOn(c *restoreCommand) string {
	if c.Overwrite == "" {
		return i.again("--overwrite=if-changed")
	}
	return i.again()
}

// lacksHints: what was excluded can be spared; to delete it is rarely meant.
func lacksHints(err *rsbtbackup.LacksError, i invocation) []string {
	var lines, rules []string
	for _, pattern := range err.Exclude {
		rules = append(rules, excludeFlag+pattern)
	}
	if rules != nil {
		lines = append(lines, "to leave that alone: "+i.again(rules...))
	}
	return append(lines, "to look first: "+i.again("--dry-run"), "to delete it all the same: "+i.again("--force"))
}

// isHere: a remote source has other users.
func isHere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// usageHints: a path into a backup is one word where several are wanted.
func usageHints(err *usageError, i invocation) []string {
	if spelled := i.spelled(); spelled != "" {
		return []string{spelled}
	}
	return []string{quoteAll(slices.Concat([]string{"rsbtbackup"}, strings.Fields(err.verb), []string{"--help"})...)}
}

// missingHints: a DEST that is missing may be one whose disk is not mounted, or
// one that was meant for the other side.
func missingHints(i invocation) []string {
	create := createHint(i.dest())
	_, isInit := i.command.(*initCommand)
	switch {
	case isInit && create == "":
		return []string{needsBtrfs}
	case isInit:
		return []string{create}
	}
	if around := destAround(i.dest()); around != "" {
		return []string{i.around(around)}
	}
	if _, isBackup := i.command.(*backupCommand); isBackup {
		if host, _, found := strings.Cut(i.dest(), ":"); found && !strings.Contains(host, "/") {
			return []string{"DEST is a directory on this machine; the source may be remote"}
		}
		if create != "" {
			return []string{mounted, "to make it: " + create}
		}
	}
	return []string{mounted}
}

// unusableHints: DEST is there, but no directory, or a part of another one.
func unusableHints(i invocation) []string {
	if around := destAround(i.dest()); around != "" {
		return []string{"to see what is in it: " + quoteAll("rsbtbackup", "list", around)}
	}
	return []string{"DEST has to be a directory; to see what it is: " + quoteAll("ls", "-ld", i.dest())}
}

// fileHints: SRC is a file. Its directory with rules that leave out the rest is
// a SRC.
func fileHints(b *backupCommand, i invocation) []string {
	words := slices.Clone(i.args)
	at := slices.Index(words, b.Src)
	if at < 0 {
		return nil
	}
	words[at] = filepath.Dir(b.Src)
	only := "--filter=+ /" + escapePattern(filepath.Base(b.Src))
	words = slices.Insert(words, i.destAt()+1, only, "--filter=- *")
	return []string{"SRC has to be a directory; for this file alone, in a DEST of its own: " + quoteAll(append([]string{"rsbtbackup"}, words...)...)}
}

// escapePattern makes rsync take a name literally in a rule.
func escapePattern(name string) string {
	if !strings.ContainsAny(name, `*?[`) {
		return name
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && !st.IsDir()
}

// guardHints: what to look at, then how to go on all the same. A DEST made from
// another SRC is more often the wrong one.
func guardHints(i invocation) []string {
	if d, ok := i.command.(*deleteCommand); ok && !d.Force {
		return []string{"to look: " + quoteAll("rsbtbackup", "list", d.Dest), "to delete it all the same: " + i.again("--force")}
	}
	b, ok := i.command.(*backupCommand)
	if !ok || b.Force {
		return nil
	}
	var own []string
	if l, err := rsbtbackup.List(context.Background(), b.Dest); err == nil {
		if was := lastSource(l.Backups); was != "" && !isSource(b.Src, was) {
			own = i.ownDest(b, filepath.Dir(l.Dest))
		}
	}
	return append(own, "to look: "+quoteAll("ls", "-la", b.Src), "if it is as it should be: "+i.again("--force"))
}

// insideHints: the ways to leave DEST out.
func insideHints(err *rsbtbackup.DestInsideError, i invocation) []string {
	var rules []string
	for _, pattern := range err.Exclude {
		rules = append(rules, excludeFlag+pattern)
	}
	leave := "to leave DEST out: " + i.again(rules...)
	if err.OtherFilesystem {
		return []string{"to stay on the filesystem of SRC: " + i.again("-x"), leave}
	}
	return []string{leave}
}

// spaceHints: what may go depends on how many backups there are.
func spaceHints(i invocation) []string {
	usage := "to see what is used: " + quoteAll("btrfs", "filesystem", "usage", i.dest())
	const shown = 7
	backups := shown + 1
	if l, err := rsbtbackup.List(context.Background(), i.dest()); err == nil {
		backups = len(l.Backups)
	}
	if backups > 1 {
		return []string{quoteAll("rsbtbackup", "prune", i.dest(), fmt.Sprintf("--keep-last=%d", min(shown, backups-1))), usage}
	}
	_, isBackup := i.command.(*backupCommand)
	if !isBackup {
		return []string{usage}
	}
	return []string{"no backup can be spared; to leave out part of SRC: " + i.again(excludeFlag+"PATTERN"), usage}
}

// healHints: the next backup copies anew what the newest is known not to have.
func healHints(i invocation) []string {
	src, healed := "SRC", false
	if l, err := rsbtbackup.List(context.Background(), i.dest()); err == nil && len(l.Backups) > 0 {
		healed = l.Backups[len(l.Backups)-1].Damaged()
		src = cmp.Or(lastSource(l.Backups), src)
	}
	if !healed {
		return []string{"to learn whether the newest backup has it too: " + quoteAll("rsbtbackup", "verify", i.dest(), "latest")}
	}
	return []string{"to copy what is damaged anew from the source: " + quoteAll("rsbtbackup", "backup", src, i.dest())}
}

// lostHints is about a backup of which nothing is left.
func lostHints(i invocation) []string {
	if _, isDelete := i.command.(*deleteCommand); isDelete {
		return []string{"it goes with the filesystem only: to save the others, restore them, or use btrfs send, to a new one"}
	}
	return []string{"to see which are intact: " + quoteAll("rsbtbackup", "list", i.dest())}
}

func isVerify(c command) bool {
	_, is := c.(*verifyCommand)
	return is
}

func isPrune(c command) bool {
	switch c.(type) {
	case *pruneCommand, *rotateCommand:
		return true
	}
	return false
}

// bothFilesHints: the words are such as bash, zsh and ksh have.
func bothFilesHints(program string, i invocation) []string {
	c, ok := i.command.(*diffCommand)
	if !ok {
		return nil
	}
	cat := func(backup string) string {
		return " <(" + quoteAll("rsbtbackup", "cat", c.Dest, backup, "--", pathOr(c.Path, "PATH")) + ")"
	}
	return []string{program + cat(c.A) + cat(c.B)}
}

// diskFailed: EIO, also where rsync met it, which runs in the C locale.
func diskFailed(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, rsbtbackup.ErrIncomplete) && strings.Contains(err.Error(), "Input/output error")
}

// damageHints: verify names the nearest older backup that has it intact. A diff or
// a history has met the damage in any of several.
func damageHints(i invocation) []string {
	where := []string{i.dest()}
	switch c := i.command.(type) {
	case *restoreCommand:
		where = append(where, c.Backup)
	case *catCommand:
		where = append(where, c.Backup)
	case *diffCommand, *historyCommand:
	default:
		return nil
	}
	return []string{damageHint(where...)}
}

// damageHint is about DEST, or one backup in it.
func damageHint(where ...string) string {
	return "to see what is damaged, and which older backup has it intact: " + quoteAll(append([]string{"rsbtbackup", "verify"}, where...)...)
}

// pathHints shows what the backup does have.
func pathHints(i invocation) []string {
	backup := ""
	switch c := i.command.(type) {
	case *diffCommand:
		backup = c.B
	case *historyCommand:
		backup = "latest"
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
	var exit *rsbtbackup.RsyncExitError
	if !errors.As(err, &exit) {
		return nil
	}
	if r, ok := i.command.(*restoreCommand); ok && errors.Is(err, rsbtbackup.ErrTarget) && r.Target != "" {
		return []string{"to try the target alone: " + listOnly(r.Rsh, r.Target)}
	}
	b, ok := i.command.(*backupCommand)
	if !ok {
		return nil
	}
	switch {
	case errors.Is(err, rsbtbackup.ErrSource):
		return []string{"to try the source alone: " + listOnly(b.Rsh, b.Src)}
	case b.Partial == partialRefuse && exit.Code == rsyncPartial:
		return []string{"to publish what could be read: " + i.again("--partial=publish")}
	}
	return nil
}

func listOnly(rsh, place string) string {
	words := []string{"rsync", "--list-only"}
	if rsh != "" {
		words = append(words, "-e", rsh)
	}
	return quoteAll(append(words, place)...)
}

// rsyncPartial is the exit code of an rsync that could not read everything.
const rsyncPartial = 23

func isRsyncFlag(word string) bool { return word == "--rsync" || strings.HasPrefix(word, "--rsync=") }
