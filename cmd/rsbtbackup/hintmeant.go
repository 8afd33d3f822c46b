// Hints for misplaced words: a host or a job as DEST, BACKUP before DEST, a verb of another program.

package main

import (
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// elsewhereDest: a DEST on another host needs rsbtbackup on that host.
func elsewhereDest(i invocation) []string {
	host, path, found := strings.Cut(i.dest(), ":")
	if _, isCopy := i.command.(*copyCommand); isCopy || !found || host == "" || strings.Contains(host, "/") || isHere(i.dest()) {
		return nil
	}
	if b, isBackup := i.command.(*backupCommand); isBackup {
		lines := []string{onThisSide + "; the source may be remote"}
		if isDest(b.Src) {
			return []string{onThisSide + "; to bring its backups to another host: " + quoteAll("rsbtbackup", "copy", b.Src, b.Dest)}
		}
		return lines
	}
	if strings.HasPrefix(path, ":") || strings.HasPrefix(path, "//") {
		return []string{onThisSide}
	}
	there := i
	there.args = slices.Clone(i.args)
	if at := i.destAt(); at >= 0 {
		there.args[at] = path
	}
	return []string{onThisSide + "; on that host: " + quoteAll("ssh", host, there.again())}
}

// destFirst: the words are right, but in another order.
func destFirst(i invocation) []string {
	switch i.command.(type) {
	case *backupCommand, *copyCommand, *initCommand, *checkCommand, nil:
		return nil
	}
	at := i.destAt()
	for n, word := range i.args {
		if at < 0 || n <= at || strings.HasPrefix(word, "-") || !isDest(word) {
			continue
		}
		words := slices.Insert(slices.Delete(slices.Clone(i.args), n, n+1), at, word)
		ours, _, _ := cutRest(words)
		c, err := parse(&grammar{}, ours, io.Discard, io.Discard)
		if d, ok := c.(hasDest); err == nil && ok && d.dest() == word {
			return []string{"DEST comes first: " + quoteAll(append([]string{"rsbtbackup"}, words...)...)}
		}
	}
	return nil
}

// jobAsDest: the name of a job was given instead of its DEST.
func jobAsDest(i invocation) []string {
	name := i.dest()
	file, err := config.Find("")
	if err != nil || strings.Contains(name, "/") {
		return nil
	}
	read, err := config.Load(file)
	if err != nil {
		return nil // the error was not about the config
	}
	picked, err := read.Select([]string{name})
	if err != nil {
		return nil
	}
	switch i.command.(type) {
	case *checkCommand:
		return []string{name + " is a job: " + quoteAll("rsbtbackup", "check", "--job="+name)}
	case *backupCommand, *initCommand, *copyCommand:
		return nil
	}
	if deletes(i.command) || len(picked) > 1 {
		var dests []string
		for _, j := range picked {
			dests = append(dests, j.Backup.Dest)
		}
		return looks(dests)
	}
	return []string{name + " is a job; its DEST: " + i.withDest(picked[0].Backup.Dest)}
}

// foreignVerbs are verbs of restic, borg, rsnapshot, btrbk and duplicity, and other likely ones, with the verb to use
// here.
var foreignVerbs = map[string]string{
	"forget": "prune", "expire": "prune", "clean": "prune", "cleanup": "prune", "compact": "prune", "purge": "prune", "remove-older-than": "rotate",
	"create": "backup", "sync": "backup", "save": "backup", "incremental": "backup", "full": "backup", "rsync": "backup", "snapshot": "backup",
	"extract": "restore", "recover": "restore", "get": "restore", "remove": "delete", "del": "delete",
	"export-tar": "send", "export": "send", "import-tar": "receive", "import": "config import", "serve": "receive", "mirror": "copy", "push": "copy", "pull": "copy", "resume": "copy", "archive": "copy",
	"info": "list", "du": "list", "stats": "list", "show": "list", "collection-status": "list", "list-current-files": "ls", "find": "history", "log": "history", "versions": "history",
	"dump": "cat", "print": "cat", "tag": "pin", "protect": "pin", "keep": "pin", "compare": "diff", "usage": "check", "monitor": "check", "scrub": "verify",
	"configtest": "config check", "validate": "config check", "test": "doctor", "start": "run", "all": "run", "daily": "run", "hourly": "run", "weekly": "run", "monthly": "run", "alpha": "run", "beta": "run", "dryrun": "run",
	"cron": "schedule", "timer": "schedule", "install": "schedule", "enable": "schedule",
}

// needless are verbs of other programs that need no command here.
var needless = map[string]string{
	"mount": "backups are plain directories and need no mount", "umount": "backups are plain directories and need no unmount",
	"unlock": "a lock ends with the program that holds it; check names that program", "break-lock": "a lock ends with the program that holds it; check names that program",
	"repair": "the next backup repairs what the last run left; verify finds damage", "recreate": "a backup is never changed", "rewrite": "a backup is never changed", "rename": "a backup is never changed",
}

var unexpected = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^unexpected argument ([^\s,]+)`) })

// foreignHints names the verb that corresponds to one of another program.
func foreignHints(err *usageError, _ invocation) []string {
	found := unexpected().FindStringSubmatch(err.err.Error())
	switch {
	case err.verb != "" || found == nil:
		return nil
	case needless[found[1]] != "":
		return []string{needless[found[1]] + ": " + helpOf("")}
	case foreignVerbs[found[1]] != "":
		return []string{found[1] + " is " + foreignVerbs[found[1]] + " here: " + helpOf(foreignVerbs[found[1]])}
	}
	return nil
}

// isForeign reports whether the unexpected word in an error is a verb of another program. The parser's own guess
// compares only letters.
func isForeign(text string) bool {
	found := unexpected().FindStringSubmatch(text)
	return found != nil && (needless[found[1]] != "" || foreignVerbs[found[1]] != "")
}
