// Hints about words that are missing or too many: a command line with what was probably meant.

package main

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// lackingHints: DEST exists, and a following argument is missing. For commands that delete no backup is proposed.
func lackingHints(err *usageError, i invocation) []string {
	missing := strings.HasPrefix(err.err.Error(), "expected ") || err.verb == "restore" && strings.Contains(err.err.Error(), "give one of --target")
	at := slices.IndexFunc(i.args, isDest)
	if !missing || at < 0 || slices.ContainsFunc(i.args[at+1:], func(word string) bool { return strings.HasPrefix(word, "-") }) {
		return nil
	}
	dest, after := i.args[at], i.args[at+1:]
	dir := func(word string) bool { return isHere(word) && !isFile(word) }
	with := func(words ...string) []string {
		return []string{quoteAll(slices.Concat([]string{"rsbtbackup"}, i.args[:at+1], words)...)}
	}
	switch {
	case err.verb == "cat" && len(after) == 1 && after[0] != latest:
		return with(latest, after[0])
	case err.verb == "ls", err.verb == "send":
		return with(latest)
	case err.verb == "copy":
		return with("TARGET")
	case err.verb == "cat", err.verb == "history":
		return []string{"to see what there is: " + quoteAll("rsbtbackup", "ls", dest, latest)}
	case err.verb == "backup" && at == 1 && len(after) == 0:
		return []string{"SRC comes first: " + quoteAll("rsbtbackup", "backup", cmp.Or(sourceOf(dest), "SRC"), dest)}
	case err.verb == "diff" && (at == 2 && dir(i.args[1]) || len(after) == 1 && dir(after[0])):
		return []string{"to compare the newest with a directory: " + quoteAll("rsbtbackup", "verify", dest, latest, "--against", slices.Concat(i.args[1:at], after)[0])}
	case err.verb == "diff" && len(after) == 1 && after[0] != latest:
		return with(after[0], latest)
	case err.verb == "diff":
		return with("latest~1", latest)
	case err.verb == "pin":
		return with(latest)
	case err.verb == "delete", err.verb == "unpin":
		return []string{"to see which there are: " + quoteAll("rsbtbackup", "list", dest)}
	case err.verb == "rotate":
		return with("30d", "--dry-run")
	case err.verb == "restore" && len(after) == 1 && dir(after[0]):
		return with(latest, "--target="+after[0])
	case err.verb == "restore" && len(after) == 2 && dir(after[1]):
		return with(after[0], "--target="+after[1])
	case err.verb == "restore" && len(after) == 0:
		return with(latest, "--target=DIR")
	case err.verb == "restore":
		return with(append(slices.Clone(after), "--target=DIR")...)
	}
	return nil
}

// surplusHints guess from a surplus word what was meant.
func surplusHints(err *usageError, i invocation) []string {
	_, text, found := strings.Cut(err.err.Error(), "unexpected argument ")
	dest := slices.IndexFunc(i.args, isDest)
	if !found || dest < 0 {
		return nil
	}
	text, _, _ = strings.Cut(text, ", did you mean")
	text, _, _ = strings.Cut(text, ": options for rsync")
	at := lastIndex(i.args, text)
	if at < 0 {
		return nil
	}
	before, word := append([]string{"rsbtbackup"}, i.args[:at]...), i.args[at]
	_, spanErr := retention.ParseSpan(word)
	switch {
	case err.verb == "list":
		return []string{"to see what is in a backup: " + quoteAll("rsbtbackup", "ls", i.args[dest], word)}
	case err.verb == "history" && dest+2 == at && strings.HasPrefix(i.args[dest+1], latest):
		return []string{"it looks through all backups: " + quoteAll("rsbtbackup", "history", i.args[dest], word)}
	case err.verb == "prune" && spanErr == nil:
		return []string{"to delete what is older: " + quoteAll("rsbtbackup", "rotate", i.args[dest], word, "--dry-run")}
	case err.verb == "pin":
		return []string{quoteAll(append(before, "--note="+strings.Join(i.args[at:], " "))...)}
	case err.verb == "backup" && at == dest:
		return severalHints(i.args[at-1], word, i)
	}
	return nil
}

func lastIndex(words []string, word string) int {
	for n, w := range slices.Backward(words) {
		if w == word {
			return n
		}
	}
	return -1
}

// severalHints: several directories, and then one DEST.
func severalHints(src, dest string, i invocation) []string {
	own := i.ownDest(&backupCommand{Src: src}, filepath.Dir(dest))
	if own == nil {
		own = []string{"one DEST is for one SRC: " + helpOf("backup")}
	}
	return append(own, "to back up many by one command: rsbtbackup config example")
}

// sourceOf is where the newest backup was made from, or empty.
func sourceOf(dest string) string {
	l, err := rsbtbackup.List(context.Background(), dest)
	if err != nil {
		return ""
	}
	return lastSource(l.Backups)
}

// withLatest is a command line that has a path in the place of a backup, if the newest backup has that path.
func withLatest(i invocation) string {
	at := slices.IndexFunc(i.args, isDest)
	c, isLs := i.command.(*lsCommand)
	if !isLs || at < 0 || c.Path != nil || slices.Index(i.args, c.Backup) != at+1 {
		return ""
	}
	l, err := rsbtbackup.List(context.Background(), c.Dest)
	if err != nil || len(l.Backups) == 0 {
		return ""
	}
	if _, err := os.Lstat(filepath.Join(c.Dest, l.Backups[len(l.Backups)-1].Name, c.Backup)); err != nil {
		return ""
	}
	return quoteAll(slices.Concat([]string{"rsbtbackup"}, i.args[:at+1], []string{latest}, i.args[at+1:])...)
}
