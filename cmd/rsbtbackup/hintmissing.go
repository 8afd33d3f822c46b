// Hints about missing words: the same command line with possible values.

package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup"
)

// lackingHints: DEST exists, and a following argument is missing. For commands that delete no backup is proposed.
func lackingHints(err *usageError, i invocation) []string {
	missing := strings.HasPrefix(err.err.Error(), "expected ") || err.verb == "restore" && strings.Contains(err.err.Error(), "give one of --target")
	at := slices.IndexFunc(i.args, isDest)
	if !missing || at < 0 || slices.ContainsFunc(i.args[at+1:], func(word string) bool { return strings.HasPrefix(word, "-") }) {
		return nil
	}
	dest, after := i.args[at], i.args[at+1:]
	with := func(words ...string) []string {
		return []string{quoteAll(slices.Concat([]string{"rsbtbackup"}, i.args[:at+1], words)...)}
	}
	switch {
	case err.verb == "cat" && len(after) == 1:
		return with(latest, after[0])
	case err.verb == "cat", err.verb == "history":
		return []string{"to see what there is: " + quoteAll("rsbtbackup", "ls", dest, latest)}
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
	case err.verb == "restore" && len(after) == 0:
		return with(latest, "--target=DIR")
	case err.verb == "restore":
		return with(append(slices.Clone(after), "--target=DIR")...)
	}
	return nil
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
